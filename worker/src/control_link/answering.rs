//! What a worker answers to a coordinator that asks it about itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use protocol::control::WorkerMessage;
use protocol::log_ring::LogRing;
use protocol::questions::{Answer, Question};
use protocol::rpc::Envelope;
use tokio::sync::{Semaphore, mpsc};

use crate::config::Config;
use crate::probe::{OwnMemory, host_facts, measure_copy, measure_disk};

#[derive(Clone)]
pub(crate) struct Answering {
    log: LogRing,
    data_dir: PathBuf,
    memory_limit: Option<u64>,
    /// Two measurements at once would measure each other.
    looking: Arc<Semaphore>,
}

impl Answering {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            log: config.log.clone(),
            data_dir: config.data_dir.clone(),
            memory_limit: config.memory_limit,
            looking: Arc::new(Semaphore::new(1)),
        }
    }

    /// Returns at once; the answer goes into `out` when it is there.
    pub(super) fn answer(&self, id: u64, question: Question, out: &mpsc::Sender<Envelope>) {
        let send = {
            let out = out.clone();
            move |answer| send(&out, WorkerMessage::Answer { id, answer })
        };
        match question {
            Question::Log { after, last } => {
                send(Answer::Log(self.log.after(after, last as usize)));
            }
            Question::Check => {
                let Ok(turn) = Arc::clone(&self.looking).try_acquire_owned() else {
                    let reason = "it looks at its machine already, for somebody else".to_owned();
                    return send(Answer::Failed { reason });
                };
                let own = self.clone();
                tokio::task::spawn_blocking(move || {
                    let answer = own.look();
                    drop(turn);
                    send(answer);
                });
            }
        }
    }

    fn look(&self) -> Answer {
        let mut host = host_facts(&self.data_dir, self.memory_limit);
        // The limit that it is held against counts what this process has taken.
        host.memory_available_bytes += OwnMemory::new().resident_bytes();
        if let Some(disk) = &mut host.disk
            && let Err(error) = measure_disk(&self.data_dir, disk)
        {
            let reason = format!("nothing can be written to {}: {error}", self.data_dir.display());
            return Answer::Failed { reason };
        }
        host.memory_copy_bytes_per_second = Some(measure_copy());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        host.clock_ms = now.as_millis() as u64;
        Answer::Check(Box::new(host))
    }
}

/// Who asked waits for a time and no longer: an answer that cannot be sent is not kept.
fn send(out: &mpsc::Sender<Envelope>, message: WorkerMessage) {
    let sent = Envelope::pack("WorkerMessage", &message)
        .map_err(|error| error.to_string())
        .and_then(|envelope| out.try_send(envelope).map_err(|error| error.to_string()));
    if let Err(reason) = sent {
        tracing::warn!(reason, "an answer was not sent");
    }
}
