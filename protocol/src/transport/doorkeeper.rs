//! Bounds on connections of strangers: many that never finish their handshake take little memory
//! and keep nobody else out.
//!
//! Over a bound the oldest unfinished one goes, of the address that has the most of them: whoever
//! shakes hands at once is through before it is the oldest, also from the same address.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Refusals are logged at most this often, with the number of those in between.
const LOG_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct Doorkeeper {
    shared: Arc<Shared>,
}

struct Shared {
    /// For the log.
    port: &'static str,
    limits: StrangerLimits,
    state: Mutex<State>,
}

/// How many connections may be unfinished.
#[derive(Clone, Copy, Debug)]
pub struct StrangerLimits {
    pub in_all: usize,
    pub per_address: usize,
}

impl Default for StrangerLimits {
    fn default() -> Self {
        Self { in_all: 512, per_address: 128 }
    }
}

#[derive(Default)]
struct State {
    next: u64,
    count: usize,
    waiting: BTreeMap<IpAddr, VecDeque<(u64, oneshot::Sender<()>)>>,
    logged: Option<Instant>,
    unlogged: u64,
}

/// A connection that has not proved itself; dropped when it has, or ended.
pub struct Stranger {
    shared: Arc<Shared>,
    address: IpAddr,
    id: u64,
    shown_out: oneshot::Receiver<()>,
}

impl Doorkeeper {
    pub fn new(port: &'static str, limits: StrangerLimits) -> Self {
        Self { shared: Arc::new(Shared { port, limits, state: Mutex::default() }) }
    }

    /// Notes a new connection, in place of the oldest where there are too many.
    pub fn admit(&self, address: IpAddr) -> Stranger {
        let (show_out, shown_out) = oneshot::channel();
        let mut state = self.shared.lock();
        let limits = self.shared.limits;
        let own = state.waiting.get(&address).map_or(0, VecDeque::len);
        if own >= limits.per_address {
            state.drop_oldest_of(address);
            state.log(self.shared.port, address);
        } else if state.count >= limits.in_all {
            let most = state.waiting.iter().max_by_key(|(_, waiting)| waiting.len());
            if let Some(address) = most.map(|(address, _)| *address) {
                state.drop_oldest_of(address);
                state.log(self.shared.port, address);
            }
        }
        state.next += 1;
        state.count += 1;
        let id = state.next;
        state.waiting.entry(address).or_default().push_back((id, show_out));
        Stranger { shared: Arc::clone(&self.shared), address, id, shown_out }
    }

    /// Connections that are unfinished now.
    pub fn unfinished(&self) -> usize {
        self.shared.lock().count
    }
}

impl Stranger {
    /// Resolves when the connection must make room for others.
    pub async fn shown_out(&mut self) {
        let _ = (&mut self.shown_out).await;
    }

    /// Like `shown_out`, for those that poll.
    pub fn poll_shown_out(&mut self, context: &mut std::task::Context<'_>) -> bool {
        std::pin::Pin::new(&mut self.shown_out).poll(context).is_ready()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let Some(waiting) = state.waiting.get_mut(&self.address) else { return };
        let before = waiting.len();
        waiting.retain(|(id, _)| *id != self.id);
        let gone = before - waiting.len();
        if waiting.is_empty() {
            state.waiting.remove(&self.address);
        }
        state.count -= gone;
    }
}

impl Shared {
    /// Every statement under the lock leaves the counts right.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn drop_oldest_of(&mut self, address: IpAddr) {
        let Some(waiting) = self.waiting.get_mut(&address) else { return };
        if waiting.pop_front().is_some() {
            self.count -= 1;
        }
        if waiting.is_empty() {
            self.waiting.remove(&address);
        }
    }

    fn log(&mut self, port: &'static str, address: IpAddr) {
        self.unlogged += 1;
        if self.logged.is_some_and(|at| at.elapsed() < LOG_PAUSE) {
            return;
        }
        let (refused, unfinished) = (self.unlogged, self.count);
        tracing::warn!(
            port, %address, refused, unfinished,
            "too many unfinished connections: the oldest are refused"
        );
        (self.logged, self.unlogged) = (Some(Instant::now()), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> Doorkeeper {
        Doorkeeper::new("test", StrangerLimits { in_all: 6, per_address: 4 })
    }

    fn is_out(stranger: &mut Stranger) -> bool {
        !matches!(stranger.shown_out.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    #[test]
    fn over_the_bound_of_an_address_its_oldest_goes_and_no_other() {
        let door = door();
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut other = door.admit(b);
        let mut all: Vec<_> = (0..9).map(|_| door.admit(a)).collect();
        let out: Vec<_> = all.iter_mut().map(is_out).collect();
        assert_eq!(out, [true, true, true, true, true, false, false, false, false]);
        assert!(!is_out(&mut other));
        assert_eq!(door.unfinished(), 5);
        drop((all, other));
        assert_eq!(door.unfinished(), 0);
    }

    #[test]
    fn over_the_bound_of_all_the_address_with_the_most_makes_room() {
        let door = door();
        let mut greedy: Vec<_> = (0..4).map(|_| door.admit([10, 0, 0, 1].into())).collect();
        let mut others: Vec<_> = (2..6).map(|last| door.admit([10, 0, 0, last].into())).collect();
        assert_eq!(greedy.iter_mut().filter_map(|s| is_out(s).then_some(())).count(), 2);
        assert!(others.iter_mut().all(|s| !is_out(s)));
        assert_eq!(door.unfinished(), 6);
    }
}
