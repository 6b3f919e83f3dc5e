//! `stream` and its options.

use super::fields::Fields;
use crate::gateway::error::ApiError;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamFields {
    pub(super) stream: bool,
    /// One more chunk at the end, with the usage and no choices.
    pub(super) include_usage: bool,
    /// The usage so far in every chunk.
    pub(super) continuous_usage: bool,
}

impl StreamFields {
    pub(super) fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let stream = fields.boolean("stream")?.unwrap_or(false);
        let Some(options) = fields.object("stream_options")? else {
            return Ok(Self { stream, ..Self::default() });
        };
        if !stream {
            let message = "'stream_options' is only allowed when 'stream' is true.";
            return Err(ApiError::invalid("stream_options", message));
        }
        let mut options = Fields::of(options);
        let flag = |options: &mut Fields, name: &str| {
            let value = options.boolean(name);
            value.map_err(|e| e.about(format!("stream_options.{name}")))
        };
        Ok(Self {
            stream,
            include_usage: flag(&mut options, "include_usage")?.unwrap_or(false),
            continuous_usage: flag(&mut options, "continuous_usage_stats")?.unwrap_or(false),
        })
    }
}
