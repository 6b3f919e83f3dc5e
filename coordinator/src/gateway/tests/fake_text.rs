//! A text side whose tokens are bytes: id = byte, 256 ends an answer.

use protocol::ids::TokenId;

use crate::gateway::model_text::{Chat, Detokenize, Detokenizing, ModelText, TextRefused};

pub(super) const END: TokenId = TokenId(256);
pub(super) const VOCAB_SIZE: u32 = 257;

pub(super) struct ByteText;

impl ModelText for ByteText {
    fn encode(&self, text: &str, _special: bool) -> Result<Vec<TokenId>, TextRefused> {
        Ok(text.bytes().map(|b| TokenId(b.into())).collect())
    }

    /// `<role>content` of each message, then `<assistant>`.
    fn encode_chat(&self, chat: &Chat) -> Result<Vec<TokenId>, TextRefused> {
        let mut text = String::new();
        for message in &chat.messages {
            if message.content == "raise" {
                return Err(TextRefused("the chat template says: no".into()));
            }
            text.push_str(&format!("<{}>{}", message.role, message.content));
        }
        text.push_str("<assistant>");
        self.encode(&text, true)
    }

    fn detokenizer(&self, _how: Detokenizing) -> Box<dyn Detokenize> {
        Box::new(Bytes(Vec::new()))
    }

    fn stop_tokens(&self) -> &[TokenId] {
        &[END]
    }

    fn token_bytes(&self, token: TokenId) -> Vec<u8> {
        u8::try_from(token.0).map_or_else(|_| b"<end>".to_vec(), |b| vec![b])
    }
}

struct Bytes(Vec<u8>);

impl Detokenize for Bytes {
    fn push(&mut self, token: TokenId) -> String {
        self.0.extend(u8::try_from(token.0));
        match String::from_utf8(std::mem::take(&mut self.0)) {
            Ok(text) => text,
            Err(error) => {
                self.0 = error.into_bytes();
                String::new()
            }
        }
    }

    fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.0)).into_owned()
    }
}
