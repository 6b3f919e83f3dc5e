//! Which links are asked to be measured, and which measurements are worth a log entry.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::control::{CoordinatorMessage, PeerAddress};
use protocol::ids::NodeId;
use protocol::node_profile::LinkProfile;

use super::Action;
use super::config::ReconcilerConfig;
use crate::state::{Change, State};

/// Links that a node is asked to measure: to all others, or in a larger cluster to those that
/// follow it by id, as links between all would fill the state.
const PEERS_MAX: usize = 16;
/// Live nodes from which on the links are looked at once per tick only.
const MANY: usize = 64;

#[derive(Clone, Debug, Default)]
pub(super) struct LinkProbes {
    /// When each link was last asked for, from prober to peer.
    asked: BTreeMap<(NodeId, NodeId), Duration>,
    looked_at: Option<Duration>,
}

impl LinkProbes {
    pub(super) fn forget(&mut self, node: NodeId) {
        self.asked.retain(|(from, to), _| *from != node && *to != node);
    }

    pub(super) fn forget_all(&mut self) {
        self.asked.clear();
    }

    /// Probes that are due: links not asked for yet, and again those that are down.
    pub(super) fn due(
        &mut self,
        state: &State,
        live: &[NodeId],
        now: Duration,
        config: &ReconcilerConfig,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let looked_at = self.looked_at.filter(|_| live.len() > MANY);
        if looked_at.is_some_and(|at| now < at + config.tick) {
            return actions;
        }
        self.looked_at = Some(now);
        for (place, from) in live.iter().enumerate() {
            let mut peers = Vec::new();
            let others = live[place + 1..].iter().chain(&live[..place]);
            let count = if live.len() > MANY { PEERS_MAX } else { live.len() };
            for to in others.take(count) {
                let down = || known(state, *from, *to).is_some_and(|l| !l.reachable);
                let asked = self.asked.get(&(*from, *to));
                if asked.is_some_and(|at| now < *at + config.link_probe || !down()) {
                    continue;
                }
                let addresses = state.members.get(to).map(|m| &m.data_addresses);
                if let Some(addresses) = addresses.filter(|list| !list.is_empty()) {
                    self.asked.insert((*from, *to), now);
                    peers.push(PeerAddress { node: *to, addresses: addresses.clone() });
                }
            }
            if !peers.is_empty() {
                let message = CoordinatorMessage::ProbeLinks { peers };
                actions.push(Action::Send { node: *from, message });
            }
        }
        actions
    }

    /// The log entry for a measurement that differs from the known one enough to matter.
    pub(super) fn measured(
        &self,
        state: &State,
        from: NodeId,
        to: NodeId,
        link: LinkProfile,
    ) -> Option<Change> {
        if !state.members.contains_key(&from) || !state.members.contains_key(&to) {
            return None;
        }
        let near = |a: f64, b: f64| (a - b).abs() <= 0.3 * a.abs().max(b.abs());
        let same = known(state, from, to).is_some_and(|known| {
            known.reachable == link.reachable
                && near(known.rtt_seconds, link.rtt_seconds)
                && near(known.bytes_per_second, link.bytes_per_second)
                && near(exchange(&known), exchange(&link))
        });
        (!same).then_some(Change::RecordLink { from, to, link })
    }
}

/// Of the faster transport; 0 where none was measured.
fn exchange(link: &LinkProfile) -> f64 {
    let measured = [link.exchange.direct_seconds, link.exchange.quic_seconds];
    measured.into_iter().flatten().reduce(f64::min).unwrap_or(0.0)
}

fn known(state: &State, from: NodeId, to: NodeId) -> Option<LinkProfile> {
    state.members.get(&from)?.profile.as_ref()?.links.get(&to).copied()
}
