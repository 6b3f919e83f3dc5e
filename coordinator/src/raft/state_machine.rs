//! Applies committed entries to the state and publishes it; snapshots are its whole value.

use std::io;
use std::sync::Arc;

use futures::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot};
use protocol::admin::EventView;
use tokio::sync::watch;

use super::snapshot::{SnapshotFile, StoredSnapshot};
use super::type_config::{LogId, SnapshotMeta, StoredMembership, TypeConfig, Voter, VoterId};
use crate::events::{EventLog, words};
use crate::state::{Outcome, State};

pub(crate) struct StateMachine {
    state: Arc<State>,
    last_applied: Option<LogId>,
    membership: StoredMembership,
    published: watch::Sender<Arc<State>>,
    file: SnapshotFile,
    /// Highest level of the log's format that this node speaks.
    log_level: u32,
    events: Arc<EventLog>,
}

type OwnSnapshot =
    Snapshot<openraft::alias::CommittedLeaderIdOf<TypeConfig>, VoterId, Voter, Arc<State>>;

impl StateMachine {
    /// Starts from the snapshot on disk; openraft applies the log behind it.
    pub(crate) fn open(
        file: SnapshotFile,
        log_level: u32,
    ) -> io::Result<(Self, watch::Receiver<Arc<State>>)> {
        let (meta, state) = match file.load()? {
            Some(stored) => (stored.meta, stored.state),
            None => (SnapshotMeta::default(), Arc::new(State::default())),
        };
        let (published, receiver) = watch::channel(Arc::clone(&state));
        let events = Arc::default();
        let (last_applied, membership) = (meta.last_log_id, meta.last_membership);
        Ok((Self { state, last_applied, membership, published, file, log_level, events }, receiver))
    }

    /// What was applied, for who watches.
    pub(crate) fn events(&self) -> Arc<EventLog> {
        Arc::clone(&self.events)
    }

    /// Where the state is published.
    pub(crate) fn publisher(&self) -> watch::Sender<Arc<State>> {
        self.published.clone()
    }

    /// In place of a state machine that had to be started again.
    pub(crate) fn publish_to(&mut self, readers: watch::Sender<Arc<State>>, events: Arc<EventLog>) {
        self.published = readers;
        self.events = events;
    }

    /// What is applied a second time, after a new start, readers have seen already.
    fn publish(&self) {
        self.published.send_if_modified(|known| {
            let is_newer = self.state.applied >= known.applied;
            if is_newer {
                *known = Arc::clone(&self.state);
            }
            is_newer
        });
    }

    fn adopt(&mut self, meta: SnapshotMeta, state: Arc<State>) {
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership;
        self.events.jumped(state.applied);
        self.state = state;
        self.publish();
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Arc<State>;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut answers = Vec::new();
        while let Some((entry, responder)) = entries.try_next().await? {
            let index = entry.log_id.index;
            if let EntryPayload::Normal(command) = &entry.payload {
                // Whoever does not know what an entry means must not compute another state.
                command.check_level(index, self.log_level).map_err(io::Error::other)?;
            }
            self.last_applied = Some(entry.log_id);
            let state = Arc::make_mut(&mut self.state);
            let outcome = match entry.payload {
                EntryPayload::Normal(command) => {
                    let event = words(&command.change, state, index);
                    let outcome = state.apply(command, index);
                    let done = !matches!(outcome, Outcome::Refused(_));
                    let at = state.clock.to_string();
                    let event = event.filter(|_| done).map(|event| EventView { at, ..event });
                    self.events.record(index, event);
                    outcome
                }
                EntryPayload::Blank => {
                    state.skip(index);
                    Outcome::Done
                }
                EntryPayload::Membership(membership) => {
                    state.skip(index);
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Outcome::Done
                }
            };
            answers.extend(responder.map(|responder| (responder, outcome)));
        }
        // Before the answers: who proposed a change finds it in the state.
        self.publish();
        for (responder, outcome) in answers {
            responder.send(outcome);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let meta = SnapshotMeta {
            last_log_id: self.last_applied,
            last_membership: self.membership.clone(),
        };
        SnapshotBuilder { meta, state: Arc::clone(&self.state), file: self.file.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, state: Arc<State>) -> io::Result<()> {
        let stored = StoredSnapshot { meta: meta.clone(), state: Arc::clone(&state) };
        self.file.save(stored).await?;
        self.adopt(meta.clone(), state);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<OwnSnapshot>> {
        let stored = self.file.load()?;
        Ok(stored.map(|s| Snapshot { meta: s.meta, snapshot: s.state }))
    }
}

/// The state at one log position, written when openraft asks for it.
pub(crate) struct SnapshotBuilder {
    meta: SnapshotMeta,
    state: Arc<State>,
    file: SnapshotFile,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = Arc<State>;

    async fn build_snapshot(&mut self) -> io::Result<OwnSnapshot> {
        let (meta, state) = (self.meta.clone(), Arc::clone(&self.state));
        self.file.save(StoredSnapshot { meta: meta.clone(), state: Arc::clone(&state) }).await?;
        Ok(Snapshot { meta, snapshot: state })
    }
}
