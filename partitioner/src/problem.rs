//! A planning task with its tables filled in: what every stage on every device costs.

use protocol::ids::LayerIndex;
use protocol::model_spec::{LayerRange, ModelSpec};
use protocol::node_profile::DeviceProfile;

use crate::cluster::{Candidate, Cluster};
use crate::cost::link::hop_seconds;
use crate::cost::memory::StageBytes;
use crate::cost::roofline::stage_seconds;
use crate::objective::Objective;

pub(crate) struct Problem<'a> {
    pub spec: &'a ModelSpec,
    pub objective: &'a Objective,
    pub devices: Vec<Device<'a>>,
    pub layers: usize,
    /// `[from][to]` seconds of an activation row's hop; none: not reachable.
    pub hop: Vec<Vec<Option<f64>>>,
    /// `[from][to]` seconds of the token ids' way back to the head.
    pub back: Vec<Vec<Option<f64>>>,
}

pub(crate) struct Device<'a> {
    pub candidate: &'a Candidate,
    pub index: u32,
    pub profile: &'a DeviceProfile,
    /// `[layer]` seconds of one decode row through layers 0..layer, head not counted.
    decode_prefix: Vec<f64>,
    /// Seconds of the output norm and head, on the last stage.
    head: f64,
    /// `[start]` the largest end of a stage from `start` that fits; `start` itself: none does.
    fits_until: Vec<usize>,
    /// `[layer]` whether a stage may end before it.
    cuts: Vec<bool>,
}

/// Token ids of a whole batch and their header.
const RESULT_BYTES: u64 = 256;

impl<'a> Problem<'a> {
    pub(crate) fn new(spec: &'a ModelSpec, cluster: &'a Cluster, objective: &'a Objective) -> Self {
        let devices: Vec<_> = cluster
            .nodes
            .iter()
            .flat_map(|c| c.profile.devices.iter().enumerate().map(move |(i, d)| (c, i, d)))
            .map(|(c, i, d)| Device::new(spec, objective, c, i as u32, d))
            .collect();
        let row_bytes = u64::from(spec.hidden_size) * objective.activation.bytes() as u64;
        let table = |bytes: u64| -> Vec<Vec<Option<f64>>> {
            let seconds = |a: &Device<'_>, b: &Device<'_>| {
                hop_seconds(cluster.link(a.candidate, b.candidate), bytes)
            };
            devices.iter().map(|a| devices.iter().map(|b| seconds(a, b)).collect()).collect()
        };
        let (hop, back) = (table(row_bytes), table(RESULT_BYTES));
        Self { spec, objective, layers: spec.layers.len(), devices, hop, back }
    }
}

impl<'a> Device<'a> {
    fn new(
        spec: &ModelSpec,
        objective: &Objective,
        candidate: &'a Candidate,
        index: u32,
        profile: &'a DeviceProfile,
    ) -> Self {
        let layers = spec.layers.len();
        let mut decode_prefix = vec![0.0; layers + 1];
        for layer in 0..layers {
            let one = LayerRange::new(layer as u32, layer as u32 + 1);
            // The head's share of the last layer is kept apart, so that prefixes stay additive.
            let head = if layer + 1 == layers { head_seconds(spec, profile) } else { 0.0 };
            let seconds = stage_seconds(spec, one, profile, 1) - head;
            decode_prefix[layer + 1] = decode_prefix[layer] + seconds;
        }
        let fits_until = (0..layers)
            .map(|start| {
                let fits = |end: &usize| {
                    let range = LayerRange::new(start as u32, *end as u32);
                    let bytes = StageBytes::of(spec, range, objective);
                    bytes.least(objective) <= profile.memory_usable_bytes
                        && bytes.blocks(profile.memory_usable_bytes, objective)
                            >= objective.blocks_per_sequence()
                };
                (start + 1..=layers).take_while(fits).last().unwrap_or(start)
            })
            .collect();
        let head = head_seconds(spec, profile);
        let cuts = (0..=layers).map(|layer| spec.can_cut(LayerIndex(layer as u32))).collect();
        Self { candidate, index, profile, decode_prefix, head, fits_until, cuts }
    }

    /// Seconds of one decode row in layers `start..end`, with the head if the last layer is there.
    pub(crate) fn seconds(&self, start: usize, end: usize) -> f64 {
        let last = end + 1 == self.decode_prefix.len();
        let layers = self.decode_prefix[end] - self.decode_prefix[start];
        layers + if last { self.head } else { 0.0 }
    }

    /// The ends that a stage from `start` may have on this device.
    pub(crate) fn ends(&self, start: usize) -> impl Iterator<Item = usize> {
        (start + 1..=self.fits_until[start]).filter(|end| self.cuts[*end])
    }
}

fn head_seconds(spec: &ModelSpec, device: &DeviceProfile) -> f64 {
    let all = spec.layer_count();
    stage_seconds(spec, LayerRange::new(all, all), device, 1)
}
