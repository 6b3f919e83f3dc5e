//! What only the last stage has: the head and the sampler.

use protocol::step_batch::SampledToken;

#[cfg(feature = "candle")]
use crate::device::DeviceHead;
use crate::error::EngineError;
use crate::layers::{EachRow, LmHead};
use crate::sampler::Sampler;
use crate::step_lists::Asked;
use crate::workspace::{LogitSpace, TileSpace};

pub(super) struct Output {
    pub(super) head: Head,
    pub(super) sampler: Sampler,
}

pub(super) enum Head {
    Cpu(LmHead),
    #[cfg(feature = "candle")]
    Device(Box<DeviceHead>),
}

impl Head {
    /// Calls `each` with the logits of every asked row of `hidden` (`[rows, width]`).
    pub(super) fn each_row(
        &self,
        asked: &[Asked<'_>],
        hidden: &[f32],
        space: (&mut LogitSpace, &mut TileSpace),
        each: &mut EachRow<'_>,
    ) -> Result<(), EngineError> {
        match self {
            Self::Cpu(head) => head.each_row(asked, hidden, space, each),
            #[cfg(feature = "candle")]
            Self::Device(head) => head.each_row(asked, hidden, space, each),
        }
    }

    /// Samples every asked row of `hidden`; on the first rank only.
    pub(super) fn sample(
        &self,
        asked: &[Asked<'_>],
        hidden: &[f32],
        space: (&mut LogitSpace, &mut TileSpace),
        (sampler, samples): (&mut Sampler, &mut Vec<SampledToken>),
    ) -> Result<(), EngineError> {
        match self {
            Self::Cpu(head) => head.each_row(asked, hidden, space, &mut |at, logits| {
                samples.push(sampler.sample(at, logits)?);
                Ok(())
            }),
            #[cfg(feature = "candle")]
            Self::Device(head) => head.sample(asked, hidden, space, (sampler, samples)),
        }
    }

    /// Logits come together on the first rank, which alone samples.
    pub(super) fn is_first(&self) -> bool {
        match self {
            Self::Cpu(head) => head.is_first,
            #[cfg(feature = "candle")]
            Self::Device(head) => head.is_first,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Cpu(head) => head.bytes(),
            #[cfg(feature = "candle")]
            Self::Device(head) => head.bytes(),
        }
    }
}
