//! The devices that a plan may use.

use protocol::ids::NodeId;
use protocol::node_profile::{ExchangeProfile, LinkProfile, NodeProfile};

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
const UNMEASURED: LinkProfile = LinkProfile::new(0.000_3, 117e6);

/// Between two devices of one node.
const LOCAL: LinkProfile = LinkProfile {
    exchange: ExchangeProfile { direct_seconds: Some(0.000_01), quic_seconds: None },
    ..LinkProfile::new(0.000_02, 5e9)
};

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
