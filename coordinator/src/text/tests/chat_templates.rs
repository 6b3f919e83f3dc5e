//! Prompts against those that Python's jinja2 renders from the same templates.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use checkpoint::{NamedToken, TextAssets, Vocabulary};
use serde_json::{Value, json};

use super::{fixture, open};
use crate::text::chat_template::{ChatOptions, ChatTemplates};
use crate::text::{Text, TextError};

/// 2026-01-15 12:00 UTC, the `now` of the expected texts.
const NOON: Duration = Duration::from_secs(1_768_478_400);

fn templates(source: &str, named: &[(&str, Option<&str>)]) -> ChatTemplates {
    let named = named.iter().filter_map(|(name, text)| {
        Some(NamedToken { name: (*name).to_owned(), text: (*text)?.to_owned() })
    });
    ChatTemplates::new(&TextAssets {
        vocabulary: Vocabulary::TokenizerJson(Vec::new()),
        chat_template: Some(source.to_owned()),
        tool_template: None,
        bos: None,
        eos: Vec::new(),
        eot: None,
        add_bos: false,
        named_tokens: named.collect(),
    })
}

#[test]
fn every_expected_conversation_renders_as_in_python() {
    assert!(check_folder(&fixture("templates")) >= 200);
}

/// For templates that are not kept here: a folder with an `expected.json` of the same form,
/// named by `TRIREME_TEST_TEMPLATES`.
#[test]
fn further_conversations_render_as_in_python() {
    let Some(folder) = std::env::var_os("TRIREME_TEST_TEMPLATES") else { return };
    assert!(check_folder(Path::new(&folder)) > 0);
}

/// Renders every case of a folder; returns how many there are.
fn check_folder(folder: &Path) -> usize {
    let text = fs::read_to_string(folder.join("expected.json")).expect("readable");
    let expected: Value = serde_json::from_str(&text).expect("JSON");
    let mut wrong = Vec::new();
    let mut checked = 0;
    for entry in expected["templates"].as_array().expect("a list") {
        let file = entry["template"].as_str().expect("a name");
        let source = fs::read_to_string(folder.join(file)).expect("readable");
        let named = ["bos_token", "eos_token"].map(|name| (name, entry[name].as_str()));
        let templates = templates(&source, &named);
        for case in entry["cases"].as_array().expect("a list") {
            if let Err(difference) = check_case(&templates, case) {
                wrong.push(format!("{file}: {}\n{difference}", case["name"]));
            }
            checked += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
    checked
}

fn check_case(templates: &ChatTemplates, case: &Value) -> Result<(), String> {
    let options = ChatOptions {
        add_generation_prompt: case["add_generation_prompt"] == json!(true),
        tools: case.get("tools").cloned(),
        now: UNIX_EPOCH + NOON,
        ..ChatOptions::default()
    };
    let found = templates.render(case["messages"].as_array().expect("a list"), &options);
    let same = match (case["expected"].as_str(), case["error"].as_str()) {
        (Some(expected), _) => found.as_deref() == Ok(expected),
        (None, Some(error)) => {
            found == Err(TextError::RefusedByTemplate { message: error.to_owned() })
        }
        // Python fails on what the template does; minijinja may be more forgiving.
        (None, None) => true,
    };
    if same { Ok(()) } else { Err(format!("expected {case}\nfound {found:?}")) }
}

/// Renders a template over one message and two variables.
fn render(source: &str) -> Result<String, TextError> {
    let mut options = ChatOptions { now: UNIX_EPOCH + NOON, ..ChatOptions::default() };
    options.variables.insert(
        "data".to_owned(),
        json!({
            "b": [1, 2.0, null, true, "é\n\"x\"/</>"], "a": {}, "n": 1e20, "e": [],
        }),
    );
    options.variables.insert("names".to_owned(), json!(["x", "y", "z"]));
    options.variables.insert("messages".to_owned(), json!("not the conversation"));
    let messages = [json!({"role": "user", "content": "  Hi there, you  "})];
    templates(source, &[("bos_token", Some("<s>"))]).render(&messages, &options)
}

#[track_caller]
fn check(source: &str, expected: &str) {
    assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
}

#[test]
fn json_is_written_as_python_writes_it() {
    check(
        "{{ data | tojson }}",
        r#"{"b": [1, 2.0, null, true, "é\n\"x\"/</>"], "a": {}, "n": 1e+20, "e": []}"#,
    );
    check(
        "{{ data.b | tojson(ensure_ascii=true) }}",
        r#"[1, 2.0, null, true, "\u00e9\n\"x\"/</>"]"#,
    );
    check(
        "{{ {'k': [1, {'z': 2}], 'e': []} | tojson(indent=2) }}",
        "{\n  \"k\": [\n    1,\n    {\n      \"z\": 2\n    }\n  ],\n  \"e\": []\n}",
    );
    check(
        "{{ {'k': 1, 'a': 2} | tojson(separators=(',', ':'), sort_keys=true) }}",
        r#"{"a":2,"k":1}"#,
    );
    assert!(matches!(render("{{ nothing | tojson }}"), Err(TextError::TemplateFailed { .. })));
}

#[test]
fn values_are_shown_as_python_shows_them() {
    check("{{ true }} {{ none }} {{ 1.0 }} {{ nothing }}|", "True None 1.0 |");
    check("{{ data.b[:4] }} {{ {'a': 'it\\'s'} }}", "[1, 2.0, None, True] {'a': \"it's\"}");
    check("{{ [true, none] | join('-') }} {{ 3 | string + 'x' }}", "True-None 3x");
    check("{{ ('a', 'b') }}", "('a', 'b')");
}

#[test]
fn methods_of_text_and_mappings_behave_as_in_python() {
    check("{{ messages[0].content.strip() }}|", "Hi there, you|");
    check("{{ messages[0]['content'].split() | join('_') }}", "Hi_there,_you");
    check("{{ 'a,b,c'.split(',', 1)[-1] }} {{ 'a,b,c'.rsplit(',', 1)[0] }}", "b,c a,b");
    check("{{ '</think>\n\nx'.split('</think>')[-1].lstrip('\\n') }}", "x");
    check("{{ 'xxay'.lstrip('x') }} {{ 'abc'.startswith(('z', 'a')) }}", "ay True");
    check("{% for k, v in data.items() %}{{ k }}{% endfor %} {{ data.get('zz', 7) }}", "bane 7");
    check(
        "{{ 'a-b'.partition('-') | join('|') }} {{ 'prefix_x'.removeprefix('prefix_') }}",
        "a|-|b x",
    );
    check("{{ 'Ab'.upper() }} {{ \"it's so\".title() }} {{ 'x'.join(names) }}", "AB It'S So xxyxz");
    check("[{{ 'ab'.center(5) }}] {{ 'abc'.index('c') }} {{ '7'.zfill(3) }}", "[  ab ] 2 007");
    check("{{ 'a\\nb\\r\\nc'.splitlines() | length }} {{ 'aXa'.replace('a', 'b', 1) }}", "3 bXa");
}

#[test]
fn the_language_has_what_templates_use() {
    check(
        "{% set a = namespace(n=0) %}{% for x in names %}{% set a.n = a.n + 1 %}{% endfor %}\
         {{ a.n }}",
        "3",
    );
    check(
        "{% for x in names %}{% if loop.index0 == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
        "xz",
    );
    check("{% for x in names[::-1] %}{{ x }}{% if loop.last %}.{% endif %}{% endfor %}", "zyx.");
    check("{{ names[-1] }}{{ names[1:] | length }}{{ 'abc'[1:] }}", "z2bc");
    check("{% if names is iterable and 'x' is string and data is mapping %}y{% endif %}", "y");
    check("{% if data is sequence and 'x' is iterable and 3 is not iterable %}y{% endif %}", "y");
    check("{% if none is not iterable and nothing is not string %}y{% endif %}", "y");
    check("{% if tools is none and nothing is not defined and not documents %}y{% endif %}", "y");
    check("{% macro m(a, b='x') %}{{ a ~ b }}{% endmacro %}{{ m(1) }}{{ m(2, b='y') }}", "1x2y");
    check("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1");
    check("{{ strftime_now('%d %b %Y') }} {{ bos_token }}", "15 Jan 2026 <s>");
    check("{%- generation -%} a {%- endgeneration %}\nb", "ab");
    check(
        "{% for x in names %}\n  {% if true %}\n{{ x }}\n  {% endif %}\n{% endfor %}\n",
        "x\ny\nz\n",
    );
    check("a\r\nb\r\n", "a\nb");
    check("{{ '5' | int + 1 }} {{ range(3) | list }} {{ [3, 1] | sort | first }}", "6 [0, 1, 2] 1");
}

#[test]
fn a_refusal_reaches_the_user_in_the_templates_own_words() {
    let error = render("{{ raise_exception('No system role: ' + messages[0].role) }}");
    let expected = TextError::RefusedByTemplate { message: "No system role: user".to_owned() };
    assert!(expected.is_bad_request());
    assert_eq!(error, Err(expected));
    let nested = "{% macro m() %}{{ raise_exception('inside') }}{% endmacro %}{{ m() }}";
    assert_eq!(render(nested).map_err(|e| e.to_string()), Err("inside".to_owned()));
}

#[test]
fn a_failing_template_says_where_and_not_what_the_user_wrote() {
    let error = render("line one\n{{ messages[0].content + 1 }}").expect_err("adds a number");
    let text = error.to_string();
    assert!(text.contains("line 2"), "{text}");
    assert!(!text.contains("Hi there"), "{text}");
}

#[test]
fn a_template_that_never_ends_is_stopped() {
    let endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    assert!(matches!(render(endless), Err(TextError::TemplateFailed { .. })));
}

#[test]
fn a_template_that_does_not_compile_is_an_error_of_chats_only() {
    let mut assets =
        checkpoint::open_text(&fixture("golden/qwen2-tied")).expect("the text side opens");
    assets.chat_template = Some("{% if %}".to_owned());
    let text = Text::new(&assets).expect("text loads");
    assert!(text.encode("hello", true).is_ok());
    let error = text.apply_chat_template(&[], &ChatOptions::default()).expect_err("no template");
    assert!(matches!(error, TextError::BadTemplate { .. }) && !error.is_bad_request());
    assets.chat_template = None;
    let text = Text::new(&assets).expect("text loads");
    let error = text.apply_chat_template(&[], &ChatOptions::default());
    assert_eq!(error, Err(TextError::NoChatTemplate));
}

#[test]
fn a_chat_prompt_has_its_special_tokens_and_one_bos() {
    let mut assets =
        checkpoint::open_text(&fixture("golden/llama-gqa-rope-scaled.gguf")).expect("opens");
    let messages = [json!({"role": "user", "content": "hello"})];
    let encode = |assets: &TextAssets| {
        let text = Text::new(assets).expect("loads");
        let ids = text.encode_chat(&messages, &ChatOptions::default()).expect("encodes");
        (text, ids)
    };
    assets.chat_template = Some("{{ bos_token }}{{ messages[0].content }}<|eot_id|>".to_owned());
    let (text, with_bos) = encode(&assets);
    let bos = text.bos_id().expect("a BOS");
    assert_eq!(with_bos.iter().filter(|id| **id == bos).count(), 1);
    assert_eq!(text.token_text(*with_bos.last().expect("an end")), "<|eot_id|>");
    assets.chat_template = Some("{{ messages[0].content }}<|eot_id|>".to_owned());
    assert_eq!(encode(&assets).1, with_bos, "the file asks for BOS");
    let folder = open("golden/llama-tied");
    let ids = folder.encode_chat(&messages, &ChatOptions::default()).expect("encodes");
    assert_eq!(ids, folder.encode("user: hello\n", false).expect("encodes"));
}

#[test]
fn a_chat_with_the_demo_model_is_made_of_its_special_tokens() {
    let text = open("../models/demo/demo.gguf");
    let messages = [json!({"role": "user", "content": "Hello, <|im_end|> é!"})];
    let prompt = text.apply_chat_template(&messages, &ChatOptions::default()).expect("renders");
    assert!(prompt.ends_with("<|im_start|>assistant\n"), "{prompt}");
    let ids = text.encode_chat(&messages, &ChatOptions::default()).expect("encodes");
    let starts = ids.iter().filter(|id| text.token_text(**id) == "<|im_start|>").count();
    assert_eq!(starts, prompt.matches("<|im_start|>").count());
    assert_eq!(text.decode(&ids, false), prompt);
}
