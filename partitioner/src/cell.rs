//! The devices that may hold a stage together: one, or a tensor-parallel group with its shares.

use protocol::ids::LayerIndex;
use protocol::model_spec::{LayerRange, ModelSpec, ShareSlice};
use protocol::plan::{CollectiveKind, Share};

use crate::cost::exchange::Exchange;
use crate::cost::memory::StageBytes;
use crate::cost::roofline::{head_seconds, layer_seconds};
use crate::objective::Objective;
use crate::problem::Device;

/// Shares are dealt out in as many parts; what they mean follows from the model's own units.
pub(crate) const PARTS: u32 = 64;

pub(crate) struct Cell {
    /// Rank 0 first.
    pub members: Vec<Member>,
    /// None for one device.
    pub exchange: Option<Exchange>,
    /// `[layer]` seconds of one decode row through layers 0..layer, head not counted.
    decode_prefix: Vec<f64>,
    /// Seconds of the output norm and head, on the last stage.
    head: f64,
    /// `[start]` the largest end of a stage from `start` that fits; `start` itself: none does.
    fits_until: Vec<usize>,
    /// `[layer]` whether a stage may end before it.
    cuts: Vec<bool>,
}

pub(crate) struct Member {
    /// In `Problem::devices`.
    pub device: usize,
    pub share: Share,
    slice: ShareSlice,
}

impl Cell {
    /// `parts`: the devices with what each holds of `PARTS`, rank 0 first.
    pub(crate) fn new(
        spec: &ModelSpec,
        objective: &Objective,
        devices: &[Device<'_>],
        parts: &[(usize, u32)],
        exchange: Option<Exchange>,
    ) -> Self {
        let members = members(spec, parts);
        let layers = spec.layers.len();
        let mut cell = Self {
            members,
            exchange,
            decode_prefix: vec![0.0; layers + 1],
            head: 0.0,
            fits_until: Vec::new(),
            cuts: (0..=layers).map(|layer| spec.can_cut(LayerIndex(layer as u32))).collect(),
        };
        for layer in 0..layers {
            let seconds = cell.layer_seconds(spec, devices, layer, 1);
            cell.decode_prefix[layer + 1] = cell.decode_prefix[layer] + seconds;
        }
        cell.head = cell.head_seconds(spec, devices);
        cell.fits_until = (0..layers)
            .map(|start| {
                let fits = |end: &usize| {
                    let range = LayerRange::new(start as u32, *end as u32);
                    cell.members.iter().all(|member| {
                        let usable = devices[member.device].profile.memory_usable_bytes;
                        let bytes = StageBytes::of(spec, member.share, range, objective);
                        bytes.least(objective) <= usable
                            && bytes.blocks(usable, objective) >= objective.blocks_per_sequence()
                    })
                };
                (start + 1..=layers).take_while(fits).last().unwrap_or(start)
            })
            .collect();
        cell
    }

    /// Seconds of one decode row in layers `start..end`, with the head if the last layer is there.
    pub(crate) fn seconds(&self, start: usize, end: usize) -> f64 {
        let last = end + 1 == self.decode_prefix.len();
        let layers = self.decode_prefix[end] - self.decode_prefix[start];
        layers + if last { self.head } else { 0.0 }
    }

    /// Seconds of a step of `rows` rows of one prompt in layers `start..end`.
    pub(crate) fn step_seconds(
        &self,
        spec: &ModelSpec,
        devices: &[Device<'_>],
        (start, end): (usize, usize),
        rows: u32,
    ) -> f64 {
        let layers: f64 =
            (start..end).map(|layer| self.layer_seconds(spec, devices, layer, rows)).sum();
        layers + if end == spec.layers.len() { self.head } else { 0.0 }
    }

    /// The ends that a stage from `start` may have here.
    pub(crate) fn ends(&self, start: usize) -> impl Iterator<Item = usize> {
        (start + 1..=self.fits_until[start]).filter(|end| self.cuts[*end])
    }

    pub(crate) fn leader(&self) -> usize {
        self.members[0].device
    }

    /// The set of its devices, a bit for each.
    pub(crate) fn mask(&self) -> usize {
        self.members.iter().fold(0, |mask, member| mask | 1 << member.device)
    }

    pub(crate) fn collective(&self) -> CollectiveKind {
        self.exchange.map_or(CollectiveKind::Direct, |exchange| exchange.kind)
    }

    /// The slowest rank's part, and the sums after attention and after feed-forward.
    fn layer_seconds(
        &self,
        spec: &ModelSpec,
        devices: &[Device<'_>],
        layer: usize,
        rows: u32,
    ) -> f64 {
        let part = |member: &Member| match self.exchange {
            None => 1.0,
            Some(_) => spec.layer_part(LayerIndex(layer as u32), &member.slice),
        };
        let seconds = |member: &Member| {
            part(member) * layer_seconds(&spec.layers[layer], devices[member.device].profile, rows)
        };
        let slowest = self.members.iter().map(seconds).fold(0.0, f64::max);
        let bytes = 4 * u64::from(rows) * u64::from(spec.hidden_size);
        slowest + 2.0 * self.exchange.map_or(0.0, |exchange| exchange.all_reduce_seconds(bytes))
    }

    fn head_seconds(&self, spec: &ModelSpec, devices: &[Device<'_>]) -> f64 {
        let whole = |member: &Member| head_seconds(spec, devices[member.device].profile);
        let Some(exchange) = self.exchange else { return whole(&self.members[0]) };
        let part = |member: &Member| spec.head_part(&member.slice) * whole(member);
        let slowest = self.members.iter().map(part).fold(0.0, f64::max);
        let others = 1.0 - spec.head_part(&self.members[0].slice);
        let logits = 4.0 * f64::from(spec.vocab_size) * others;
        slowest + exchange.gather_seconds(logits as u64)
    }
}

fn members(spec: &ModelSpec, parts: &[(usize, u32)]) -> Vec<Member> {
    let mut start = 0;
    let whole = parts.len() == 1;
    parts
        .iter()
        .map(|&(device, units)| {
            let share = if whole { Share::WHOLE } else { Share { start, units, of: PARTS } };
            start += units;
            Member { device, share, slice: spec.slice(share) }
        })
        .collect()
}

/// `PARTS` in proportion to `weights`, at least one each: by largest remainder.
pub(crate) fn dealt(weights: &[f64]) -> Vec<u32> {
    let sum: f64 = weights.iter().sum();
    let free = f64::from(PARTS) - weights.len() as f64;
    let exact: Vec<f64> = weights.iter().map(|w| free * w / sum.max(f64::MIN_POSITIVE)).collect();
    let mut parts: Vec<u32> = exact.iter().map(|e| 1 + e.floor() as u32).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
    let left = PARTS.saturating_sub(parts.iter().sum());
    for &index in order.iter().cycle().take(left as usize) {
        parts[index] += 1;
    }
    parts
}
