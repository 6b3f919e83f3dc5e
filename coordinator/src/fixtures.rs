//! Small values that the tests of several parts share.

use std::collections::BTreeMap;

use protocol::control::ImportSummary;
use protocol::host_facts::HostFacts;
use protocol::ids::{Digest, NodeId};
use protocol::model_spec::{
    Architecture, AttentionSpec, KvType, LayerRange, LayerSpec, ModelSpec, RopeSpec, StateKind,
};
use protocol::node_profile::{DeviceKind, DeviceProfile, NodeProfile};
use protocol::plan::{
    ActivationType, CollectiveKind, KvPlan, Plan, PlanParts, RankPlan, Share, StagePlan,
};

pub(crate) const LAYERS: u32 = 8;
pub(crate) const LAYER_BYTES: u64 = 10 << 20;

pub(crate) fn node(id: u8) -> NodeId {
    NodeId([id; 32])
}

pub(crate) fn profile(memory_usable_bytes: u64) -> NodeProfile {
    NodeProfile {
        hostname: "host".into(),
        os: "linux".into(),
        version: "0.1.0".into(),
        cpu: "cpu".into(),
        cores: 4,
        devices: vec![DeviceProfile {
            kind: DeviceKind::Cpu,
            name: "cpu".into(),
            memory_total_bytes: memory_usable_bytes,
            memory_usable_bytes,
            memory_bandwidth: 1e10,
            matmul_rate: 1e10,
            gpu: None,
        }],
        links: BTreeMap::new(),
        host: HostFacts::default(),
    }
}

pub(crate) fn spec() -> ModelSpec {
    let layer = LayerSpec {
        state: StateKind::PagedKv { window: None },
        weight_bytes: LAYER_BYTES,
        macs_per_token: 1 << 20,
    };
    ModelSpec {
        hidden_size: 64,
        ffn_size: 128,
        vocab_size: 256,
        context_length: 512,
        attention: AttentionSpec::grouped(4, 2, 16),
        rope: RopeSpec::plain(1e4, 16),
        norm_epsilon: 1e-5,
        tied_embeddings: false,
        layers: vec![layer; LAYERS as usize],
        embedding_bytes: 1 << 20,
        head_bytes: 1 << 20,
        weight_label: "F32".into(),
        ..ModelSpec::plain(Architecture::Llama)
    }
}

pub(crate) fn model_summary() -> ImportSummary {
    let weight_bytes = u64::from(LAYERS) * LAYER_BYTES + (2 << 20);
    ImportSummary { spec: spec(), text: Digest::of(b"text"), weight_bytes }
}

/// One stage per node, the layers shared out evenly.
pub(crate) fn plan_on(nodes: &[u8]) -> Plan {
    let count = nodes.len() as u32;
    let cut = |i: u32| i * LAYERS / count;
    let stage = |(i, id): (usize, &u8)| StagePlan {
        layers: LayerRange::new(cut(i as u32), cut(i as u32 + 1)),
        ranks: vec![RankPlan { node: node(*id), device: 0, share: Share::WHOLE }],
        collective: CollectiveKind::Direct,
    };
    let parts = PlanParts {
        manifest: Digest::of(b"m"),
        layer_count: LAYERS,
        stages: nodes.iter().enumerate().map(stage).collect(),
        kv: KvPlan {
            kv_type: KvType::F16,
            block_size: 16,
            blocks: 64,
            context_length: 512,
            sequences_max: 4,
            step_tokens_max: 64,
        },
        activation: ActivationType::F32,
    };
    Plan::new(parts).expect("a valid plan")
}
