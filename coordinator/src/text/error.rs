//! What can go wrong between text and token ids.

#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TextError {
    #[error("tokenizer kind `{found}` is not supported; supported are {supported}")]
    UnknownTokenizer { found: String, supported: String },
    #[error("pre-tokenizer kind `{found}` is not known, so text would be split wrongly")]
    UnknownPreTokenizer { found: String },
    #[error("the tokenizer does not load: {reason}")]
    BadTokenizer { reason: String },
    #[error("the text does not encode: {reason}")]
    NotEncodable { reason: String },
    #[error("this model has no chat template: use the completions endpoint")]
    NoChatTemplate,
    #[error("the model's chat template does not compile: {reason}")]
    BadTemplate { reason: String },
    /// The template's own words about what it does not accept.
    #[error("{message}")]
    RefusedByTemplate { message: String },
    #[error("the model's chat template failed on these messages: {reason}")]
    TemplateFailed { reason: String },
}

impl TextError {
    /// The conversation is at fault, not the model.
    pub fn is_bad_request(&self) -> bool {
        matches!(
            self,
            Self::RefusedByTemplate { .. } | Self::TemplateFailed { .. } | Self::NoChatTemplate
        )
    }
}
