//! SentencePiece-style BPE: the neighbours whose union has the best score merge first.
//!
//! The `tokenizers` crate ranks pairs, but a GGUF file ranks pieces, by score; pieces of equal
//! score merge from the left. So the model is ours, inside the crate's tokenizer.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::path::{Path, PathBuf};

use checkpoint::{GgufVocabulary, TokenKind};
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::{Model, Result, Token};

use super::error::TextError;

/// How a space is written inside a piece.
const SPACE: char = '\u{2581}';

#[derive(Clone)]
pub(super) struct ScoreMerges {
    /// Text of a piece to its id and score.
    pieces: HashMap<String, (u32, f32)>,
    /// Pieces that stand whole in a text and never come from a merge.
    whole: HashMap<String, u32>,
    texts: Vec<String>,
    bytes: Vec<Option<u32>>,
    unknown: Option<u32>,
    add_space_prefix: bool,
}

impl ScoreMerges {
    pub(super) fn new(vocabulary: &GgufVocabulary) -> std::result::Result<Self, TextError> {
        if vocabulary.scores.len() != vocabulary.tokens.len() {
            let reason = "a SentencePiece vocabulary needs a score for each token".to_owned();
            return Err(TextError::BadTokenizer { reason });
        }
        let mut merges = Self {
            pieces: HashMap::with_capacity(vocabulary.tokens.len()),
            whole: HashMap::new(),
            texts: vocabulary.tokens.clone(),
            bytes: vec![None; 256],
            unknown: vocabulary.unknown.map(|id| id.0),
            add_space_prefix: vocabulary.add_space_prefix.unwrap_or(true),
        };
        for (index, text) in vocabulary.tokens.iter().enumerate() {
            let id = index as u32;
            match vocabulary.kinds.get(index).copied().unwrap_or(TokenKind::Normal) {
                TokenKind::Control | TokenKind::Unknown => {
                    merges.whole.insert(text.clone(), id);
                }
                TokenKind::Byte => {
                    if let Some(byte) = byte_of(text) {
                        merges.bytes[usize::from(byte)] = Some(id);
                    }
                    merges.whole.insert(text.clone(), id);
                }
                TokenKind::Normal | TokenKind::UserDefined | TokenKind::Unused => {
                    merges.pieces.insert(text.clone(), (id, vocabulary.scores[index]));
                }
            }
        }
        Ok(merges)
    }

    /// A character that is no piece becomes its bytes.
    fn push_ids(&self, text: &str, ids: &mut Vec<u32>) {
        if let Some((id, _)) = self.pieces.get(text) {
            ids.push(*id);
            return;
        }
        let bytes = text.bytes().map(|byte| self.bytes[usize::from(byte)].or(self.unknown));
        ids.extend(bytes.flatten());
    }
}

/// The byte that `<0x0A>` stands for.
pub(super) fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// A run of characters that has merged; `end == start` once it is part of its left neighbour.
struct Symbol {
    start: usize,
    end: usize,
    left: Option<usize>,
    right: Option<usize>,
}

/// Two neighbours whose union is a piece.
struct Candidate {
    score: f32,
    left: usize,
    right: usize,
    /// Length of the union when it was found; another length means that it is outdated.
    bytes: usize,
}

impl Ord for Candidate {
    /// The best score first, then the leftmost.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// The merging of one text.
struct Merging<'a> {
    model: &'a ScoreMerges,
    text: &'a str,
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Candidate>,
}

impl<'a> Merging<'a> {
    fn new(model: &'a ScoreMerges, text: &'a str) -> Self {
        let count = text.chars().count();
        let symbols = text.char_indices().enumerate().map(|(index, (start, sign))| Symbol {
            start,
            end: start + sign.len_utf8(),
            left: index.checked_sub(1),
            right: Some(index + 1).filter(|next| *next < count),
        });
        let symbols = symbols.collect();
        let mut merging = Self { model, text, symbols, queue: BinaryHeap::new() };
        for right in 1..count {
            merging.propose(Some(right - 1), Some(right));
        }
        merging
    }

    fn run(mut self) -> Vec<u32> {
        while let Some(candidate) = self.queue.pop() {
            let (left, right) = (candidate.left, candidate.right);
            let (a, b) = (&self.symbols[left], &self.symbols[right]);
            let gone = a.end == a.start || b.end == b.start;
            if gone || b.end - a.start != candidate.bytes {
                continue;
            }
            let (end, after) = (b.end, b.right);
            self.symbols[left].end = end;
            self.symbols[left].right = after;
            self.symbols[right].start = end;
            self.symbols[right].end = end;
            if let Some(after) = after {
                self.symbols[after].left = Some(left);
            }
            self.propose(self.symbols[left].left, Some(left));
            self.propose(Some(left), after);
        }
        let mut ids = Vec::new();
        for symbol in self.symbols.iter().filter(|symbol| symbol.end > symbol.start) {
            self.model.push_ids(&self.text[symbol.start..symbol.end], &mut ids);
        }
        ids
    }

    fn propose(&mut self, left: Option<usize>, right: Option<usize>) {
        let (Some(left), Some(right)) = (left, right) else { return };
        let range = self.symbols[left].start..self.symbols[right].end;
        let bytes = range.len();
        if let Some((_, score)) = self.model.pieces.get(&self.text[range]) {
            self.queue.push(Candidate { score: *score, left, right, bytes });
        }
    }
}

impl Model for ScoreMerges {
    type Trainer = BpeTrainer;

    /// The ids of a stretch of text between special tokens; their offsets are not computed.
    fn tokenize(&self, sequence: &str) -> Result<Vec<Token>> {
        let mut text = String::with_capacity(sequence.len() + 3);
        if self.add_space_prefix {
            text.push(SPACE);
        }
        text.extend(sequence.chars().map(|sign| if sign == ' ' { SPACE } else { sign }));
        let ids = Merging::new(self, &text).run();
        Ok(ids.into_iter().map(|id| Token::new(id, String::new(), (0, 0))).collect())
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        let piece = self.pieces.get(token).map(|(id, _)| *id);
        piece.or_else(|| self.whole.get(token).copied())
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        self.texts.get(id as usize).cloned()
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        self.texts.iter().cloned().zip(0..).collect()
    }

    fn get_vocab_size(&self) -> usize {
        self.texts.len()
    }

    /// Nothing here trains or stores a vocabulary: it comes from a model's file.
    fn save(&self, _folder: &Path, _prefix: Option<&str>) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn get_trainer(&self) -> BpeTrainer {
        BpeTrainer::default()
    }
}
