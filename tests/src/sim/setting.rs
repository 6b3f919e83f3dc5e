//! The world a simulation starts in: a model that no single node can hold, deployed on a few.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coordinator::state::{Change, Command, Duty, Member, Model, State, Timestamp};
use protocol::admin::DeployOptions;
use protocol::control::{ImportSummary, Registration, Role};
use protocol::host_facts::HostFacts;
use protocol::ids::{Digest, NodeId};
use protocol::model_spec::{
    Architecture, AttentionSpec, LayerSpec, ModelSpec, RopeSpec, StateKind,
};
use protocol::node_profile::{DeviceKind, DeviceProfile, NodeProfile};
use protocol::shard::ShardStatus;

use super::cluster::node_id;
use super::fake_stage::VOCAB_SIZE;

pub(super) const MODEL: &str = "simulated";
/// Longest sequence that the deployment promises.
pub(super) const CONTEXT_LENGTH: u32 = 128;
const LAYER_BYTES: u64 = 100 << 20;
/// Few enough blocks that sequences get in each other's way: 14 of 16 tokens, three layers each.
const KV_BYTES_MAX: u64 = 14 * 16 * 128 * 3;

/// The replicated state of a cluster of workers that have joined, with the model deployed.
pub(super) fn state(workers: usize) -> State {
    let mut state = State::default();
    for index in 0..workers {
        let member = Member {
            name: format!("worker-{index}"),
            role: Role::Worker,
            joined_at: Timestamp(0),
            profile: None,
            profile_index: 0,
            data_addresses: Vec::new(),
            endpoint: None,
            duty: Duty::default(),
            labels: BTreeMap::new(),
        };
        state.members.insert(node_id(index), member);
    }
    let model = Model {
        manifest: manifest(),
        spec: spec(),
        text: Digest::of(b"text"),
        weight_bytes: 8 * LAYER_BYTES,
        imported_at: Timestamp(0),
        holders: BTreeSet::new(),
    };
    state.models.insert(MODEL.to_owned(), model);
    state.apply(command(Duration::ZERO, deploy()), 1);
    state
}

pub(super) fn deploy() -> Change {
    let options = DeployOptions {
        context_length: Some(CONTEXT_LENGTH),
        sequences_max: Some(8),
        kv_bytes_max: Some(KV_BYTES_MAX),
        ..DeployOptions::default()
    };
    Change::Deploy { model: MODEL.to_owned(), options, operation: "deploy".to_owned() }
}

pub(super) fn import(holder: NodeId) -> Change {
    let summary =
        ImportSummary { spec: spec(), text: Digest::of(b"text"), weight_bytes: 8 * LAYER_BYTES };
    let (name, manifest) = (MODEL.to_owned(), manifest());
    Change::AddModel { name, manifest, summary: Box::new(summary), holder }
}

pub(super) fn command(now: Duration, change: Change) -> Command {
    Command::new(Timestamp(now.as_millis() as u64), change)
}

pub(super) fn manifest() -> Digest {
    Digest::of(b"manifest")
}

pub(super) fn registration(index: usize, shards: Vec<ShardStatus>) -> Registration {
    let device = DeviceProfile {
        kind: DeviceKind::Cpu,
        name: "simulated".to_owned(),
        memory_total_bytes: 4 << 30,
        memory_usable_bytes: 3 * LAYER_BYTES + (64 << 20),
        memory_bandwidth: 2e10,
        matmul_rate: 1e11,
        gpu: None,
    };
    let profile = NodeProfile {
        hostname: format!("worker-{index}"),
        os: "simulated".to_owned(),
        version: "0".to_owned(),
        cpu: "simulated".to_owned(),
        cores: 4,
        devices: vec![device],
        links: BTreeMap::new(),
        host: HostFacts::default(),
    };
    Registration {
        instance: String::new(),
        certificate: None,
        answers: false,
        name: format!("worker-{index}"),
        profile,
        data_addresses: vec![format!("worker-{index}:7443")],
        held_manifests: vec![manifest()],
        shards,
    }
}

fn spec() -> ModelSpec {
    let layer = LayerSpec {
        state: StateKind::PagedKv { window: None },
        weight_bytes: LAYER_BYTES,
        macs_per_token: 1 << 20,
    };
    ModelSpec {
        hidden_size: 64,
        ffn_size: 128,
        vocab_size: VOCAB_SIZE,
        context_length: 1024,
        attention: AttentionSpec::grouped(4, 2, 16),
        rope: RopeSpec::plain(1e4, 16),
        norm_epsilon: 1e-5,
        tied_embeddings: false,
        layers: vec![layer; 8],
        embedding_bytes: 1 << 20,
        head_bytes: 1 << 20,
        weight_label: "F16".to_owned(),
        ..ModelSpec::plain(Architecture::Llama)
    }
}
