//! What is not in the log: nodes that are lost or ready, who leads, how far weights have come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::admin::{DeploymentState, EventView, NodeState};
use protocol::ids::NodeId;
use protocol::shard::ShardState;
use tokio::sync::watch as channel;

use super::log::EventLog;
use super::words::rollout_words;
use crate::raft::{Consensus, wall_clock};
use crate::reconcile::LiveView;
use crate::state::{Deployment, State};

/// Progress is told at most this often.
const PROGRESS: Duration = Duration::from_secs(1);

/// Tells what changes in this coordinator's view, until its sender is gone.
pub(crate) async fn watch(
    consensus: Arc<Consensus>,
    events: Arc<EventLog>,
    mut view: channel::Receiver<Arc<LiveView>>,
) {
    let mut seen = Seen::default();
    while view.changed().await.is_ok() {
        let live = Arc::clone(&view.borrow_and_update());
        for event in seen.news(&consensus, &live) {
            events.tell(event);
        }
    }
}

/// Nodes and deployments as they are now.
pub(crate) fn current(consensus: &Consensus, live: &LiveView) -> Vec<EventView> {
    let state = consensus.state();
    let stamp = Stamp::of(consensus, &state);
    let nodes = live.nodes.iter().map(|(node, seen)| {
        let text = sentence(word(seen.state), &seen.reason);
        stamp.event("node", &named(&state, *node), text, &seen.next)
    });
    let deployments = state.deployments.iter().map(|(name, deployment)| {
        let (text, next) = progress(deployment, live);
        stamp.event("deployment", name, text, &next)
    });
    nodes.chain(deployments).collect()
}

#[derive(Default)]
struct Seen {
    leader: Option<NodeId>,
    nodes: BTreeMap<NodeId, NodeState>,
    progress: BTreeMap<String, String>,
    told: Option<std::time::Instant>,
}

impl Seen {
    fn news(&mut self, consensus: &Consensus, live: &LiveView) -> Vec<EventView> {
        let state = consensus.state();
        let stamp = Stamp::of(consensus, &state);
        let mut news = Vec::new();
        let leader = consensus.status().leader;
        if leader != self.leader {
            self.leader = leader;
            let (subject, text) = match leader {
                Some(node) => (named(&state, node), "leads"),
                None => (state.cluster.clone(), "no leader is known"),
            };
            news.push(stamp.event("leadership", &subject, text.to_owned(), ""));
        }
        for (node, seen) in &live.nodes {
            let before = self.nodes.insert(*node, seen.state);
            if before != Some(seen.state) {
                let text = sentence(word(seen.state), &seen.reason);
                news.push(stamp.event("node", &named(&state, *node), text, &seen.next));
            }
        }
        self.nodes.retain(|node, _| live.nodes.contains_key(node));
        if self.told.is_none_or(|told| told.elapsed() >= PROGRESS) {
            self.told = Some(std::time::Instant::now());
            news.extend(self.progress(&state, live, &stamp));
        }
        news
    }

    fn progress(&mut self, state: &State, live: &LiveView, stamp: &Stamp) -> Vec<EventView> {
        let mut news = Vec::new();
        let starting = |d: &Deployment| d.rollout.state == DeploymentState::Starting;
        for (name, deployment) in state.deployments.iter().filter(|(_, d)| starting(d)) {
            let (text, next) = progress(deployment, live);
            if self.progress.get(name) != Some(&text) {
                news.push(stamp.event("deployment", name, text.clone(), &next));
                self.progress.insert(name.clone(), text);
            }
        }
        self.progress.retain(|name, _| state.deployments.contains_key(name));
        news
    }
}

/// Who sees it, and when.
struct Stamp {
    at: String,
    seen_by: String,
    leads: bool,
}

impl Stamp {
    fn of(consensus: &Consensus, state: &State) -> Self {
        let at = wall_clock().to_string();
        Self { at, seen_by: named(state, consensus.own()), leads: consensus.status().is_leader }
    }

    fn event(&self, kind: &str, subject: &str, text: String, next: &str) -> EventView {
        EventView {
            index: None,
            at: self.at.clone(),
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            text,
            next: next.to_owned(),
            soft: true,
            seen_by: self.seen_by.clone(),
            leads: self.leads,
        }
    }
}

/// A deployment's state; of one that starts, how far its weights are.
fn progress(deployment: &Deployment, live: &LiveView) -> (String, String) {
    let rollout = &deployment.rollout;
    let (text, next) = rollout_words(rollout.state, &rollout.reason);
    let Some(placement) = &deployment.placement else { return (text, next) };
    if rollout.state != DeploymentState::Starting {
        return (text, next);
    }
    let nodes = placement.plan.nodes();
    let (mut ready, mut done, mut total) = (0, 0, 0);
    for node in &nodes {
        let shards = live.nodes.get(node).map(|n| n.shards.as_slice()).unwrap_or_default();
        let same = |s: &&protocol::shard::ShardStatus| {
            s.replica == deployment.replica && s.epoch == placement.epoch
        };
        match shards.iter().find(same).map(|s| &s.state) {
            Some(ShardState::Ready) => ready += 1,
            Some(
                ShardState::Fetching { done_bytes, total_bytes }
                | ShardState::Loading { done_bytes, total_bytes },
            ) => {
                done += done_bytes;
                total += total_bytes;
            }
            _ => {}
        }
    }
    let epoch = placement.epoch;
    let moved = match total {
        0 => String::new(),
        total => format!(", {done} of {total} bytes fetched or loaded"),
    };
    (format!("starting epoch {epoch}: {ready} of {} nodes ready{moved}", nodes.len()), next)
}

fn word(state: NodeState) -> &'static str {
    match state {
        NodeState::Joining => "joining",
        NodeState::Ready => "ready",
        NodeState::Cordoned => "cordoned",
        NodeState::Draining => "draining",
        NodeState::Lost => "lost",
        NodeState::Removed => "removed",
    }
}

fn sentence(word: &str, reason: &str) -> String {
    if reason.is_empty() || reason == word { word.to_owned() } else { format!("{word}: {reason}") }
}

fn named(state: &State, node: NodeId) -> String {
    state.members.get(&node).map_or_else(|| node.short(), |member| member.name.clone())
}
