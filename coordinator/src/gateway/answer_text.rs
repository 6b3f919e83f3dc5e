//! From the token ids of one answer to the text that may be shown, with its log probabilities.

use protocol::generate::EmittedToken;
use protocol::ids::TokenId;
use std::sync::Arc;

use super::model_text::{Detokenize, Detokenizing, ModelText};
use crate::text::StopStrings;

/// Holds back what may yet become a stop string, or is half a character.
pub(super) struct AnswerText {
    text: Arc<dyn ModelText>,
    detokenizer: Box<dyn Detokenize>,
    stops: StopStrings,
    /// Tokens whose text is not shown yet; kept only when log probabilities are wanted.
    held: Vec<TokenLine>,
    /// Bytes and characters of text that the detokenizer has given.
    produced: Extent,
    shown_bytes: usize,
    stopped: bool,
}

#[derive(Clone, Copy, Default)]
struct Extent {
    bytes: usize,
    chars: usize,
}

/// Text to show, and the tokens that it came from if log probabilities were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) lines: Vec<TokenLine>,
}

/// A token with its log probabilities.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TokenLine {
    pub(super) bytes: Vec<u8>,
    pub(super) logprob: f32,
    pub(super) top: Vec<(Vec<u8>, f32)>,
    /// Characters of the answer before it.
    pub(super) offset_chars: usize,
    start_byte: usize,
}

impl TokenLine {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl AnswerText {
    pub(super) fn new(text: Arc<dyn ModelText>, stops: &[String], how: Detokenizing) -> Self {
        let detokenizer = text.detokenizer(how);
        Self {
            text,
            detokenizer,
            stops: StopStrings::new(stops),
            held: Vec::new(),
            produced: Extent::default(),
            shown_bytes: 0,
            stopped: false,
        }
    }

    /// What may be shown now, and whether a stop string is complete: then nothing more follows.
    pub(super) fn push(&mut self, emitted: &EmittedToken) -> (Piece, bool) {
        self.hold(emitted);
        let text = self.detokenizer.push(emitted.token);
        self.advance(text)
    }

    /// What is left when the sequence ended by itself.
    pub(super) fn finish(&mut self) -> Piece {
        let text = self.detokenizer.finish();
        let (mut piece, stopped) = self.advance(text);
        if !stopped {
            piece.text.push_str(&self.stops.finish());
            // Tokens without a text of their own have no later moment.
            piece.lines.append(&mut self.held);
        }
        piece
    }

    fn hold(&mut self, emitted: &EmittedToken) {
        let Some(logprobs) = &emitted.logprobs else { return };
        let bytes = |token: TokenId| self.text.token_bytes(token);
        self.held.push(TokenLine {
            bytes: bytes(emitted.token),
            logprob: logprobs.chosen,
            top: logprobs.top.iter().map(|(token, value)| (bytes(*token), *value)).collect(),
            offset_chars: self.produced.chars,
            start_byte: self.produced.bytes,
        });
    }

    fn advance(&mut self, text: String) -> (Piece, bool) {
        self.produced.bytes += text.len();
        self.produced.chars += text.chars().count();
        let scan = self.stops.push(&text);
        self.shown_bytes += scan.text.len();
        self.stopped |= scan.stop.is_some();
        let shown = self.held.partition_point(|line| line.start_byte < self.shown_bytes);
        let lines = self.held.drain(..shown).collect();
        (Piece { text: scan.text, lines }, self.stopped)
    }
}
