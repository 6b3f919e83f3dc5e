//! Ranks that are threads of one process: they meet in shared memory.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Collective, CollectiveError};

/// The ranks of a group of `size`, in order. One that waits longer than `patience` for another
/// gives up; one that is dropped makes the others give up.
pub fn in_process_group(size: usize, patience: Duration) -> Vec<InProcess> {
    let state = State { rounds: [vec![None; size], vec![None; size]], left: None };
    let meeting = Arc::new(Meeting { state: Mutex::new(state), arrived: Condvar::new() });
    let rank = |rank| InProcess { rank, calls: 0, patience, meeting: Arc::clone(&meeting) };
    (0..size).map(rank).collect()
}

pub struct InProcess {
    rank: usize,
    calls: usize,
    patience: Duration,
    meeting: Arc<Meeting>,
}

struct Meeting {
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    /// Calls use the two by turns: nobody is more than one call ahead, so a round is free again
    /// when its turn comes.
    rounds: [Round; 2],
    left: Option<usize>,
}

/// What each rank brought, with the call it brought it to.
type Round = Vec<Option<(usize, Arc<[f32]>)>>;

impl InProcess {
    /// Brings `own` to this call and returns what all brought, in the order of ranks.
    fn meet(&mut self, own: &[f32]) -> Result<Vec<Arc<[f32]>>, CollectiveError> {
        let call = self.calls;
        self.calls += 1;
        let mut state = self.meeting.state();
        state.rounds[call % 2][self.rank] = Some((call, Arc::from(own)));
        self.meeting.arrived.notify_all();
        let deadline = Instant::now() + self.patience;
        loop {
            let here = |part: &Option<(usize, Arc<[f32]>)>| {
                part.as_ref().filter(|(at, _)| *at == call).map(|(_, values)| Arc::clone(values))
            };
            let parts: Vec<_> = state.rounds[call % 2].iter().map(here).collect();
            let Some(missing) = parts.iter().position(Option::is_none) else {
                return Ok(parts.into_iter().flatten().collect());
            };
            if let Some(rank) = state.left {
                return Err(CollectiveError::RankLeft { rank });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(CollectiveError::RankSilent { rank: missing, after: self.patience });
            }
            let waited = self.meeting.arrived.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Meeting {
    /// Every statement under the lock leaves the state whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collective for InProcess {
    fn all_reduce(&mut self, values: &mut [f32]) -> Result<(), CollectiveError> {
        let parts = self.meet(values)?;
        for (rank, part) in parts.iter().enumerate() {
            agree(rank, part.len(), values.len())?;
            if rank == 0 {
                values.copy_from_slice(part);
            } else {
                values.iter_mut().zip(&part[..]).for_each(|(sum, value)| *sum += value);
            }
        }
        Ok(())
    }

    fn gather(&mut self, own: &[f32], all: &mut [f32]) -> Result<(), CollectiveError> {
        let parts = self.meet(own)?;
        if self.rank > 0 {
            return Ok(());
        }
        let found = parts.iter().map(|part| part.len()).sum();
        agree(parts.len() - 1, found, all.len())?;
        let mut rest = all;
        for part in parts {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(&part);
            rest = behind;
        }
        Ok(())
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.meeting.state().left = Some(self.rank);
        self.meeting.arrived.notify_all();
    }
}

fn agree(rank: usize, found: usize, expected: usize) -> Result<(), CollectiveError> {
    let error = CollectiveError::Disagree { rank, found, expected };
    if found == expected { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn sums_are_added_in_the_order_of_ranks_on_every_rank() {
        // Not the same sum in another order.
        let values = [1e8_f32, 1.0, -1e8];
        let ranks = in_process_group(3, PATIENCE).into_iter().zip(values);
        let sums: Vec<_> = std::thread::scope(|scope| {
            let run = |(mut rank, value): (InProcess, f32)| {
                scope.spawn(move || {
                    (0..100)
                        .map(|call| {
                            let mut sum = [value, call as f32];
                            rank.all_reduce(&mut sum).expect("all are there");
                            sum
                        })
                        .collect::<Vec<_>>()
                })
            };
            let threads: Vec<_> = ranks.map(run).collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect()
        });
        for sums in sums {
            for (call, sum) in sums.iter().enumerate() {
                assert_eq!(*sum, [(values[0] + values[1]) + values[2], 3.0 * call as f32]);
            }
        }
    }

    #[test]
    fn a_rank_that_leaves_or_keeps_silent_ends_the_wait_of_the_others() {
        let mut ranks = in_process_group(2, PATIENCE);
        drop(ranks.pop());
        let error = ranks[0].all_reduce(&mut [1.0]).expect_err("one is gone");
        assert_eq!(error, CollectiveError::RankLeft { rank: 1 });
        let after = Duration::from_millis(20);
        let mut ranks = in_process_group(2, after);
        let error = ranks[0].all_reduce(&mut [1.0]).expect_err("one is silent");
        assert_eq!(error, CollectiveError::RankSilent { rank: 1, after });
    }

    #[test]
    fn ranks_in_different_steps_find_out() {
        let mut ranks = in_process_group(2, PATIENCE);
        let (mut second, mut first) = (ranks.pop().expect("two"), ranks.pop().expect("two"));
        let other = std::thread::spawn(move || second.all_reduce(&mut [1.0, 2.0]));
        let error = first.all_reduce(&mut [1.0]).expect_err("one value against two");
        assert_eq!(error, CollectiveError::Disagree { rank: 1, found: 2, expected: 1 });
        assert!(other.join().expect("no panic").is_err());
    }
}
