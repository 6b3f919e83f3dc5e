//! Imports that workers carry out: their progress becomes the operation's, their end a model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::admin::OperationState;
use protocol::control::CommandProgress;
use protocol::ids::NodeId;

use crate::raft::{Consensus, ProposeError};
use crate::state::{Change, Operation, OperationKind};

/// Progress goes to the log at most this often: every coordinator can then show it.
const LOGGED_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Imports {
    consensus: Arc<Consensus>,
    logged: Mutex<BTreeMap<String, Instant>>,
}

impl Imports {
    pub(crate) fn new(consensus: Arc<Consensus>) -> Self {
        Self { consensus, logged: Mutex::default() }
    }

    /// Takes in what `node` says of an operation; returns at once.
    pub(crate) fn take(
        self: &Arc<Self>,
        node: NodeId,
        operation: String,
        progress: CommandProgress,
    ) {
        let running = matches!(progress, CommandProgress::Running { .. });
        if !self.due(&operation, running) {
            return;
        }
        let imports = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = imports.log(node, operation.clone(), progress).await {
                tracing::warn!(operation, %error, "progress of an operation was not recorded");
            }
        });
    }

    fn due(&self, operation: &str, running: bool) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if !running {
            logged.remove(operation);
            return true;
        }
        let now = Instant::now();
        if logged.get(operation).is_some_and(|at| now - *at < LOGGED_EVERY) {
            return false;
        }
        logged.insert(operation.to_owned(), now);
        true
    }

    async fn log(
        &self,
        node: NodeId,
        id: String,
        progress: CommandProgress,
    ) -> Result<(), ProposeError> {
        let state = self.consensus.state();
        // A worker tells every coordinator, and tells the end again when it registers anew.
        let running =
            |o: &&Operation| o.kind == OperationKind::Import && o.state == OperationState::Running;
        let Some(operation) = state.operations.get(&id).filter(running) else { return Ok(()) };
        let update = |state, note: String, done, total, result| Change::UpdateOperation {
            id: id.clone(),
            state,
            note,
            done,
            total,
            result,
        };
        let (done, total) = (operation.done, operation.total);
        let change = match progress {
            CommandProgress::Running { done, total, note } => {
                update(OperationState::Running, note, done, total, BTreeMap::new())
            }
            CommandProgress::Failed { reason } => {
                update(OperationState::Failed, reason, done, total, BTreeMap::new())
            }
            CommandProgress::Done => return Ok(()),
            CommandProgress::Imported { manifest, summary } => {
                let name = operation.subject.clone();
                let bytes = summary.weight_bytes;
                let model = name.clone();
                let added = Change::AddModel { name, manifest, summary, holder: node };
                match self.consensus.propose(added).await {
                    Ok(_) => {
                        let result = BTreeMap::from([
                            ("model".to_owned(), model.clone()),
                            ("manifest".to_owned(), manifest.to_string()),
                        ]);
                        let note = format!("{model} is imported");
                        update(OperationState::Done, note, bytes, bytes, result)
                    }
                    Err(ProposeError::Refused(refusal)) => {
                        let note = refusal.message;
                        update(OperationState::Failed, note, done, total, BTreeMap::new())
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        match self.consensus.propose(change).await {
            // Another coordinator was faster.
            Ok(_) | Err(ProposeError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
