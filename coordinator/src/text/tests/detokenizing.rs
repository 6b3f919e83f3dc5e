//! Incremental text equals the whole text, and no piece of it is half a character.

use proptest::prelude::*;
use protocol::ids::TokenId;

use super::open;
use crate::text::Text;

/// Pushes ids one by one; checks that every piece is made of whole characters.
fn stream(text: &Text, ids: &[TokenId], skip_special: bool) -> Vec<String> {
    let mut detokenizer = text.detokenizer(skip_special);
    let mut pieces: Vec<String> = ids.iter().map(|id| detokenizer.push(*id)).collect();
    pieces.push(detokenizer.finish());
    pieces
}

#[test]
fn a_character_of_many_ids_leaves_when_it_is_whole() {
    for name in ["golden/qwen2-tied", "vocabs/ggml-vocab-llama-spm.gguf"] {
        let text = open(name);
        let ids = text.encode("é 🦙🏽!", false).expect("encodes");
        let pieces = stream(&text, &ids, true);
        assert_eq!(pieces.concat(), "é 🦙🏽!", "{name}");
        assert!(pieces.iter().all(|piece| !piece.contains('\u{FFFD}')), "{name}: {pieces:?}");
        assert!(pieces.iter().any(String::is_empty), "{name}: some ids are half a character");
    }
}

#[test]
fn a_character_that_stays_incomplete_shows_at_the_end_only() {
    let text = open("golden/qwen2-tied");
    let ids = text.encode("a🦙", false).expect("encodes");
    let cut = &ids[..ids.len() - 1];
    let pieces = stream(&text, cut, true);
    let (last, before) = pieces.split_last().expect("a last piece");
    assert_eq!(before.concat(), "a");
    assert_eq!(last, "\u{FFFD}");
}

#[test]
fn bytes_that_can_be_no_character_do_not_hold_back_the_rest() {
    let text = open("golden/qwen2-tied");
    let llama = text.encode("🦙", false).expect("encodes");
    let a = text.encode("a", false).expect("encodes");
    let ids = [&llama[..2], &a[..]].concat();
    assert_eq!(stream(&text, &ids, true).concat(), "\u{FFFD}a");
}

#[test]
fn special_tokens_are_skipped_or_shown_and_break_no_character() {
    let text = open("golden/qwen2-tied");
    let end = text.eos_ids()[0];
    let llama = text.encode("🦙", false).expect("encodes");
    let ids = [&llama[..2], &[end], &llama[2..]].concat();
    assert_eq!(stream(&text, &ids, true).concat(), "🦙");
    let shown = stream(&text, &[llama, vec![end]].concat(), false).concat();
    assert_eq!(shown, format!("🦙{}", text.token_text(end)));
    assert!(shown.ends_with("|>"), "{shown}");
}

#[test]
fn an_id_beyond_the_vocabulary_shows_nothing() {
    let text = open("golden/qwen2-tied");
    let beyond = TokenId(text.token_count() as u32 + 5);
    assert_eq!(text.decode(&[beyond], false), "");
    assert!(text.token_bytes(beyond).is_empty());
}

#[test]
fn a_sentence_piece_answer_has_no_first_space_but_a_completion_keeps_it() {
    let text = open("vocabs/ggml-vocab-llama-spm.gguf");
    let ids = text.encode("Hello world", false).expect("encodes");
    assert_eq!(text.decode(&ids, true), "Hello world");
    let mut completion = text.detokenizer(true).continuing();
    let whole: String = ids.iter().map(|id| completion.push(*id)).collect();
    assert_eq!(whole, " Hello world");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn text_comes_back_whatever_it_is(input in "\\PC{0,40}") {
        let texts = texts();
        for text in texts {
            let ids = text.encode(&input, false).expect("encodes");
            let pieces = stream(text, &ids, false);
            prop_assert_eq!(pieces.concat(), input.clone());
        }
    }

    #[test]
    fn any_ids_stream_as_they_decode_at_once(
        ids in proptest::collection::vec(0..272_u32, 0..40),
    ) {
        for text in texts() {
            let ids: Vec<TokenId> = ids.iter().map(|id| TokenId(*id)).collect();
            for skip in [false, true] {
                let bytes: Vec<u8> = ids
                    .iter()
                    .filter(|id| !skip || !text.pieces.is_special(**id))
                    .flat_map(|id| text.token_bytes(*id).to_vec())
                    .collect();
                let mut whole = String::from_utf8_lossy(&bytes).into_owned();
                if text.pieces.strips_first_space && whole.starts_with(' ') {
                    whole.remove(0);
                }
                prop_assert_eq!(stream(text, &ids, skip).concat(), whole);
            }
        }
    }
}

/// A byte-level vocabulary and a SentencePiece one, loaded once.
fn texts() -> &'static [Text; 2] {
    static TEXTS: std::sync::OnceLock<[Text; 2]> = std::sync::OnceLock::new();
    TEXTS.get_or_init(|| [open("golden/qwen2-tied"), open("vocabs/ggml-vocab-llama-spm.gguf")])
}
