//! The devices that a plan may use.

use protocol::ids::NodeId;
use protocol::node_profile::{LinkProfile, NodeProfile};

/// Nodes in the order the caller lists them; ties between equal plans go to the earlier node.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub nodes: Vec<Candidate>,
}

#[derive(Clone, Debug)]
pub struct Candidate {
    pub node: NodeId,
    pub name: String,
    pub profile: NodeProfile,
}

/// Assumed of a link nobody has measured yet: gigabit Ethernet through one switch.
const UNMEASURED: LinkProfile =
    LinkProfile { rtt_seconds: 0.000_3, bytes_per_second: 117e6, reachable: true };

/// Between two devices of one node.
const LOCAL: LinkProfile =
    LinkProfile { rtt_seconds: 0.000_02, bytes_per_second: 5e9, reachable: true };

impl Cluster {
    /// The link from `from` to `to`: as the sender measured it, else as the receiver did.
    ///
    /// One end that reports the other unreachable is enough to forbid the link.
    pub(crate) fn link(&self, from: &Candidate, to: &Candidate) -> LinkProfile {
        if from.node == to.node {
            return LOCAL;
        }
        let there = from.profile.links.get(&to.node);
        let back = to.profile.links.get(&from.node);
        let reachable = there.is_none_or(|l| l.reachable) && back.is_none_or(|l| l.reachable);
        let measured = *there.or(back).unwrap_or(&UNMEASURED);
        LinkProfile { reachable, ..measured }
    }
}
