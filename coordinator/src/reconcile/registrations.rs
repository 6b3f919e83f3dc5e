//! Registrations that the log does not show yet; kept until it does, whoever leads meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::control::Registration;
use protocol::host_facts::HostFacts;
use protocol::ids::{Digest, NodeId};
use protocol::node_profile::NodeProfile;

use super::Action;
use super::config::ReconcilerConfig;
use crate::state::{Change, State};

/// Proposals at once; the next follow as these are recorded, so that a thousand workers that come
/// together do not wait for time to run out.
const UNDER_WAY_MAX: usize = 32;

#[derive(Clone, Debug, Default)]
pub(super) struct Registrations {
    unrecorded: BTreeMap<NodeId, Unrecorded>,
}

#[derive(Clone, Debug)]
struct Unrecorded {
    profile: NodeProfile,
    data_addresses: Vec<String>,
    held_manifests: Vec<Digest>,
    proposed_until: Duration,
}

impl Registrations {
    pub(super) fn note(&mut self, state: &State, node: NodeId, registration: Registration) {
        let Registration { profile, data_addresses, held_manifests, .. } = registration;
        let proposed_until = Duration::ZERO;
        let unrecorded = Unrecorded { profile, data_addresses, held_manifests, proposed_until };
        if unrecorded.is_news(state, node) {
            self.unrecorded.insert(node, unrecorded);
        } else {
            self.unrecorded.remove(&node);
        }
    }

    pub(super) fn observe(&mut self, state: &State) {
        self.unrecorded.retain(|node, unrecorded| {
            state.members.contains_key(node) && unrecorded.is_news(state, *node)
        });
    }

    pub(super) fn due(&mut self, now: Duration, config: &ReconcilerConfig) -> Vec<Action> {
        let mut actions = Vec::new();
        let under_way = |unrecorded: &&Unrecorded| now < unrecorded.proposed_until;
        let under_way = self.unrecorded.values().filter(under_way).count();
        let due = self.unrecorded.iter_mut().filter(|(_, u)| now >= u.proposed_until);
        for (node, unrecorded) in due.take(UNDER_WAY_MAX.saturating_sub(under_way)) {
            unrecorded.proposed_until = now + config.proposal;
            actions.push(Action::Propose(Change::RecordRegistration {
                node: *node,
                profile: Box::new(unrecorded.profile.clone()),
                data_addresses: unrecorded.data_addresses.clone(),
                held_manifests: unrecorded.held_manifests.clone(),
            }));
        }
        actions
    }
}

impl Unrecorded {
    fn is_news(&self, state: &State, node: NodeId) -> bool {
        let Some(member) = state.members.get(&node) else { return true };
        let same_profile = member.profile.as_ref().is_some_and(|known| {
            // The log's links are at least as new: they come from probes after registration.
            let links = known.links.clone();
            settled(known) == settled(&NodeProfile { links, ..self.profile.clone() })
        });
        let held = |digest| self.held_manifests.contains(digest);
        let same_models =
            state.models.values().all(|m| m.holders.contains(&node) == held(&m.manifest));
        !(same_profile && same_models && member.data_addresses == self.data_addresses)
    }
}

/// As the log holds it, without what differs at each start of a machine.
fn settled(profile: &NodeProfile) -> NodeProfile {
    let mut settled = profile.clone();
    settled.settle();
    let (interfaces, gpus) = (settled.host.interfaces, settled.host.gpus);
    settled.host = HostFacts { interfaces, gpus, ..HostFacts::default() };
    settled
}
