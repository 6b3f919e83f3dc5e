//! The audit chain: what people changed, and what admitted, removed or placed something.
//!
//! The state keeps the newest records and the hash of the last one that it cut off: who wants the
//! whole history exports it now and then, and can join the exports by their hashes.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::admin::AuditRecord;
use protocol::ids::{Digest, NodeId};
use serde::{Deserialize, Serialize};

use super::command::Change;
use super::duty::NodeChange;
use super::keys::KeyChange;
use super::operations::OperationChange;
use super::snapshots::SnapshotChange;
use super::timestamp::Timestamp;
use super::voters::VoterChange;
use super::{Actor, State};

/// Records that are kept: about a megabyte of a snapshot.
pub const AUDIT_KEPT: usize = 2048;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditChain {
    /// Records that were cut off.
    cut: u64,
    /// Hash of the last of them.
    anchor: Digest,
    /// Shared, as the whole state is copied for its readers again and again.
    records: VecDeque<Arc<AuditRecord>>,
}

/// What a record says of a change, taken down before the change is made.
pub(super) struct AuditNote {
    actor: String,
    role: &'static str,
    action: &'static str,
    subject: String,
}

impl Default for AuditChain {
    fn default() -> Self {
        Self { cut: 0, anchor: AuditRecord::GENESIS, records: VecDeque::new() }
    }
}

impl AuditChain {
    pub fn cut(&self) -> u64 {
        self.cut
    }

    pub fn anchor(&self) -> Digest {
        self.anchor
    }

    pub fn head(&self) -> Digest {
        self.records.back().map_or(self.anchor, |r| r.hash)
    }

    /// The kept records after `sequence`, oldest first.
    pub fn after(&self, sequence: u64) -> impl DoubleEndedIterator<Item = &Arc<AuditRecord>> {
        let skipped = sequence.saturating_sub(self.cut) as usize;
        self.records.range(skipped.min(self.records.len())..)
    }

    pub(super) fn append(&mut self, note: AuditNote, index: u64, at: Timestamp) {
        let AuditNote { actor, role, action, subject } = note;
        let record = AuditRecord {
            sequence: self.cut + self.records.len() as u64 + 1,
            index,
            at: at.to_string(),
            actor,
            role: role.to_owned(),
            action: action.to_owned(),
            subject,
            previous: self.head(),
            hash: AuditRecord::GENESIS,
        };
        self.records.push_back(Arc::new(record.sealed()));
        while self.records.len() > AUDIT_KEPT {
            let Some(oldest) = self.records.pop_front() else { return };
            self.cut = oldest.sequence;
            self.anchor = oldest.hash;
        }
    }
}

impl State {
    /// What the chain says of `change`; `None` for what merely follows from earlier decisions.
    pub(super) fn audit_note(&self, actor: &Actor, change: &Change) -> Option<AuditNote> {
        let decides = matches!(
            change,
            Change::FoundCluster { .. }
                | Change::AdmitNode { .. }
                | Change::RemoveNode { .. }
                | Change::AddModel { .. }
                | Change::PlacePlan { .. }
        );
        (decides || actor.is_person()).then(|| AuditNote {
            actor: actor.to_string(),
            role: actor.role(),
            action: change.name(),
            subject: self.subject(change),
        })
    }

    /// The thing that `change` is about, for people: names and numbers, never a secret.
    fn subject(&self, change: &Change) -> String {
        match change {
            Change::FoundCluster { name, .. } | Change::AddModel { name, .. } => name.clone(),
            Change::AddJoinToken { role, uses, ttl_seconds, .. } => {
                format!("{} uses for a {}, {ttl_seconds} s", uses, role.name())
            }
            Change::AdmitNode { node, name, role, .. } => {
                format!("{name} ({}, {})", node.short(), role.name())
            }
            Change::RecordRegistration { node, .. }
            | Change::RecordEndpoint { node, .. }
            | Change::RecordLink { from: node, .. }
            | Change::RemoveNode { node, .. } => self.node_name(*node),
            Change::Deploy { model, .. } | Change::Undeploy { model, .. } => model.clone(),
            Change::PlacePlan { replica, plan, .. } => {
                let model = self.replica(*replica).map_or("", |(model, _)| model);
                let nodes: Vec<_> = plan.nodes().into_iter().map(|n| self.node_name(n)).collect();
                format!("{model} on {}", nodes.join(", "))
            }
            Change::SetRollout { replica, .. } => format!("replica {replica}"),
            Change::AddKey { name, role, .. } => format!("{name} ({})", role.name()),
            Change::Key(change) => key_subject(change),
            Change::Node(change) => self.duty_subject(change),
            Change::Operation(OperationChange::Cancel { id }) => id.clone(),
            Change::Voters(VoterChange::Promote { node }) => self.node_name(*node),
            Change::Snapshot(SnapshotChange::Take { id }) => id.clone(),
            Change::Snapshot(SnapshotChange::Restore { name, .. }) => name.clone(),
            Change::Settings(change) => change.to_string(),
            Change::DestroyCluster { cluster } => cluster.clone(),
            Change::StartOperation { kind, subject, .. } => format!("{} {subject}", kind.name()),
            Change::UpdateOperation { id, .. } => id.clone(),
            // What has no subject worth a word; a topic that has one adds its line above.
            _ => String::new(),
        }
    }

    fn duty_subject(&self, change: &NodeChange) -> String {
        match change {
            NodeChange::Cordon { node }
            | NodeChange::Uncordon { node }
            | NodeChange::Drain { node, .. }
            | NodeChange::EndDrain { node, .. }
            | NodeChange::Label { node, .. } => self.node_name(*node),
            NodeChange::StopReplica { replica, .. } => format!("replica {replica}"),
        }
    }

    fn node_name(&self, node: NodeId) -> String {
        let short = node.short();
        self.members.get(&node).map_or_else(|| short.clone(), |m| format!("{} ({short})", m.name))
    }
}

fn key_subject(change: &KeyChange) -> String {
    match change {
        KeyChange::Create { name, role, .. } => format!("{name} ({})", role.name()),
        KeyChange::Update { name, .. }
        | KeyChange::Rotate { name, .. }
        | KeyChange::Revoke { name } => name.clone(),
        KeyChange::RecordUsage { node, .. } => node.short(),
    }
}
