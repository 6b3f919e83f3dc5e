//! A worker's state for people: what is seen of it, and what was asked of it.

use std::time::Duration;

use protocol::admin::NodeState;
use protocol::ids::NodeId;

use super::liveness::Described;
use super::view::NodeLive;
use super::{Reconciler, Report};
use crate::state::{Duty, Member};

impl Reconciler {
    pub(super) fn node_live(&self, node: NodeId, member: &Member, now: Duration) -> NodeLive {
        let seen = self.liveness.describe(node, now, &self.config);
        let usable = self.liveness.is_usable(node, now) && member.duty.takes_new();
        let Report { shards, loads, memory_used_bytes } =
            self.reports.get(&node).cloned().unwrap_or_default();
        let Described { state, reason, next, since } = match seen.state {
            NodeState::Ready => asked(seen, &member.duty, &member.name, shards.len()),
            _ => seen,
        };
        NodeLive { state, reason, next, since, usable, memory_used_bytes, shards, loads }
    }
}

/// What people asked of a node that is there says more than that it is there.
fn asked(seen: Described, duty: &Duty, name: &str, shards: usize) -> Described {
    match duty {
        Duty::Serve => seen,
        Duty::Cordoned { reason, .. } => Described {
            state: NodeState::Cordoned,
            reason: reason.clone(),
            next: format!("gets nothing new until: trireme node uncordon {name}"),
            ..seen
        },
        Duty::Draining { operation, .. } => Described {
            state: NodeState::Draining,
            reason: match shards {
                0 => "nothing is left on it".to_owned(),
                1 => "layers of one model leave it".to_owned(),
                many => format!("layers of {many} models leave it"),
            },
            next: format!("cordoned once it is empty; follow: trireme op wait {operation}"),
            ..seen
        },
    }
}
