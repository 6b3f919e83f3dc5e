//! A planning task with its tables filled in: what every stage on every device costs.

use protocol::model_spec::ModelSpec;
use protocol::node_profile::{DeviceKind, DeviceProfile};

use crate::candidates;
use crate::cell::Cell;
use crate::cluster::{Candidate, Cluster};
use crate::cost::link::hop_seconds;
use crate::objective::Objective;

pub(crate) struct Problem<'a> {
    pub spec: &'a ModelSpec,
    pub objective: &'a Objective,
    pub devices: Vec<Device<'a>>,
    /// Each device alone, in their order, then groups of them.
    pub cells: Vec<Cell>,
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
}

impl Device<'_> {
    /// The node, and which of its devices where it has several: `a1`, `a1/cuda:0`.
    pub(crate) fn label(&self) -> String {
        let name = &self.candidate.name;
        match self.candidate.profile.devices.len() {
            1 => name.clone(),
            _ => format!("{name}/{}", self.profile.label()),
        }
    }

    /// E.g. `cuda:0 NVIDIA GeForce RTX 3090`; `cpu`.
    pub(crate) fn described(&self) -> String {
        match self.profile.kind {
            DeviceKind::Cpu => self.profile.label(),
            DeviceKind::Cuda => format!("{} {}", self.profile.label(), self.profile.name),
        }
    }

    /// Whether it may be one of several ranks of a stage.
    pub(crate) fn takes_shares(&self) -> bool {
        self.profile.gpu.as_ref().is_none_or(|gpu| gpu.shares)
    }
}

/// Token ids of a whole batch and their header.
const RESULT_BYTES: u64 = 256;

impl<'a> Problem<'a> {
    pub(crate) fn new(spec: &'a ModelSpec, cluster: &'a Cluster, objective: &'a Objective) -> Self {
        let devices: Vec<_> = cluster
            .nodes
            .iter()
            .flat_map(|c| c.profile.devices.iter().enumerate().map(move |(i, d)| (c, i, d)))
            .map(|(c, i, d)| Device { candidate: c, index: i as u32, profile: d })
            .collect();
        let row_bytes = u64::from(spec.hidden_size) * objective.activation.bytes() as u64;
        let table = |bytes: u64| -> Vec<Vec<Option<f64>>> {
            let seconds = |a: &Device<'_>, b: &Device<'_>| {
                hop_seconds(cluster.link(a.candidate, b.candidate), bytes)
            };
            devices.iter().map(|a| devices.iter().map(|b| seconds(a, b)).collect()).collect()
        };
        let (hop, back) = (table(row_bytes), table(RESULT_BYTES));
        let cells = candidates::cells(spec, cluster, objective, &devices);
        Self { spec, objective, layers: spec.layers.len(), devices, cells, hop, back }
    }

    /// Seconds from the leader of a stage to a whole cell: every rank of it gets the rows.
    pub(crate) fn hop_to(&self, leader: usize, cell: &Cell) -> Option<f64> {
        let hops = cell.members.iter().map(|member| self.hop[leader][member.device]);
        hops.reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b)))?
    }

    /// Seconds until the other ranks of the first stage know a step.
    pub(crate) fn announce(&self, first: &Cell) -> Option<f64> {
        let others = first.members.iter().skip(1);
        let mut ways = others.map(|member| self.back[first.leader()][member.device]);
        ways.try_fold(0.0, |most, way| Some(f64::max(most, way?)))
    }
}
