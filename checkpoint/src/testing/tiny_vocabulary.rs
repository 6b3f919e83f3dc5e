//! A byte-level BPE vocabulary that reads any text, padded with made-up words.

use protocol::model_spec::Architecture;

use super::RandomModel;
use super::gguf_writer::GgufWriter;
use crate::byte_level::sign_of;

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const MERGES: [(&str, &str); 4] = [("t", "h"), ("th", "e"), ("a", "n"), ("an", "d")];
const BOS: &str = "<|begin_of_text|>";
const EOS: &str = "<|im_end|>";
const CONTROLS: [&str; 3] = [BOS, "<|im_start|>", EOS];
const TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' \
    + message.content + '<|im_end|>\\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Adds the `tokenizer.*` fields.
pub(super) fn describe(header: &mut GgufWriter, model: &RandomModel) {
    let mut tokens: Vec<String> = (0..=255).map(|byte| sign_of(byte).to_string()).collect();
    tokens.extend(MERGES.iter().map(|(left, right)| format!("{left}{right}")));
    let first_control = tokens.len();
    tokens.extend(CONTROLS.map(str::to_owned));
    let first_word = tokens.len();
    tokens.extend((first_word..model.vocab as usize).map(|n| format!("Ġw{n}")));
    let kind = |index: usize| {
        if (first_control..first_word).contains(&index) { CONTROL } else { NORMAL }
    };
    let kinds: Vec<i32> = (0..tokens.len()).map(kind).collect();
    let id = |wanted: &str| tokens.iter().position(|t| t == wanted).unwrap_or_default() as u32;
    let llama = model.architecture == Architecture::Llama;
    header.string("tokenizer.ggml.model", "gpt2");
    header.string("tokenizer.ggml.pre", if llama { "llama-bpe" } else { "qwen2" });
    header.u32("tokenizer.ggml.eos_token_id", id(EOS));
    if llama {
        header.u32("tokenizer.ggml.bos_token_id", id(BOS));
    }
    header.bool("tokenizer.ggml.add_bos_token", llama);
    header.strings("tokenizer.ggml.tokens", &tokens);
    header.integers("tokenizer.ggml.token_type", &kinds);
    let merges: Vec<String> =
        MERGES.iter().map(|(left, right)| format!("{left} {right}")).collect();
    header.strings("tokenizer.ggml.merges", &merges);
    header.string("tokenizer.chat_template", TEMPLATE);
}
