//! What can be wrong with a model, a stage's configuration or a batch from a peer.

use checkpoint::{StorageError, WeightType};
use protocol::ids::{BlockId, LayerIndex, SequenceId, StateSlot, TokenId};
use protocol::model_spec::{LayerRange, StateKind};
use protocol::plan::Share;

use crate::collective::CollectiveError;

/// Loading and running a stage. Nothing here is a panic: batches come from another machine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("layers {range} are not a part of a model with {layers} layers")]
    BadLayerRange { range: LayerRange, layers: u32 },
    #[error(
        "share {}+{} of {}: expected at least one unit, inside the whole",
        .0.start, .0.units, .0.of
    )]
    BadShare(Share),
    #[error("layer {layer} keeps {state:?}, which no part of the specification describes")]
    UnsupportedState { layer: LayerIndex, state: StateKind },
    #[error(
        "layer {layer} reads the keys of layer {source_layer}, which is not in {range}: no cut may \
         come between the two"
    )]
    CutFromKeys { layer: LayerIndex, source_layer: LayerIndex, range: LayerRange },
    #[error("model configuration: {field} is {value}, {expected}")]
    BadSpec { field: &'static str, value: u64, expected: &'static str },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("tensor `{name}` of {weight} takes {found} bytes, its shape needs {expected}")]
    BadLength { name: String, weight: WeightType, found: u64, expected: u64 },
    #[error("tensor `{name}` has {columns} columns, {weight} comes in blocks of {block}")]
    BadColumns { name: String, weight: WeightType, columns: u64, block: u64 },
    #[error("tensor `{name}` does not read from file {file} at {offset}: {source}")]
    Read { name: String, file: u32, offset: u64, source: std::io::Error },
    #[error(
        "tensor `{name}` of {weight}, at {offset} of its file, holds a number that is not finite, \
         in row {row} or after"
    )]
    NotFiniteWeight { name: String, weight: WeightType, offset: u64, row: usize },
    #[error("{what} are not computed on this kind of device yet")]
    NotOnDevice { what: &'static str },
    #[error("no CUDA device: {reason}")]
    NoCuda { reason: String },
    #[error("device `{name}` is not known: expected `cpu` or `cuda:N`")]
    BadPlace { name: String },
    /// What the device's library says.
    #[error("device: {0}")]
    Device(String),
    #[error(
        "tensor `{name}` puts a column into group {found} where one of group {expected} must \
         follow: expected {group} columns in each"
    )]
    BadGroups { name: String, group: u64, found: u32, expected: u64 },
    #[error(
        "tensor `{name}` has its columns in an order of their own (desc_act): {columns} of them \
         alone cannot be loaded, take whole stages or another file"
    )]
    OrderedColumns { name: String, columns: u64 },
    #[error("{device} has {free} bytes free, the stage needs {needed}")]
    DeviceFull { device: String, needed: u64, free: u64 },
    #[error("no memory for {bytes} bytes of {what}")]
    OutOfMemory { what: &'static str, bytes: u64 },

    #[error("the step has {found} rows, the plan allows {limit}")]
    TooManyRows { found: usize, limit: usize },
    #[error("sequence {sequence} comes with no token")]
    NoTokens { sequence: SequenceId },
    #[error("sequence {sequence} has {found} block tables, this model has {expected} KV group")]
    BadBlockTables { sequence: SequenceId, found: usize, expected: usize },
    #[error(
        "sequence {sequence} reaches position {end}, its block table or context ends at {limit}"
    )]
    PositionOutOfRange { sequence: SequenceId, end: u64, limit: u64 },
    #[error("block {block} is not one of the pool's {blocks}")]
    BadBlock { block: BlockId, blocks: u32 },
    #[error("sequence {sequence} has no slot for the state of the model's recurrent layers")]
    NoSlot { sequence: SequenceId },
    #[error("slot {slot} is not one of the {slots}")]
    BadSlot { slot: StateSlot, slots: usize },
    #[error("sequence {sequence} goes on at position {position}, slot {slot} stands at {ready}")]
    StateElsewhere { sequence: SequenceId, slot: StateSlot, position: u32, ready: u32 },
    #[error("a snapshot of {found} bytes does not fit this stage's slots of {expected}")]
    BadSnapshot { found: usize, expected: usize },
    #[error("token {token} is not in the vocabulary of {vocabulary}")]
    BadToken { token: TokenId, vocabulary: u32 },
    #[error("the step's activations take {found} bytes, its rows need {expected}")]
    BadActivations { found: usize, expected: usize },
    #[error("layers {range} expect {expected} as input")]
    WrongInput { range: LayerRange, expected: &'static str },
    #[error("sequence {sequence} was never started on this stage")]
    UnknownSequence { sequence: SequenceId },
    #[error("{known} sequences are known to the sampler, no more may start")]
    TooManySequences { known: usize },
    #[error("sequence {sequence} asks for position {position}, its known tokens end at {known}")]
    UnknownTokens { sequence: SequenceId, position: u64, known: u64 },
    #[error("token mask of sequence {sequence} has {found} words, the vocabulary needs {expected}")]
    BadMask { sequence: SequenceId, found: usize, expected: usize },
    #[error("no token is allowed for sequence {sequence} at position {position}")]
    NothingAllowed { sequence: SequenceId, position: u64 },
    #[error("logits of sequence {sequence} at position {position} are not finite numbers")]
    NotFinite { sequence: SequenceId, position: u64 },
    #[error("tensor-parallel group: {0}")]
    Group(#[from] CollectiveError),
    #[error("a sequence of {tokens} tokens does not fit the {limit} that are planned")]
    TooLong { tokens: u64, limit: u64 },
}

impl EngineError {
    /// Whether a device or the host had no memory left.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::OutOfMemory { .. } | Self::DeviceFull { .. } => true,
            Self::Device(said) => said.contains("CUDA_ERROR_OUT_OF_MEMORY"),
            _ => false,
        }
    }
}
