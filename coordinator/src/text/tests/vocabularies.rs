//! Token ids against those of the llama.cpp project's own test data, and of `tokenizers`.

use std::fs;
use std::path::Path;

use checkpoint::{GgufVocabulary, TextAssets, TokenKind, Vocabulary};
use proptest::prelude::*;
use protocol::ids::TokenId;

use super::{fixture, open};
use crate::text::{Text, TextError};

/// Compares every text of `<vocabulary>.inp` with its line of `<vocabulary>.out`.
fn check_vocabulary(gguf: &Path) {
    let companion = |ending: &str| {
        let path = format!("{}{ending}", gguf.display());
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
    };
    let (texts, ids) = (companion(".inp"), companion(".out"));
    let assets = checkpoint::open_text(gguf).expect("the vocabulary opens");
    let text = Text::new(&assets).expect("the vocabulary loads");
    let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
    let lines: Vec<&str> = ids.lines().collect();
    assert!(texts.len() >= lines.len() && lines.len() > 30, "the pair belongs together");
    let mut wrong = Vec::new();
    for (input, line) in texts.iter().zip(&lines) {
        let expected: Vec<TokenId> =
            line.split_whitespace().map(|id| TokenId(id.parse().expect("an id"))).collect();
        let found = text.encode(input, false).expect("encodes");
        if found != expected {
            wrong.push(format!("{input:?}\n  expected {expected:?}\n  found    {found:?}"));
        }
        assert_eq!(&text.decode(&found, false), input, "ids read back as the text");
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
}

#[test]
fn sentence_piece_ids_equal_those_of_llama_cpp() {
    check_vocabulary(&fixture("vocabs/ggml-vocab-llama-spm.gguf"));
}

/// For vocabularies too large to keep here: a folder of `ggml-vocab-*.gguf` files and their
/// `.inp` and `.out` companions, named by `TRIREME_TEST_VOCABS`.
#[test]
fn further_vocabularies_equal_those_of_llama_cpp() {
    let Some(folder) = std::env::var_os("TRIREME_TEST_VOCABS") else { return };
    let mut checked = 0;
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "gguf") {
            check_vocabulary(&path);
            checked += 1;
        }
    }
    assert!(checked > 0, "the folder holds vocabularies");
}

#[test]
fn a_gguf_vocabulary_and_its_tokenizer_json_give_the_same_ids() {
    for name in ["golden/qwen2-tied", "golden/llama-gqa-rope-scaled"] {
        let folder = open(name);
        let twin = open(&format!("{name}.gguf"));
        for text in
            ["the and then, hello", "  2026 was\n\n a year's\tend ", "<|im_end|>é<|eot_id|>"]
        {
            for special in [false, true] {
                let ids = folder.encode(text, special).expect("encodes");
                assert_eq!(ids, twin.encode(text, special).expect("encodes"), "{name} {text:?}");
                assert_eq!(folder.decode(&ids, true), twin.decode(&ids, true));
            }
        }
        assert!(folder.eos_ids().iter().all(|id| twin.eos_ids().contains(id)), "{name}");
    }
}

#[test]
fn bos_is_added_where_the_model_wants_it_and_never_twice() {
    let text = open("golden/llama-gqa-rope-scaled.gguf");
    let bos = text.bos_id().expect("the model has one");
    let plain = text.encode("hello", false).expect("encodes");
    assert!(!plain.contains(&bos));
    let with = text.encode("hello", true).expect("encodes");
    assert_eq!((with[0], &with[1..]), (bos, plain.as_slice()));
    assert_eq!(text.encode("<|begin_of_text|>hello", true).expect("encodes"), with);
    let folder = open("golden/llama-gqa-rope-scaled");
    assert_eq!(folder.encode("<|begin_of_text|>hello", true).expect("encodes"), with);
    let qwen = open("golden/qwen2-tied.gguf");
    let ids = qwen.encode("hello", true).expect("encodes");
    assert_eq!(ids, qwen.encode("hello", false).expect("encodes"));
}

/// A small SentencePiece vocabulary: words of `a` and `b`, every byte, two special tokens.
fn small_sentence_piece() -> TextAssets {
    let mut tokens = vec!["<unk>".to_owned(), "<s>".to_owned(), "<user>".to_owned()];
    let mut kinds = vec![TokenKind::Unknown, TokenKind::Control, TokenKind::UserDefined];
    let mut scores = vec![0.0; 3];
    for byte in 0..=255 {
        tokens.push(format!("<0x{byte:02X}>"));
        kinds.push(TokenKind::Byte);
        scores.push(0.0);
    }
    for (piece, score) in [
        ("▁", -9.0),
        ("a", -8.0),
        ("b", -7.0),
        ("ab", -2.0),
        ("ba", -1.0),
        ("▁a", -3.0),
        ("aba", -4.0),
    ] {
        tokens.push(piece.to_owned());
        kinds.push(TokenKind::Normal);
        scores.push(score);
    }
    let vocabulary = GgufVocabulary {
        model: "llama".to_owned(),
        pre: None,
        tokens,
        scores,
        kinds,
        merges: Vec::new(),
        add_space_prefix: Some(true),
        unknown: Some(TokenId(0)),
    };
    TextAssets {
        vocabulary: Vocabulary::Gguf(vocabulary),
        chat_template: None,
        tool_template: None,
        bos: Some(TokenId(1)),
        eos: Vec::new(),
        eot: None,
        add_bos: true,
        named_tokens: Vec::new(),
    }
}

#[test]
fn the_best_score_merges_first_and_special_tokens_restart_the_text() {
    let text = Text::new(&small_sentence_piece()).expect("loads");
    let check = |input: &str, expected: &[&str]| {
        let ids = text.encode(input, false).expect("encodes");
        let found: Vec<String> = ids.iter().map(|id| text.token_text(*id)).collect();
        assert_eq!(found, expected, "{input:?}");
    };
    // `ba` has the best score, so `▁` and `a` are taken apart before `▁a` can form.
    check("aba", &[" a", "ba"]);
    check("ab", &[" ", "ab"]);
    check("abab", &[" a", "ba", "b"]);
    check("a<user>b", &[" a", "<user>", " ", "b"]);
    let ids = text.encode("é", false).expect("encodes");
    assert_eq!(ids.len(), 3, "a space and two bytes: {ids:?}");
    assert_eq!(text.decode(&ids, false), "é");
    assert_eq!(text.encode("a", true).expect("encodes")[0], TokenId(1));
}

#[test]
fn merges_over_characters_keep_spaces_and_fall_back_to_bytes() {
    let mut assets = small_sentence_piece();
    let Vocabulary::Gguf(vocabulary) = &mut assets.vocabulary else { panic!("a GGUF vocabulary") };
    vocabulary.model = "gemma4".to_owned();
    vocabulary.add_space_prefix = Some(false);
    vocabulary.merges = ["\u{2581} a", "b a", "a b"].map(str::to_owned).to_vec();
    let text = Text::new(&assets).expect("loads");
    let check = |input: &str, expected: &[&str]| {
        let ids = text.encode(input, false).expect("encodes");
        let found: Vec<String> = ids.iter().map(|id| text.token_text(*id)).collect();
        assert_eq!(found, expected, "{input:?}");
        assert_eq!(text.decode(&ids, false), input);
    };
    // By the rank of the merges; no space is put before the text.
    check("aba", &["a", "ba"]);
    check(" ab", &[" a", "b"]);
    check("a<user>b", &["a", "<user>", "b"]);
    let ids = text.encode("é", false).expect("encodes");
    assert_eq!((ids.len(), text.decode(&ids, false)), (2, "é".to_owned()));
}

#[test]
fn unknown_kinds_are_errors_that_name_them() {
    let refused = |change: &dyn Fn(&mut GgufVocabulary)| {
        let mut assets = small_sentence_piece();
        let Vocabulary::Gguf(vocabulary) = &mut assets.vocabulary else { return String::new() };
        change(vocabulary);
        Text::new(&assets).err().map_or_else(String::new, |e| e.to_string())
    };
    assert!(refused(&|v| v.model = "t5".to_owned()).contains("`t5`"));
    let pre = refused(&|v| {
        v.model = "gpt2".to_owned();
        v.pre = Some("martian".to_owned());
    });
    assert!(pre.contains("`martian`"), "{pre}");
    assert!(refused(&|v| v.scores.clear()).contains("score"));
    let assets = TextAssets {
        vocabulary: Vocabulary::TokenizerJson(b"{}".to_vec()),
        ..small_sentence_piece()
    };
    assert!(matches!(Text::new(&assets), Err(TextError::BadTokenizer { .. })));
}

#[test]
fn every_known_kind_splits_any_text_into_what_reads_back() {
    const KINDS: [&str; 20] = [
        "default",
        "gpt-2",
        "smollm",
        "llama-bpe",
        "qwen2",
        "qwen35",
        "tekken",
        "gpt-4o",
        "tiny_aya",
        "falcon",
        "deepseek-llm",
        "deepseek-coder",
        "deepseek-v3",
        "bloom",
        "viking",
        "bailingmoe",
        "seed-coder",
        "superbpe",
        "exaone-moe",
        "starcoder",
    ];
    let mut assets =
        checkpoint::open_text(&fixture("golden/qwen2-tied.gguf")).expect("the text side opens");
    for kind in KINDS {
        let Vocabulary::Gguf(vocabulary) = &mut assets.vocabulary else { panic!("a GGUF file") };
        vocabulary.pre = Some(kind.to_owned());
        let text = Text::new(&assets).unwrap_or_else(|e| panic!("{kind}: {e}"));
        let input = "  It's 12345 (naïve) words,\tΩmega 中文字 การ e\u{301}\r\n\n x=~|`'LL 🦙  ";
        let ids = text.encode(input, false).expect("encodes");
        assert_eq!(text.decode(&ids, false), input, "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_strange_vocabulary_is_an_error_or_works_but_never_panics(
        entries in proptest::collection::vec(("[ab \u{2581}Ġé<>0x]{0,4}", 0..6_usize), 0..24),
        merges in proptest::collection::vec("[ab Ġ]{0,6}", 0..8),
        model in prop_oneof![Just("gpt2"), Just("llama"), Just("gemma4")],
        pre in prop_oneof![Just("default"), Just("llama-bpe"), Just("superbpe"), Just("bloom")],
        input in "[ab é<>0x\n7\u{1F999}]{0,24}",
    ) {
        const KINDS: [TokenKind; 6] = [
            TokenKind::Normal,
            TokenKind::Unknown,
            TokenKind::Control,
            TokenKind::UserDefined,
            TokenKind::Unused,
            TokenKind::Byte,
        ];
        let vocabulary = GgufVocabulary {
            model: model.to_owned(),
            pre: Some(pre.to_owned()),
            scores: entries.iter().map(|(text, _)| text.len() as f32).collect(),
            kinds: entries.iter().map(|(_, kind)| KINDS[*kind]).collect(),
            tokens: entries.into_iter().map(|(text, _)| text).collect(),
            merges,
            add_space_prefix: None,
            unknown: None,
        };
        let mut assets = small_sentence_piece();
        assets.vocabulary = Vocabulary::Gguf(vocabulary);
        if let Ok(text) = Text::new(&assets) {
            let ids = text.encode(&input, true).unwrap_or_default();
            let _ = text.decode(&ids, true);
        }
    }
}

#[test]
fn a_file_on_which_the_library_gives_up_is_an_error() {
    let folder = fixture("golden/llama-tied");
    let mut assets = checkpoint::open_text(&folder).expect("the text side opens");
    let json = fs::read_to_string(folder.join("tokenizer.json")).expect("readable");
    let model = json.find("\"model\"").expect("a model");
    for part in [
        r#""normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "#,
        r#""decoder": {"type": "ByteLevel", "note": "\ud800"}, "#,
    ] {
        let broken = format!("{{\"version\": \"1.0\", {part}{}", &json[model..]);
        assets.vocabulary = Vocabulary::TokenizerJson(broken.into_bytes());
        let refused = Text::new(&assets).map(drop).expect_err(part);
        assert!(matches!(refused, TextError::BadTokenizer { .. }), "{refused}");
    }
}
