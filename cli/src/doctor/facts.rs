//! Everything the checks judge, collected before; a test makes it up.

use std::collections::BTreeMap;

use protocol::admin::NodeState;
use protocol::control::Role;
use protocol::host_facts::HostFacts;
use protocol::ids::NodeId;
use protocol::node_profile::LinkProfile;

#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Of this program.
    pub version: String,
    /// Milliseconds since 1970 on this machine.
    pub now_ms: u64,
    pub here: Option<Here>,
    /// The coordinators that this machine should reach.
    pub ways: Vec<Way>,
    pub cluster: Option<Cluster>,
    /// Why there is no `cluster`, where one was asked.
    pub no_answer: Option<String>,
}

/// This machine, and the node that lives on it if one does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Here {
    pub name: String,
    pub host: HostFacts,
    pub folder: Option<Folder>,
    pub own: Option<Own>,
    /// Variable and value of a proxy that programs here would use.
    pub proxy: Option<(String, String)>,
    /// Addresses that the node listens on and another program holds.
    pub ports_taken: Vec<String>,
}

/// The data directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folder {
    pub path: String,
    /// Permission bits of the folder with the keys.
    pub keys_mode: Option<u32>,
    /// Why nothing can be written there.
    pub not_writable: Option<String>,
}

/// The identity on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub node: NodeId,
    pub role: Role,
    pub cluster: String,
    pub expires_ms: u64,
    /// Where the node shows itself to the cluster; coordinators only.
    pub address: Option<String>,
}

/// The way from here to a coordinator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    pub address: String,
    /// Why no TCP connection came about.
    pub tcp_refused: Option<String>,
    /// Why the other end is not trusted, or does not trust this one.
    pub not_trusted: Option<String>,
    /// Datagrams sent and answered.
    pub udp_sent: u32,
    pub udp_answered: u32,
}

/// What a coordinator answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    pub api: String,
    /// By how much this machine's clock is ahead of its.
    pub clock_ahead_seconds: Option<f64>,
    pub has_quorum: bool,
    pub coordinators: usize,
    pub nodes: Vec<Node>,
    pub models: Vec<Model>,
    pub operations: Vec<Operation>,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub id: NodeId,
    pub name: String,
    pub is_worker: bool,
    pub state: NodeState,
    pub reason: String,
    pub since: String,
    /// Workers that registered.
    pub profile: Option<Profile>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    pub version: String,
    pub hostname: String,
    pub host: HostFacts,
    pub links: BTreeMap<NodeId, LinkProfile>,
    pub usable_bytes: u64,
    /// Computes on a GPU whose memory is the host's, and counts it so.
    pub unified: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub name: String,
    pub weight_bytes: u64,
    pub holders: Vec<String>,
    /// Longest sequence that the model itself allows.
    pub context_own: u32,
    pub deployed: Option<Deployed>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Deployed {
    pub is_ready: bool,
    /// As the API writes it.
    pub state: String,
    pub reason: String,
    pub since: String,
    pub context: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Operation {
    pub id: String,
    /// E.g. `deploy llama`.
    pub what: String,
    pub note: String,
    pub started_at: String,
}

impl Facts {
    pub(super) fn workers(&self) -> impl Iterator<Item = &Node> {
        let nodes = self.cluster.iter().flat_map(|cluster| &cluster.nodes);
        nodes.filter(|node| node.is_worker)
    }

    /// Workers that registered once, with what they told.
    pub(super) fn profiles(&self) -> impl Iterator<Item = (&Node, &Profile)> {
        self.workers().filter_map(|node| Some((node, node.profile.as_ref()?)))
    }

    /// Hosts by the name of their node: this machine, and the workers as they told of themselves.
    pub(super) fn hosts(&self) -> impl Iterator<Item = (&str, &HostFacts)> {
        let here = self.here.iter().map(|here| (here.name.as_str(), &here.host));
        let own = self.here.as_ref().and_then(|here| here.own.as_ref()).map(|own| own.node);
        let others = self.profiles().filter(move |(node, _)| Some(node.id) != own);
        here.chain(others.map(|(node, profile)| (node.name.as_str(), &profile.host)))
    }

    /// Seconds since a moment that the cluster named; by its clock, not this machine's.
    pub(super) fn seconds_since(&self, moment: &str) -> Option<f64> {
        let ahead = self.cluster.as_ref().and_then(|c| c.clock_ahead_seconds).unwrap_or(0.0);
        let now = self.now_ms as f64 / 1e3 - ahead;
        Some(now - super::moment::unix_seconds(moment)?)
    }
}
