//! What sampling needs of logits that stay on the device.

use candle_core::{DType, Tensor};

use super::target::Target;
use crate::kernels::cuda::{Argument, Kernel, space};
use crate::sampler::Candidate;

/// Threads that look through a row.
const THREADS: usize = 1024;

/// The largest of a row's logits, with the lowest of their tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Best {
    pub(super) candidate: Candidate,
    /// No logit of the row is infinite or no number.
    pub(super) finite: bool,
}

/// Of each row of `logits` (`[rows, vocabulary]`).
pub(super) fn best(target: &Target, logits: &Tensor) -> candle_core::Result<Vec<Best>> {
    let (rows, vocabulary) = logits.dims2()?;
    let out = space(&[rows, 3], DType::U32, &target.device)?;
    let arguments = [Argument::In(logits), Argument::Out, Argument::Int(vocabulary)];
    target.launch(Kernel::BestToken, [rows, 1, 1], THREADS, &arguments, &out)?;
    let best = |row: Vec<u32>| Best {
        candidate: Candidate { logit: f32::from_bits(row[1]), token: row[2] },
        finite: row[0] == 0,
    };
    Ok(out.to_vec2::<u32>()?.into_iter().map(best).collect())
}

/// The `count` likeliest tokens of a row (`[1, vocabulary]`), in no order.
pub(super) fn likeliest(
    target: &Target,
    logits: &Tensor,
    count: usize,
) -> candle_core::Result<Vec<Candidate>> {
    let vocabulary = logits.dim(1)?;
    let count = count.min(vocabulary);
    let out = space(&[2, count], DType::U32, &target.device)?;
    let sizes = [Argument::Int(vocabulary), Argument::Int(count)];
    let arguments = [Argument::In(logits), Argument::Out, sizes[0], sizes[1]];
    target.launch(Kernel::LikeliestTokens, [1, 1, 1], THREADS, &arguments, &out)?;
    let rows = out.to_vec2::<u32>()?;
    let pairs = rows[0].iter().zip(&rows[1]);
    Ok(pairs.map(|(t, l)| Candidate { logit: f32::from_bits(*l), token: *t }).collect())
}
