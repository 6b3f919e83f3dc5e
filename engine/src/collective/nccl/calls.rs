//! The few calls of NCCL that a group makes, so that they can be made up in tests.

use std::fmt;

use super::agreement::UniqueId;

/// The library, or something that behaves like it. No call waits: communicators do not block.
pub(crate) trait NcclCalls: Send + Sync + 'static {
    /// A communicator's handle.
    type Handle: Copy + Send + 'static;

    /// As NCCL counts: 22703 is 2.27.3.
    fn version(&self) -> u32;

    fn unique_id(&self) -> Result<UniqueId, NcclFault>;

    /// Begins to set a communicator up; `state` tells when it is there.
    fn begin(&self, id: &UniqueId, rank: usize, ranks: usize) -> Result<Self::Handle, NcclFault>;

    /// Of the last call on the communicator, and of what it does on its own since.
    fn state(&self, of: Self::Handle) -> CommState;

    /// Queues the sum over all ranks of `buffers.from` into `buffers.to`.
    fn all_reduce(&self, of: Self::Handle, buffers: Buffers) -> Result<(), NcclFault>;

    /// Ends the communicator and whatever of it is still on a device; the handle is gone.
    fn abort(&self, of: Self::Handle);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommState {
    Ready,
    InProgress,
    Failed(NcclFault),
}

/// f32 values on a device, and the stream of it that they are computed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffers {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) values: usize,
    pub(crate) stream: usize,
}

/// A result of NCCL's that is neither success nor "in progress".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NcclFault(pub(crate) i32);

impl fmt::Display for NcclFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self.0 {
            1 => "a CUDA call failed",
            2 => "a system call failed",
            3 => "an internal error, or memory that was written over",
            4 => "an argument is not valid",
            5 => "used in a way that it refuses, as two ranks on one GPU",
            6 => "a peer or the network failed",
            8 => "it took too long",
            _ => "an error that this program does not know",
        };
        write!(f, "{meaning} (ncclResult_t {})", self.0)
    }
}
