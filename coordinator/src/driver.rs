//! The dull loop around the reconciler: receive, step, carry out. No decision is taken here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::control::CoordinatorEndpoint;
use protocol::ids::NodeId;
use protocol::transport::NodeTls;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::identity::someone_else_at;
use crate::metrics;
use crate::nodes::{DataPlane, WorkerRegistry};
use crate::raft::{Consensus, ProposeError};
use crate::reconcile::{Action, Event, LiveView, Reconciler, ReconcilerConfig};
use crate::state::Change;

/// Events that wait for the loop; a worker's stream is read no further while they are this many.
pub(crate) const EVENTS_MAX: usize = 1024;
const PROPOSALS_MAX: usize = 64;
const LEADERSHIP_POLL: Duration = Duration::from_millis(20);
const ENDPOINT_POLL: Duration = Duration::from_secs(1);
const MEMBERSHIP_POLL: Duration = Duration::from_millis(500);

pub(crate) struct Driver {
    pub(crate) consensus: Arc<Consensus>,
    pub(crate) registry: Arc<WorkerRegistry>,
    pub(crate) events: mpsc::Receiver<Event>,
    /// Of the same queue; weak, as the driver ends with the last sender.
    pub(crate) answers: mpsc::WeakSender<Event>,
    pub(crate) view: watch::Sender<Arc<LiveView>>,
    pub(crate) origin: Instant,
    pub(crate) config: ReconcilerConfig,
}

impl Driver {
    /// Runs until every sender of events is gone.
    pub(crate) async fn run(mut self) {
        let mut reconciler = Reconciler::new(self.config.clone());
        let proposals = Arc::new(Semaphore::new(PROPOSALS_MAX));
        let mut data_plane = DataProgress::default();
        let mut state = self.consensus.watch_state();
        state.mark_changed();
        let mut ticker = tokio::time::interval(self.config.tick);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => event,
                    None => return,
                },
                changed = state.changed() => match changed {
                    Ok(()) => Event::StateChanged(Arc::clone(&state.borrow_and_update())),
                    Err(_) => return,
                },
                _ = ticker.tick() => Event::Tick,
            };
            let now = self.origin.elapsed();
            // What a worker says may presume a change that was applied a moment ago.
            let newer = state.has_changed().unwrap_or(false);
            let newer = newer.then(|| Event::StateChanged(Arc::clone(&state.borrow_and_update())));
            let progress = match event {
                Event::Tick => data_plane.grown(&self.registry),
                _ => Vec::new(),
            };
            if let Event::StreamLost { node } = event {
                self.ask_for_life(node);
            }
            let progress = progress.into_iter().map(|node| Event::DataProgress { node });
            for event in newer.into_iter().chain(progress).chain([event]) {
                for action in reconciler.step(event, now) {
                    self.perform(action, &proposals);
                }
            }
            let view = Arc::new(reconciler.view(now));
            metrics::nodes(&view);
            self.view.send_replace(view);
        }
    }

    /// A stream may have been cut by something on the way: if the process lives, it answers.
    fn ask_for_life(&self, node: NodeId) {
        let (data_plane, events) =
            (DataPlane::new(Arc::clone(&self.registry)), self.answers.clone());
        let limit = self.config.reset_grace;
        tokio::spawn(async move {
            if data_plane.answers(node, limit).await
                && let Some(events) = events.upgrade()
            {
                let _ = events.send(Event::Answered { node }).await;
            }
        });
    }

    fn perform(&self, action: Action, proposals: &Arc<Semaphore>) {
        match action {
            Action::Send { node, message } => {
                self.registry.send(node, message);
            }
            Action::Propose(change) => {
                // The reconciler asks again where it still wants a change that was dropped.
                let Ok(permit) = Arc::clone(proposals).try_acquire_owned() else { return };
                let consensus = Arc::clone(&self.consensus);
                tokio::spawn(async move {
                    propose(&consensus, change).await;
                    drop(permit);
                });
            }
        }
    }
}

/// Counts of received datagrams per data connection at the last look.
#[derive(Default)]
struct DataProgress {
    seen: BTreeMap<NodeId, (usize, u64)>,
}

impl DataProgress {
    /// The workers of which something arrived since.
    fn grown(&mut self, registry: &WorkerRegistry) -> Vec<NodeId> {
        let counts = registry.received();
        let seen = std::mem::replace(&mut self.seen, counts);
        let same_connection_grew = |(node, (connection, count)): (&NodeId, &(usize, u64))| {
            let before = seen.get(node).filter(|(before, _)| before == connection)?;
            (before.1 < *count).then_some(*node)
        };
        self.seen.iter().filter_map(same_connection_grew).collect()
    }
}

async fn propose(consensus: &Consensus, change: Change) {
    let name = change.name();
    match consensus.propose(change).await {
        Ok(outcome) => tracing::debug!(name, %outcome, "committed"),
        Err(ProposeError::Refused(refusal)) => {
            tracing::debug!(name, reason = refusal.message, "overtaken");
        }
        Err(error) => tracing::warn!(name, %error, "a change was not committed"),
    }
}

/// Tells the reconciler when this coordinator starts and stops leading. It starts only once every
/// entry of earlier leaders is applied: commands to workers carry the applied index.
pub(crate) async fn watch_leadership(consensus: Arc<Consensus>, events: mpsc::Sender<Event>) {
    let mut leading = None;
    loop {
        let status = consensus.status();
        metrics::raft(&status);
        let term = status.is_leader.then_some(status.term);
        if term != leading {
            let sent = match term {
                Some(_) => {
                    if !consensus.caught_up().await {
                        tokio::time::sleep(LEADERSHIP_POLL).await;
                        continue;
                    }
                    let state = Event::StateChanged(consensus.state());
                    events.send(state).await.is_ok()
                        && events.send(Event::BecameLeader).await.is_ok()
                }
                None => events.send(Event::BecameFollower).await.is_ok(),
            };
            if !sent {
                return;
            }
            tracing::info!(term = status.term, leader = term.is_some(), "leadership changed");
            leading = term;
        }
        tokio::time::sleep(LEADERSHIP_POLL).await;
    }
}

/// While leading, keeps the Raft group as the members say.
pub(crate) async fn tend_membership(consensus: Arc<Consensus>) {
    loop {
        tokio::time::sleep(MEMBERSHIP_POLL).await;
        if !consensus.status().is_leader {
            continue;
        }
        if let Err(error) = consensus.tend_membership().await {
            tracing::warn!(%error, "the Raft group was not changed");
        }
    }
}

/// Tells the others where this coordinator is reached, when that is not what the log says. Ends
/// only when another process of this identity is found, at the address that it wrote meanwhile.
pub(crate) async fn keep_endpoint(
    consensus: Arc<Consensus>,
    endpoint: CoordinatorEndpoint,
    listening: SocketAddr,
    tls: NodeTls,
) {
    let mut was_own = false;
    loop {
        let node = consensus.own();
        let state = consensus.state();
        let known = state.members.get(&node).map(|m| m.endpoint.as_ref());
        was_own |= known == Some(Some(&endpoint));
        if let Some(Some(other)) = known
            && was_own
            && other != &endpoint
            && someone_else_at(&other.address, listening, &tls).await
        {
            tracing::error!(
                address = other.address,
                "another coordinator with this one's identity runs there (a cloned disk?): remove \
                 the identity folder of one of them and join it anew"
            );
            return;
        }
        if known.is_some_and(|known| known != Some(&endpoint)) {
            let endpoint = endpoint.clone();
            propose(&consensus, Change::RecordEndpoint { node, endpoint }).await;
        }
        tokio::time::sleep(ENDPOINT_POLL).await;
    }
}
