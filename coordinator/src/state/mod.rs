//! The replicated state: a pure function of the log. No clock, no randomness, no I/O in here.
//!
//! Every coordinator applies the same commands in the same order and so holds the same value.
//! Liveness, load and progress of weights are not in it: those are soft state.

pub mod actor;
pub mod audit;
pub mod command;
pub mod deployments;
mod destruction;
pub mod duty;
pub mod identity;
pub mod keys;
pub mod level;
pub mod members;
pub mod models;
pub mod operations;
pub mod outcome;
pub mod requests;
pub mod settings;
pub mod snapshots;
pub mod timestamp;
pub mod tokens;
pub mod voters;

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{Digest, NodeId};
use serde::{Deserialize, Serialize};

pub use self::actor::Actor;
pub use self::audit::AuditChain;
pub use self::command::{Change, Command, OperationKind};
pub use self::deployments::{Deployment, Placement, Rollout};
pub use self::duty::{DrainFailure, Duty, NodeChange};
pub use self::identity::{CaRotation, IdentityChange, IdentityState};
pub use self::keys::{ApiKey, KeyChange, UsageDelta};
pub use self::level::LevelError;
pub use self::members::Member;
pub use self::models::Model;
pub use self::operations::{Operation, OperationChange};
pub use self::outcome::{Outcome, Refusal, RefusalCode};
pub use self::settings::{Setting, Settings, SettingsChange};
pub use self::snapshots::{SnapshotChange, SnapshotState};
pub use self::timestamp::Timestamp;
pub use self::tokens::JoinToken;
pub use self::voters::VoterChange;

use self::operations::{OperationEnd, Progress};
use self::requests::{REMEMBERED_ASKED, REMEMBERED_OWN, RecentRequests};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Highest level of the log's format that was used so far.
    #[serde(default)]
    pub level: u32,
    /// Time of the last command; never goes back, whoever proposed it.
    pub clock: Timestamp,
    /// Log index of the last entry, of whatever kind.
    pub applied: u64,
    pub cluster: String,
    /// The CA that signs now.
    pub ca_pem: String,
    #[serde(default)]
    pub identity: IdentityState,
    pub members: BTreeMap<NodeId, Member>,
    /// Nodes that must not come back under their old certificate.
    pub removed: BTreeSet<NodeId>,
    pub models: BTreeMap<String, Model>,
    pub deployments: BTreeMap<String, Deployment>,
    /// Coordinators that a person prefers as voters, with the log index of that.
    #[serde(default)]
    promoted: BTreeMap<NodeId, u64>,
    last_replica: u64,
    pub keys: BTreeMap<String, ApiKey>,
    /// Per coordinator, the last report of usage that was counted.
    #[serde(default)]
    usage_batches: BTreeMap<NodeId, u64>,
    pub tokens: BTreeMap<Digest, JoinToken>,
    pub operations: BTreeMap<String, Operation>,
    #[serde(default)]
    pub snapshots: SnapshotState,
    #[serde(default)]
    pub settings: Settings,
    /// When the cluster was ended: nothing changes it any more.
    #[serde(default)]
    pub destroyed: Option<Timestamp>,
    /// Of the cluster's own changes.
    requests: RecentRequests,
    /// Of people's changes, by who asked and the id they gave.
    #[serde(default)]
    asked: RecentRequests,
    #[serde(default)]
    pub audit: AuditChain,
}

/// What a change may know of the entry that holds it.
#[derive(Clone, Copy)]
struct Applying {
    index: u64,
}

impl State {
    /// Applies the entry at `index`. A refused command changes nothing but clock, position and the
    /// memory of requests.
    pub fn apply(&mut self, command: Command, index: u64) -> Outcome {
        let Command { at, level, request, actor, change } = command;
        self.applied = index;
        self.level = self.level.max(level);
        self.clock = self.clock.max(at);
        let kind = change.name();
        let known = if actor.is_person() { &self.asked } else { &self.requests };
        if let Some(outcome) = known.outcome(&request, kind) {
            return outcome;
        }
        // A group in which one still speaks the first level keeps no chain, as that one cannot.
        let note = self.audit_note(&actor, &change).filter(|_| level > level::FIRST);
        let alive = self.check_not_destroyed();
        let outcome = match alive.and_then(|()| self.change(change, Applying { index })) {
            Ok(outcome) => {
                if let Some(note) = note {
                    self.audit.append(note, index, self.clock);
                }
                outcome
            }
            Err(refusal) => Outcome::Refused(refusal),
        };
        if actor.is_person() {
            self.asked.remember(request, Some(kind), outcome.clone(), REMEMBERED_ASKED);
        } else {
            self.requests.remember(request, None, outcome.clone(), REMEMBERED_OWN);
        }
        outcome
    }

    /// Notes an entry that holds no command (a new leader's first, a change of voters).
    pub fn skip(&mut self, index: u64) {
        self.applied = index;
    }

    fn change(&mut self, change: Change, applying: Applying) -> Result<Outcome, Refusal> {
        match change {
            Change::FoundCluster { name, ca_pem } => self.found_cluster(name, ca_pem),
            Change::AddJoinToken { hash, role, ttl_seconds, uses } => {
                self.add_join_token(hash, role, ttl_seconds, uses)
            }
            Change::AdmitNode { node, name, role, token, endpoint } => {
                let member = Member::new(name, role, self.clock, endpoint);
                self.admit_node(node, member, token)
            }
            Change::RecordRegistration { node, profile, data_addresses, held_manifests } => {
                self.record_registration(applying, node, *profile, data_addresses, &held_manifests)
            }
            Change::Identity(change) => self.change_identity(change),
            Change::Snapshot(change) => self.change_snapshots(change),
            Change::Settings(change) => self.change_settings(change),
            Change::DestroyCluster { cluster } => self.destroy(&cluster),
            Change::RecordLink { from, to, link } => self.record_link(applying, from, to, link),
            Change::RecordEndpoint { node, endpoint } => self.record_endpoint(node, endpoint),
            Change::RemoveNode { node, operation } => {
                let name = self.members.get(&node).map(|m| m.name.clone()).unwrap_or_default();
                self.as_operation(OperationKind::NodeRm, name, &operation, |state| {
                    state.remove_node(node, &operation)
                })
            }
            Change::Node(change) => self.change_node(change),
            Change::AddModel { name, manifest, summary, holder } => {
                self.add_model(name, manifest, *summary, holder)
            }
            Change::Deploy { model, options, operation } => {
                let kind = OperationKind::Deploy;
                self.as_operation(kind, model.clone(), &operation, |state| {
                    state.deploy(&model, options, operation.clone())
                })
            }
            Change::Undeploy { model, operation } => {
                let kind = OperationKind::Undeploy;
                self.as_operation(kind, model.clone(), &operation, |state| {
                    state.undeploy(&model, &operation)
                })
            }
            Change::PlacePlan { replica, expected, plan } => {
                self.place_plan(applying, replica, expected, *plan)
            }
            Change::SetRollout { replica, epoch, state, reason, missing_bytes } => {
                self.set_rollout(replica, epoch, state, reason, missing_bytes)
            }
            Change::Key(change) => self.change_key(change),
            Change::AddKey { name, role, hash, prefix } => self.add_key(name, role, hash, prefix),
            Change::Voters(change) => self.change_voters(applying, change),
            Change::StartOperation { id, kind, subject, note } => {
                self.start_operation(id, kind, subject, note)
            }
            Change::Operation(change) => self.change_operation(change),
            Change::UpdateOperation { id, state, note, done, total, result } => {
                let at = self.clock;
                self.update_operation(&id, Progress { state, note, done, total, result, at })
            }
            // Who applies entries asks `check_level` first.
            Change::Unread(_) => Err(Refusal::stale("a change of a newer version")),
        }
    }

    fn found_cluster(&mut self, name: String, ca_pem: String) -> Result<Outcome, Refusal> {
        if !self.cluster.is_empty() {
            let message = format!("the cluster is founded already, as `{}`", self.cluster);
            return Err(Refusal::new(RefusalCode::Precondition, message, ""));
        }
        members::check_name("cluster name", &name)?;
        self.cluster = name;
        self.ca_pem = ca_pem;
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests;
