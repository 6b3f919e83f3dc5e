//! A change of the log in words: what it is about, what happened, why, and what comes next.

use protocol::admin::{DeploymentState, EventView, OperationState};
use protocol::ids::{NodeId, ReplicaId};

use crate::state::{Change, NodeChange, OperationChange, State};

/// `state` is the one before the change. Measurements and addresses are no news.
pub(crate) fn words(change: &Change, state: &State, index: u64) -> Option<EventView> {
    let (kind, subject, text, next) = match change {
        Change::FoundCluster { name, .. } => plain("cluster", name, "the cluster was founded"),
        Change::AddJoinToken { role, uses, ttl_seconds, .. } => {
            let text = format!("a join token for {uses} {}s, {ttl_seconds} s", role.name());
            plain("cluster", &state.cluster, text)
        }
        Change::AdmitNode { name, role, .. } => {
            plain("member", name, format!("joined as a {}", role.name()))
        }
        Change::RemoveNode { node, .. } => {
            plain("member", &named(state, *node), "was removed from the cluster")
        }
        Change::AddModel { name, holder, .. } => {
            plain("model", name, format!("is held by {}", named(state, *holder)))
        }
        Change::Deploy { model, operation, .. } => {
            let next = "a plan is made".to_owned();
            ("deployment", model.clone(), format!("is deployed by operation {operation}"), next)
        }
        Change::Undeploy { model, .. } => plain("deployment", model, "is not deployed any more"),
        Change::PlacePlan { replica, plan, .. } => {
            let nodes: Vec<_> = plan.nodes().iter().map(|node| named(state, *node)).collect();
            let text =
                format!("epoch {index} in {} stages on {}", plan.stages().len(), nodes.join(", "));
            let next = "ready once every node of the plan has its layers".to_owned();
            ("deployment", model_of(state, *replica), text, next)
        }
        Change::SetRollout { replica, state: rollout, reason, .. } => {
            let (text, next) = rollout_words(*rollout, reason);
            ("deployment", model_of(state, *replica), text, next)
        }
        Change::AddKey { name, role, .. } => {
            plain("key", name, format!("a key was made, for {role:?}").to_lowercase())
        }
        Change::Node(change) => node_words(change, state),
        Change::Settings(change) => plain("cluster", &state.cluster, format!("is set: {change}")),
        Change::DestroyCluster { cluster } => {
            let next = "its coordinators stop, and start no more".to_owned();
            ("cluster", cluster.clone(), "was destroyed".to_owned(), next)
        }
        Change::StartOperation { id, kind, subject, note } => {
            plain("operation", id, format!("{} {subject}: {note}", kind.name()))
        }
        Change::Operation(OperationChange::Cancel { id }) => {
            plain("operation", id, "was cancelled")
        }
        Change::UpdateOperation {
            id, state: OperationState::Running, note, done, total, ..
        } => plain("operation", id, format!("{note} ({done} of {total} bytes)")),
        Change::UpdateOperation { id, state: ended, note, .. } => {
            plain("operation", id, format!("{ended:?}: {note}").to_lowercase())
        }
        Change::RecordRegistration { .. }
        | Change::RecordLink { .. }
        | Change::RecordEndpoint { .. } => return None,
        // Changes of the cluster's own affairs: certificates, snapshots.
        other => plain("cluster", &state.cluster, other.name()),
    };
    let kind = kind.to_owned();
    Some(EventView { index: Some(index), kind, subject, text, next, ..EventView::default() })
}

type Words = (&'static str, String, String, String);

fn plain(kind: &'static str, subject: &str, text: impl Into<String>) -> Words {
    (kind, subject.to_owned(), text.into(), String::new())
}

/// A deployment's state, and what follows from it.
pub(super) fn rollout_words(state: DeploymentState, reason: &str) -> (String, String) {
    let with = |word: &str| match reason {
        "" => word.to_owned(),
        reason if reason.starts_with(word) => reason.to_owned(),
        reason => format!("{word}: {reason}"),
    };
    match state {
        DeploymentState::Starting => {
            (with("starting"), "ready once every node of the plan has its layers".to_owned())
        }
        DeploymentState::Ready => (with("ready"), String::new()),
        DeploymentState::Degraded => {
            (with("degraded"), "planned again when a node comes or has more room".to_owned())
        }
        DeploymentState::Failed => (with("failed"), "undeploy it, then deploy it again".to_owned()),
    }
}

fn node_words(change: &NodeChange, state: &State) -> Words {
    let node = change.node().map(|node| named(state, node)).unwrap_or_default();
    match change {
        NodeChange::Cordon { .. } => plain("node", &node, "was cordoned"),
        NodeChange::Uncordon { .. } => plain("node", &node, "serves again"),
        NodeChange::Drain { operation, .. } => {
            let next = "what runs on it moves elsewhere".to_owned();
            ("node", node, format!("is drained by operation {operation}"), next)
        }
        NodeChange::EndDrain { failed: None, .. } => plain("node", &node, "is drained"),
        NodeChange::EndDrain { failed: Some(failure), .. } => {
            plain("node", &node, format!("was not drained: {}", failure.reason))
        }
        NodeChange::StopReplica { replica, reason, .. } => {
            let (text, next) = rollout_words(DeploymentState::Degraded, reason);
            ("deployment", model_of(state, *replica), text, next)
        }
        NodeChange::Label { set, remove, .. } => {
            let set = set.iter().map(|(key, value)| format!("{key}={value}"));
            let labels: Vec<_> = set.chain(remove.iter().map(|key| format!("{key}-"))).collect();
            plain("node", &node, format!("was labelled {}", labels.join(" ")))
        }
    }
}

fn named(state: &State, node: NodeId) -> String {
    state.members.get(&node).map_or_else(|| node.short(), |member| member.name.clone())
}

fn model_of(state: &State, replica: ReplicaId) -> String {
    state.replica(replica).map_or_else(|| replica.to_string(), |(name, _)| name.clone())
}
