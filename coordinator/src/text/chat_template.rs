//! Chat templates: Jinja as Python's `transformers` runs it, on minijinja.

use std::time::SystemTime;

use checkpoint::TextAssets;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use serde_json::{Map, Value as Json};

use super::error::TextError;

mod calendar;
mod filters;
mod generation_tag;
mod python_float;
mod python_json;
mod python_text;
mod string_methods;

/// Instructions of one rendering; the longest published template needs some thousand a message.
const FUEL: u64 = 20_000_000;

/// What a conversation's rendering depends on beside its messages.
#[derive(Clone, Debug)]
pub struct ChatOptions {
    /// End with what opens the assistant's turn.
    pub add_generation_prompt: bool,
    /// Tool declarations, if any.
    pub tools: Option<Json>,
    /// Further variables of the template, e.g. `enable_thinking`.
    pub variables: Map<String, Json>,
    /// What the template's `strftime_now` tells (UTC).
    pub now: SystemTime,
}

impl Default for ChatOptions {
    fn default() -> Self {
        Self {
            add_generation_prompt: true,
            tools: None,
            variables: Map::new(),
            now: SystemTime::now(),
        }
    }
}

/// The templates of one model, compiled once.
pub(super) struct ChatTemplates {
    plain: Option<Result<Environment<'static>, TextError>>,
    /// Where the model has another template for conversations with tools.
    tools: Option<Result<Environment<'static>, TextError>>,
    /// `bos_token` and the like.
    special: Vec<(String, Value)>,
}

impl ChatTemplates {
    pub(super) fn new(assets: &TextAssets) -> Self {
        let special = assets.named_tokens.iter();
        Self {
            plain: assets.chat_template.as_deref().map(compile),
            tools: assets.tool_template.as_deref().map(compile),
            special: special.map(|t| (t.name.clone(), Value::from(t.text.as_str()))).collect(),
        }
    }

    pub(super) fn is_present(&self) -> bool {
        self.plain.is_some() || self.tools.is_some()
    }

    pub(super) fn render(
        &self,
        messages: &[Json],
        options: &ChatOptions,
    ) -> Result<String, TextError> {
        let for_tools = self.tools.as_ref().filter(|_| options.tools.is_some());
        let chosen = for_tools.or(self.plain.as_ref()).or(self.tools.as_ref());
        let environment =
            chosen.ok_or(TextError::NoChatTemplate)?.as_ref().map_err(Clone::clone)?;
        let template = environment.get_template(NAME).map_err(|e| failed(&e))?;
        template.render(self.context(messages, options)).map_err(|e| failed(&e))
    }

    fn context(&self, messages: &[Json], options: &ChatOptions) -> Value {
        let now = options.now;
        let strftime = Value::from_function(move |format: &str| calendar::format(now, format));
        // A client's variable never takes the place of the conversation itself.
        let variables = options.variables.iter().map(|(name, value)| (name.clone(), json(value)));
        let mut variables: Vec<(String, Value)> = variables.collect();
        variables.extend(self.special.iter().cloned());
        variables.extend([
            ("messages".to_owned(), Value::from(Serde(messages))),
            ("tools".to_owned(), options.tools.as_ref().map_or(Value::from(()), json)),
            ("documents".to_owned(), Value::from(())),
            ("add_generation_prompt".to_owned(), options.add_generation_prompt.into()),
            ("strftime_now".to_owned(), strftime),
        ]);
        Value::from_pairs(variables)
    }
}

const NAME: &str = "chat";

fn json(value: &Json) -> Value {
    Value::from(Serde(value))
}

fn compile(source: &str) -> Result<Environment<'static>, TextError> {
    let bad = |e: Error| TextError::BadTemplate { reason: e.to_string() };
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(bad)?);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(|output, _, value| {
        output.write_str(&python_text::str(value)).map_err(Error::from)
    });
    environment.set_unknown_method_callback(string_methods::call);
    environment.add_function("raise_exception", raise_exception);
    filters::register(&mut environment);
    // Python reads a template's line ends as \n, whatever they are.
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = generation_tag::rewrite(&source);
    environment.add_template_owned(NAME, source).map_err(bad)?;
    Ok(environment)
}

/// A template's own refusal, carried through minijinja as the source of its error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

fn raise_exception(message: Value) -> Result<Value, Error> {
    let refusal = Refusal(python_text::str(&message));
    Err(Error::new(ErrorKind::InvalidOperation, "raised by the template").with_source(refusal))
}

fn failed(error: &Error) -> TextError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return TextError::RefusedByTemplate { message: refusal.0.clone() };
        }
        source = cause.source();
    }
    // The kind and the line are enough to find the place; a value could be part of a prompt.
    let reason = match error.line() {
        Some(line) => format!("{} in line {line} of the template", error.kind()),
        None => error.kind().to_string(),
    };
    TextError::TemplateFailed { reason }
}
