//! Sums and gathers over the ranks of a tensor-parallel group.

mod fate;
mod link;
mod local;
mod mesh;
mod nccl;

use std::time::Duration;

#[cfg(feature = "candle")]
use crate::error::EngineError;
pub use fate::Fate;
pub use link::{Inbox, Link, LinkLost, Outbox};
pub use local::{LocalLink, in_process_group, local_links};
pub use mesh::Mesh;
#[cfg(feature = "nccl")]
pub(crate) use nccl::{Buffers, CommState, NcclCalls, NcclFault, UniqueId};
pub use nccl::{Joined, nccl_version, over_nccl};

/// What a rank calls in the middle of a step; all ranks of the group make the same calls.
pub trait Collective: Send {
    /// Replaces `values` by their sums over all ranks, added up in the order of ranks, so that
    /// every rank holds the same bits.
    fn all_reduce(&mut self, values: &mut [f32]) -> Result<(), CollectiveError>;

    /// On rank 0, fills `all` with what every rank calls `own`, in the order of ranks.
    fn gather(&mut self, own: &[f32], all: &mut [f32]) -> Result<(), CollectiveError>;

    /// The sums of f32 values on a device, which go through the host unless the group can do
    /// better. Whoever reads a result from the device asks the group's fate before it counts.
    #[cfg(feature = "candle")]
    fn all_reduce_tensor(
        &mut self,
        values: &candle_core::Tensor,
    ) -> Result<candle_core::Tensor, EngineError> {
        let mut sums = values.flatten_all()?.to_vec1::<f32>()?;
        self.all_reduce(&mut sums)?;
        Ok(candle_core::Tensor::from_vec(sums, values.shape(), values.device())?)
    }
}

/// A rank's place in its group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) rank: usize,
    pub(crate) ranks: usize,
}

/// The group is of no use any more: its epoch is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollectiveError {
    #[error("rank {rank} of the group is lost: {reason}")]
    RankLost { rank: usize, reason: String },
    #[error("rank {rank} of the group is silent for {} s", after.as_secs_f64())]
    RankSilent { rank: usize, after: Duration },
    #[error("rank {rank} brought {found} values, this rank {expected}: not the same step")]
    Disagree { rank: usize, found: usize, expected: usize },
    #[error("rank {rank} is at call {found} of the group, this rank at {expected}")]
    OutOfStep { rank: usize, found: u32, expected: u32 },
    #[error("NCCL: {0}")]
    Nccl(String),
    #[error("a stage that holds a share computes in a group; none was given")]
    NoGroup,
}

/// The group of a stage that is whole.
pub(crate) struct Alone;

impl Collective for Alone {
    fn all_reduce(&mut self, _: &mut [f32]) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn gather(&mut self, own: &[f32], all: &mut [f32]) -> Result<(), CollectiveError> {
        all.copy_from_slice(own);
        Ok(())
    }
}

/// The place of a group that is yet to be given.
pub(crate) struct Missing;

impl Collective for Missing {
    fn all_reduce(&mut self, _: &mut [f32]) -> Result<(), CollectiveError> {
        Err(CollectiveError::NoGroup)
    }

    fn gather(&mut self, _: &[f32], _: &mut [f32]) -> Result<(), CollectiveError> {
        Err(CollectiveError::NoGroup)
    }
}
