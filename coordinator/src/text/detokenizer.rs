//! Ids to text as they come: only whole characters leave, and each id costs its own bytes.

use std::sync::Arc;

use protocol::ids::TokenId;

use super::pieces::Pieces;

/// The text of one answer. What `push` and `finish` return, joined, is the text of all its ids.
#[derive(Clone)]
pub struct Detokenizer {
    pieces: Arc<Pieces>,
    skip_special: bool,
    strip_space: bool,
    /// The first bytes of a character whose rest has not come; at most three.
    pending: Vec<u8>,
}

impl Detokenizer {
    pub(super) fn new(pieces: Arc<Pieces>, skip_special: bool) -> Self {
        let strip_space = pieces.strips_first_space;
        Self { pieces, skip_special, strip_space, pending: Vec::new() }
    }

    /// For ids that go on with a text (a completion) instead of starting one: a first space is
    /// part of it.
    pub fn continuing(mut self) -> Self {
        self.strip_space = false;
        self
    }

    /// The characters that `id` completes; often empty inside of a character of many bytes.
    ///
    /// U+FFFD comes only for bytes that no later byte can make a character.
    pub fn push(&mut self, id: TokenId) -> String {
        if self.skip_special && self.pieces.is_special(id) {
            return String::new();
        }
        let mut bytes = self.pieces.bytes(id);
        if bytes.is_empty() {
            return String::new();
        }
        if std::mem::take(&mut self.strip_space) {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.pending.extend_from_slice(bytes);
        self.take_characters()
    }

    /// What is left at the end of the text: the bytes of a character that stayed incomplete.
    pub fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.pending);
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Moves whole characters out of `pending`, and keeps at its end what may become one.
    fn take_characters(&mut self) -> String {
        let mut text = String::new();
        let mut taken = 0;
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            taken += chunk.valid().len();
            let at_end = taken + chunk.invalid().len() == self.pending.len();
            if chunk.invalid().is_empty() || (at_end && may_become_character(chunk.invalid())) {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            taken += chunk.invalid().len();
        }
        self.pending.drain(..taken);
        text
    }
}

/// The bytes are a proper beginning of some character.
fn may_become_character(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
