//! A communicator that never waits without end: it is polled up to a deadline, watched while it
//! works, and aborted when a rank of its group is lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::{CollectiveError, Fate, Seat};
use super::agreement::UniqueId;
use super::calls::{Buffers, CommState, NcclCalls, NcclFault};

/// Between two looks at a communicator that is being set up.
const SETUP_PAUSE: Duration = Duration::from_millis(1);
/// Between two looks at the group's fate, and at faults that NCCL found by itself.
const WATCH_PAUSE: Duration = Duration::from_millis(20);

/// One rank's place in a communicator of one epoch.
pub(crate) struct Communicator<C: NcclCalls> {
    shared: Arc<Shared<C>>,
    patience: Duration,
    /// Ends when the handle is gone.
    watch: Option<JoinHandle<()>>,
}

struct Shared<C: NcclCalls> {
    calls: Arc<C>,
    fate: Fate,
    /// None once it was aborted. Held for single calls only, none of which waits.
    handle: Mutex<Option<C::Handle>>,
}

impl<C: NcclCalls> Communicator<C> {
    /// Meets the other ranks that hold `id`; gives up when `patience` is over or `fate` says so.
    /// The same patience holds for what is queued later.
    pub(crate) fn open(
        calls: &Arc<C>,
        id: &UniqueId,
        seat: Seat,
        fate: &Fate,
        patience: Duration,
    ) -> Result<Self, CollectiveError> {
        let handle = calls.begin(id, seat.rank, seat.ranks).map_err(|fault| said(&fault))?;
        let handle = Mutex::new(Some(handle));
        let shared = Arc::new(Shared { calls: Arc::clone(calls), fate: fate.clone(), handle });
        shared.settle(patience, SETUP_PAUSE)?;
        let watched = Arc::clone(&shared);
        let watch = std::thread::Builder::new().name("nccl-watch".to_owned()).spawn(move || {
            while watched.look() {
                std::thread::park_timeout(WATCH_PAUSE);
            }
        });
        match watch {
            Ok(watch) => Ok(Self { shared, patience, watch: Some(watch) }),
            Err(error) => {
                shared.abort();
                Err(CollectiveError::Nccl(format!("its watch does not start: {error}")))
            }
        }
    }

    /// Queues a sum over all ranks on the buffers' stream.
    ///
    /// What is read from the device after a rank was lost is worth nothing: whoever waited for the
    /// device asks the group's fate before it passes a result on.
    pub(crate) fn all_reduce(&self, buffers: Buffers) -> Result<(), CollectiveError> {
        self.shared.fate.check()?;
        let queued = match *self.shared.handle() {
            Some(handle) => self.shared.calls.all_reduce(handle, buffers),
            None => return Err(CollectiveError::Nccl("its communicator has ended".to_owned())),
        };
        if let Err(fault) = queued {
            self.shared.abort();
            return Err(said(&fault));
        }
        self.shared.settle(self.patience, Duration::ZERO)
    }
}

impl<C: NcclCalls> Drop for Communicator<C> {
    fn drop(&mut self) {
        self.shared.abort();
        if let Some(watch) = self.watch.take() {
            watch.thread().unpark();
            // One that panicked has nothing left to do.
            let _ = watch.join();
        }
    }
}

impl<C: NcclCalls> Shared<C> {
    /// Waits until the last call is done; aborts where it fails, takes too long or a rank is lost.
    fn settle(&self, patience: Duration, pause: Duration) -> Result<(), CollectiveError> {
        let begun = Instant::now();
        let fault = loop {
            if let Err(lost) = self.fate.check() {
                break lost;
            }
            match self.state() {
                Some(CommState::Ready) => return Ok(()),
                Some(CommState::InProgress) if begun.elapsed() < patience => {}
                Some(CommState::InProgress) => {
                    let seconds = patience.as_secs_f64();
                    break CollectiveError::Nccl(format!("no answer of all ranks in {seconds} s"));
                }
                Some(CommState::Failed(fault)) => break said(&fault),
                None => break CollectiveError::Nccl("its communicator has ended".to_owned()),
            }
            if pause.is_zero() { std::hint::spin_loop() } else { std::thread::sleep(pause) }
        };
        self.abort();
        Err(fault)
    }

    /// Whether there is still something to watch. A device that waits for a lost rank would wait
    /// for ever: the abort ends that.
    fn look(&self) -> bool {
        if self.fate.check().is_err() {
            self.abort();
        }
        match self.state() {
            Some(CommState::Failed(fault)) => {
                self.fate.fail(said(&fault));
                self.abort();
                false
            }
            Some(_) => true,
            None => false,
        }
    }

    fn state(&self) -> Option<CommState> {
        self.handle().map(|handle| self.calls.state(handle))
    }

    /// Once: the handle is of no use behind it.
    fn abort(&self) {
        if let Some(handle) = self.handle().take() {
            self.calls.abort(handle);
        }
    }

    /// Every statement under the lock leaves it whole.
    fn handle(&self) -> MutexGuard<'_, Option<C::Handle>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn said(fault: &NcclFault) -> CollectiveError {
    CollectiveError::Nccl(fault.to_string())
}
