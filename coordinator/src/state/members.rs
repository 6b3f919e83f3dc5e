//! The members: who may connect, what their probes said, where they listen.

use std::collections::BTreeMap;

use protocol::control::{CoordinatorAddress, CoordinatorEndpoint, Role};
use protocol::ids::{Digest, NodeId};
use protocol::node_profile::{LinkProfile, NodeProfile};
use serde::{Deserialize, Serialize};

use super::duty::Duty;
use super::outcome::{Outcome, Refusal, RefusalCode};
use super::timestamp::Timestamp;
use super::{Applying, OperationEnd, State};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub name: String,
    pub role: Role,
    pub joined_at: Timestamp,
    /// Workers, once they registered.
    pub profile: Option<NodeProfile>,
    /// Log index at which the profile or a link last changed.
    pub profile_index: u64,
    /// Workers: `host:port` for QUIC, best first.
    pub data_addresses: Vec<String>,
    /// Coordinators: where others reach them.
    pub endpoint: Option<CoordinatorEndpoint>,
    /// Workers: whether models may come to it.
    #[serde(default)]
    pub duty: Duty,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Longest member or model name.
pub const NAME_CHARS_MAX: usize = 128;

impl Member {
    pub(super) fn new(
        name: String,
        role: Role,
        joined_at: Timestamp,
        endpoint: Option<CoordinatorEndpoint>,
    ) -> Self {
        Self {
            name,
            role,
            joined_at,
            profile: None,
            profile_index: 0,
            data_addresses: Vec::new(),
            endpoint,
            duty: Duty::default(),
            labels: BTreeMap::new(),
        }
    }
}

impl State {
    /// The member called `text`: its name, its id, or a beginning of the id (8 digits or more).
    pub fn find_member(&self, text: &str) -> Option<(NodeId, &Member)> {
        let by_name = self.members.iter().find(|(_, m)| m.name == text);
        let by_id = || {
            let mut hits = self.members.iter().filter(|(id, _)| id.to_string().starts_with(text));
            let first = if text.len() >= 8 { hits.next() } else { None };
            first.filter(|_| hits.next().is_none())
        };
        by_name.or_else(by_id).map(|(id, member)| (*id, member))
    }

    pub fn workers(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        let workers = self.members.iter().filter(|(_, m)| m.role == Role::Worker);
        workers.map(|(id, member)| (*id, member))
    }

    pub fn coordinators(&self) -> Vec<CoordinatorAddress> {
        let address = |(id, member): (&NodeId, &Member)| {
            member.endpoint.as_ref().map(|endpoint| CoordinatorAddress {
                node: *id,
                address: endpoint.address.clone(),
                api_address: endpoint.api_address.clone(),
            })
        };
        self.members.iter().filter_map(address).collect()
    }

    pub(super) fn admit_node(
        &mut self,
        node: NodeId,
        member: Member,
        token: Option<Digest>,
    ) -> Result<Outcome, Refusal> {
        check_name("node name", &member.name)?;
        let known = self.members.get(&node);
        if let Some(known) = known.filter(|known| known.role != member.role) {
            return Err(Refusal::new(
                RefusalCode::Precondition,
                format!("node {} is already a {}", node.short(), known.role.name()),
                "",
            ));
        }
        if self.members.iter().any(|(id, m)| *id != node && m.name == member.name) {
            return Err(Refusal::new(
                RefusalCode::Precondition,
                format!("another node is already named `{}`", member.name),
                format!("choose another name, or first: trireme node rm {}", member.name),
            ));
        }
        let again = known.is_some();
        if let Some(endpoint) = &member.endpoint {
            self.check_coordinator(&member.name, endpoint.level)?;
        }
        self.use_token(token, member.role, again)?;
        let member = match self.members.get(&node).cloned() {
            // It comes again: what is known and was asked of it stays.
            Some(known) => {
                let Member { name, role, endpoint, .. } = member;
                Member { name, role, endpoint, data_addresses: Vec::new(), ..known }
            }
            None => member,
        };
        self.removed.remove(&node);
        self.members.insert(node, member);
        Ok(Outcome::Done)
    }

    pub(super) fn record_registration(
        &mut self,
        applying: Applying,
        node: NodeId,
        profile: NodeProfile,
        data_addresses: Vec<String>,
        held_manifests: &[Digest],
    ) -> Result<Outcome, Refusal> {
        let Some(member) = self.members.get_mut(&node) else {
            return Err(Refusal::no_node(&node.short()));
        };
        // Links are measured by later probes; a registration that has none keeps the known ones.
        let known = member.profile.take().map(|p| p.links).unwrap_or_default();
        let links = if profile.links.is_empty() { known } else { profile.links };
        member.profile = Some(NodeProfile { links, ..profile });
        member.profile_index = applying.index;
        member.data_addresses = data_addresses;
        for model in self.models.values_mut() {
            if held_manifests.contains(&model.manifest) {
                model.holders.insert(node);
            } else {
                model.holders.remove(&node);
            }
        }
        Ok(Outcome::Done)
    }

    pub(super) fn record_link(
        &mut self,
        applying: Applying,
        from: NodeId,
        to: NodeId,
        link: LinkProfile,
    ) -> Result<Outcome, Refusal> {
        let member = self.members.get_mut(&from).ok_or_else(|| Refusal::no_node(&from.short()))?;
        let Some(profile) = member.profile.as_mut() else {
            return Err(Refusal::stale(format!("node {} has not registered", from.short())));
        };
        profile.links.insert(to, link);
        member.profile_index = applying.index;
        Ok(Outcome::Done)
    }

    pub(super) fn record_endpoint(
        &mut self,
        node: NodeId,
        endpoint: CoordinatorEndpoint,
    ) -> Result<Outcome, Refusal> {
        let member = self.members.get(&node).ok_or_else(|| Refusal::no_node(&node.short()))?;
        self.check_coordinator(&member.name, endpoint.level)?;
        let member = self.members.get_mut(&node).ok_or_else(|| Refusal::no_node(&node.short()))?;
        member.endpoint = Some(endpoint);
        Ok(Outcome::Done)
    }

    pub(super) fn remove_node(
        &mut self,
        node: NodeId,
        operation: &str,
    ) -> Result<Outcome, Refusal> {
        let member = self.members.get(&node).ok_or_else(|| Refusal::no_node(&node.short()))?;
        let coordinators = self.members.values().filter(|m| m.role == Role::Coordinator).count();
        if member.role == Role::Coordinator && coordinators == 1 {
            return Err(Refusal::new(
                RefusalCode::Precondition,
                format!("`{}` is the only coordinator", member.name),
                "add another coordinator first",
            ));
        }
        let name = member.name.clone();
        if let Duty::Draining { operation, .. } = &member.duty {
            let drain = operation.clone();
            self.end_operation(&drain, OperationEnd::Done(format!("{name} was removed")));
        }
        self.members.remove(&node);
        self.removed.insert(node);
        for model in self.models.values_mut() {
            model.holders.remove(&node);
        }
        for other in self.members.values_mut() {
            if let Some(profile) = other.profile.as_mut() {
                profile.links.remove(&node);
            }
        }
        self.end_operation(operation, OperationEnd::Done(format!("{name} was removed")));
        Ok(Outcome::Done)
    }
}

/// Names appear in URLs and tables: letters, digits, and `. _ - :` and `/` inside model names.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:/".contains(c);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && name.len() <= NAME_CHARS_MAX && name.chars().all(allowed) {
        return Ok(());
    }
    let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
    Err(Refusal::new(
        RefusalCode::InvalidValue,
        format!("{what} `{shown}` is not usable"),
        format!(
            "1 to {NAME_CHARS_MAX} letters, digits or `._-:/`, beginning with one of the first two"
        ),
    ))
}
