//! The conversation between a gateway and the head of a replica: one QUIC stream per sequence.

use wincode::{SchemaRead, SchemaWrite};

use crate::ids::TokenId;
use crate::sampling_params::SamplingParams;
use crate::step_batch::TokenLogprobs;

/// First frame of a `Generate` stream, gateway to head. (replica, epoch) stand in the frame header.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct GenerateRequest {
    /// For traces and logs only; unique per submission is not required.
    pub request_id: String,
    pub prompt: Vec<TokenId>,
    /// Emitted before this submission; not empty when a stream is resumed.
    pub emitted: Vec<TokenId>,
    pub sampling: SamplingParams,
    pub choice_seed: u64,
    /// Tokens of the whole answer, those in `emitted` included.
    pub tokens_max: u32,
    /// Goes first and is exempt from queue limits: a stream never gets a 429 in its middle.
    pub resumed: bool,
}

/// Head to gateway.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub enum GenerateEvent {
    /// In the queue; the head owns the sequence from here on.
    Accepted,
    Token(EmittedToken),
    /// Last frame of a stream that ran.
    Finished(FinishReason),
    /// Last frame of a stream that did not run, or could not go on.
    Refused(Refusal),
}

#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct EmittedToken {
    pub token: TokenId,
    pub logprobs: Option<TokenLogprobs>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum FinishReason {
    /// A stop token was sampled; it is not emitted.
    Stop,
    /// `tokens_max` or the context length was reached.
    Length,
    /// The gateway asked for it.
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub enum Refusal {
    /// The submission names an older epoch than the head's.
    StaleEpoch,
    /// The submission names an epoch that the head has not reached, or no rank acknowledged yet.
    NotYet,
    /// The waiting queue holds this many sequences.
    QueueFull { waiting: u32 },
    /// Prompt and answer can never fit: tokens asked for and tokens there are.
    TooLong { tokens: u32, limit: u32 },
    /// The submission cannot run anywhere, e.g. an empty prompt or an id outside the vocabulary.
    Invalid { reason: String },
    /// The pipeline broke under the sequence; resubmit to the next epoch.
    PipelineLost { reason: String },
    /// The node is shutting down or the shard was removed.
    ShuttingDown,
}
