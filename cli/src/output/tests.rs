//! What tables and JSON look like, from fixed values through the code that prints them.
//!
//! The expected texts lie in `snapshots/`; `INSTA_UPDATE=always` writes them anew. A field that
//! vanishes from one of the JSON texts breaks the contract: new fields are only added.

use protocol::admin::*;
use protocol::control::{CoordinatorAddress, Role};
use protocol::ids::{Digest, Epoch, NodeId, ReplicaId};
use protocol::model_spec::{
    Architecture, AttentionSpec, LayerRange, LayerSpec, ModelSpec, RopeSpec, StateKind,
};
use protocol::node_profile::{DeviceKind, DeviceProfile, NodeProfile};
use protocol::plan::Share;
use protocol::shard::ShardState;
use serde::Serialize;

use super::{Output, Row};
use crate::args::Format;
use crate::commands::context::ContextView;
use crate::commands::plan::PlannedRow;
use crate::commands::version::NodeVersion;
use crate::config::OptionView;
use crate::config::in_force::Origin;

const GIB: u64 = 1 << 30;
const WHEN: &str = "2026-11-20T08:00:00.000Z";

fn list<T>(kind: &str, items: Vec<T>) -> List<T> {
    List { api_version: API_VERSION.into(), kind: kind.into(), items }
}

fn shown<T: Row>(format: Format, list: &List<T>) -> String {
    Output { format, quiet: false }.rendered_list(list).expect("it prints")
}

/// The formats that differ from thing to thing: for people, wide, and for programs.
fn check<T: Row>(name: &str, list: &List<T>) {
    insta::assert_snapshot!(format!("{name}_table"), shown(Format::Table, list));
    insta::assert_snapshot!(format!("{name}_wide"), shown(Format::Wide, list));
    insta::assert_snapshot!(format!("{name}_json"), shown(Format::Json, list));
}

fn one<T: Serialize>(kind: &str, item: &T) -> String {
    let kinded = super::Kinded::new(kind, item);
    Output { format: Format::Json, quiet: false }.value(&kinded).expect("it prints")
}

fn id(byte: u8) -> NodeId {
    NodeId([byte; 32])
}

fn device(name: &str) -> DeviceProfile {
    DeviceProfile {
        kind: DeviceKind::Cpu,
        name: name.into(),
        memory_total_bytes: 16 * GIB,
        memory_usable_bytes: 12 * GIB,
        memory_bandwidth: 2e10,
        matmul_rate: 1e11,
        gpu: None,
    }
}

fn nodes() -> List<NodeView> {
    let leader = NodeView {
        id: id(0xa1),
        name: "a1".into(),
        roles: vec![Role::Coordinator],
        state: NodeState::Ready,
        reason: "leader".into(),
        since: WHEN.into(),
        joined_at: WHEN.into(),
        version: "0.1.0".into(),
        profile: None,
        memory_used_bytes: 0,
        shards: vec![],
        next: String::new(),
        labels: [("rack".to_owned(), "7".to_owned())].into(),
    };
    let worker = NodeView {
        id: id(0xb2),
        name: "b2".into(),
        roles: vec![Role::Worker],
        reason: String::new(),
        profile: Some(NodeProfile {
            hostname: "b2".into(),
            os: "linux".into(),
            version: "0.1.0".into(),
            cpu: "a CPU".into(),
            cores: 8,
            devices: vec![device("a CPU")],
            links: Default::default(),
            host: Default::default(),
        }),
        memory_used_bytes: 3 * GIB,
        shards: vec![ShardView {
            model: "llama".into(),
            replica: ReplicaId(1),
            epoch: Epoch(7),
            layers: LayerRange::new(0, 16),
            state: ShardState::Ready,
        }],
        ..leader.clone()
    };
    let reason = "silent for 240 s; its layers moved".into();
    let lost = NodeView {
        id: id(0xc3),
        name: "c3".into(),
        state: NodeState::Lost,
        reason,
        next: "ready as soon as it speaks again".into(),
        ..worker.clone()
    };
    list("NodeList", vec![leader, worker, lost])
}

fn deployment() -> DeploymentView {
    let rank = RankView {
        node: id(0xb2),
        name: "b2".into(),
        device: 0,
        device_name: "cpu".into(),
        share: Share::WHOLE,
        state: Some(ShardState::Ready),
        weight_bytes: 2 * GIB,
        kv_bytes: GIB,
    };
    DeploymentView {
        model: "llama".into(),
        state: DeploymentState::Ready,
        reason: String::new(),
        since: WHEN.into(),
        options: DeployOptions { stages: Some(1), ..DeployOptions::default() },
        replica: ReplicaId(1),
        epoch: Some(Epoch(7)),
        stages: vec![StageView {
            node: rank.node,
            name: rank.name.clone(),
            layers: LayerRange::new(0, 1),
            state: rank.state.clone(),
            weight_bytes: rank.weight_bytes,
            kv_bytes: rank.kv_bytes,
            ranks: vec![rank],
        }],
    }
}

fn models() -> List<ModelView> {
    let layer = LayerSpec {
        state: StateKind::PagedKv { window: None },
        weight_bytes: GIB,
        macs_per_token: 9,
    };
    let spec = ModelSpec {
        hidden_size: 64,
        context_length: 8192,
        attention: AttentionSpec::grouped(4, 2, 16),
        rope: RopeSpec::plain(1e4, 16),
        layers: vec![layer],
        weight_label: "Q4_K_M".into(),
        ..ModelSpec::plain(Architecture::Llama)
    };
    let served = ModelView {
        name: "llama".into(),
        manifest: Digest([0x11; 32]),
        spec,
        weight_bytes: 2 * GIB,
        imported_at: WHEN.into(),
        holders: vec!["b2".into(), "c3".into()],
        deployment: Some(deployment()),
    };
    let idle =
        ModelView { name: "spare".into(), holders: vec![], deployment: None, ..served.clone() };
    list("ModelList", vec![served, idle])
}

fn planned() -> PlannedRow {
    let rank = PlannedRank {
        node: id(0xb2),
        name: "b2".into(),
        device: 0,
        device_name: "cpu".into(),
        share: Share { start: 0, units: 3, of: 4 },
        weight_bytes: 2 * GIB,
        kv_bytes: GIB,
        workspace_bytes: GIB / 2,
        free_bytes: 8 * GIB,
    };
    PlannedRow { rank, layers: LayerRange::new(0, 16), seconds: Some((0.0221, 0.000_31)) }
}

#[test]
fn nodes_in_every_format() {
    let nodes = nodes();
    check("nodes", &nodes);
    insta::assert_snapshot!("nodes_jsonl", shown(Format::Jsonl, &nodes));
    insta::assert_snapshot!("nodes_yaml", shown(Format::Yaml, &nodes));
    insta::assert_snapshot!("nodes_name", shown(Format::Name, &nodes));
}

#[test]
fn models_and_plans() {
    check("models", &models());
    check("plan_rows", &list("StageList", vec![planned()]));
}

#[test]
fn operations() {
    let operation = OperationView {
        id: "01JCXYZ".into(),
        kind: "deploy".into(),
        subject: "llama".into(),
        state: OperationState::Running,
        note: "2 nodes load weights".into(),
        done: 10,
        total: 40,
        started_at: WHEN.into(),
        deadline: "2026-07-01T12:10:00Z".into(),
        result: Default::default(),
    };
    check("operations", &list("OperationList", vec![operation.clone()]));
    insta::assert_snapshot!("operation_json", one("Operation", &operation));
}

#[test]
fn what_is_known_here() {
    let context = ContextView {
        name: "lab".into(),
        current: true,
        api: "https://10.0.0.11:8443".into(),
        has_key: true,
        has_ca: true,
    };
    let local =
        ContextView { name: "local".into(), current: false, has_key: false, ..context.clone() };
    check("contexts", &list("ContextList", vec![context, local]));
    let option = OptionView {
        name: "threads".into(),
        value: Some("8".into()),
        origin: Origin::Env,
        source: "TRIREME_THREADS".into(),
    };
    let unset = OptionView {
        name: "advertise".into(),
        value: None,
        origin: Origin::Default,
        source: String::new(),
    };
    check("options", &list("OptionList", vec![option, unset]));
    let version = NodeVersion {
        name: "a1".into(),
        roles: vec!["coordinator".into()],
        state: NodeState::Ready,
        version: "0.1.0".into(),
    };
    check("node_versions", &list("NodeVersionList", vec![version]));
}

#[test]
fn settings() {
    let timeout = SettingView {
        name: "failure_timeout".into(),
        value: 2.5,
        default: 1.0,
        is_set: true,
        min: 0.6,
        max: 60.0,
        description: "Seconds of silence after which a worker is lost".into(),
    };
    let validity = SettingView {
        name: "certificate_validity".into(),
        value: 31_536_000.0,
        default: 31_536_000.0,
        is_set: false,
        min: 3600.0,
        max: 315_360_000.0,
        description: "Seconds that certificates are valid".into(),
    };
    check("settings", &list("SettingList", vec![timeout, validity]));
}

#[test]
fn the_cluster_as_json() {
    let status = ClusterStatus {
        name: "lab".into(),
        this_node: id(0xa1),
        leader: Some(id(0xa1)),
        term: 12,
        commit_index: 88_412,
        applied_index: 88_412,
        has_quorum: true,
        coordinators: vec![CoordinatorAddress {
            node: id(0xa1),
            address: "10.0.0.11:7443".into(),
            api_address: "10.0.0.11:8443".into(),
        }],
        nodes: 3,
        nodes_ready: 2,
        deployments: vec![deployment()],
        problems: vec![],
    };
    insta::assert_snapshot!("cluster_json", one("Cluster", &status));
}
