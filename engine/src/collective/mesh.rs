//! A group in which every rank has a link to every other one.
//!
//! Small messages: everybody sends its values to everybody and adds them up by ascending rank.
//! Large ones among three or more: each rank adds up one part of them and sends the sums round,
//! which moves 2 (p - 1) / p of the bytes instead of p - 1 times as many (as a ring does, in two
//! steps instead of 2 (p - 1)). Each sum is made in the same order in both, so that the size of a
//! message, and with it a row's batch, changes no bit.

use std::time::{Duration, Instant};

use super::link::{MESSAGE_VALUES_MAX, Message, MessageHead};
use super::{Collective, CollectiveError, Fate, Inbox, Link, LinkLost, Outbox, Seat};

/// Values from which each rank adds up a part: 64 KiB take about as long on 10 Gbit/s as the
/// second exchange that this costs.
const PARTS_VALUES_MIN: usize = 16 << 10;
/// How long a rank polls its links before it gives its core away: what a wake-up costs is more
/// than most exchanges take.
const SPIN: Duration = Duration::from_micros(200);
/// Between two looks at the group's fate and at links other than the one that is waited for.
const NAP: Duration = Duration::from_millis(2);

/// One rank's place in a group.
pub struct Mesh {
    rank: usize,
    /// By ascending rank, without the own.
    peers: Vec<Peer>,
    calls: u32,
    patience: Duration,
    fate: Fate,
    sums: Vec<f32>,
}

struct Peer {
    rank: usize,
    link: Box<dyn Link>,
    out: Outbox,
    inbox: Inbox,
}

/// Until when a rank stays in a call.
#[derive(Clone, Copy)]
enum Await {
    /// What it sends is gone.
    Sent,
    /// That, and everybody's message is here.
    Everybody,
    /// The message of the peer of this index is here.
    Message(usize),
}

impl Mesh {
    /// `links`: the other ranks' numbers in the group, each with the way there. A rank gives up
    /// when nothing has come for `patience`, or as soon as `fate` says so.
    pub fn new(
        rank: usize,
        links: Vec<(usize, Box<dyn Link>)>,
        fate: Fate,
        patience: Duration,
    ) -> Self {
        let peer =
            |(rank, link)| Peer { rank, link, out: Outbox::default(), inbox: Inbox::default() };
        let mut peers: Vec<_> = links.into_iter().map(peer).collect();
        peers.sort_by_key(|peer| peer.rank);
        Self { rank, peers, calls: 0, patience, fate, sums: Vec::new() }
    }

    pub(super) fn seat(&self) -> Seat {
        Seat { rank: self.rank, ranks: self.peers.len() + 1 }
    }

    #[cfg(any(feature = "nccl", test))]
    pub(super) fn fate(&self) -> Fate {
        self.fate.clone()
    }

    /// Adds up what all ranks bring, by ascending rank.
    fn exchange(&mut self, values: &mut [f32]) -> Result<(), CollectiveError> {
        let call = self.next_call();
        self.peers.iter_mut().for_each(|peer| peer.send(call, values, 0));
        self.finish(call, Await::Everybody)?;
        self.add_up(values)
    }

    /// Each rank adds up its part of the values, then all send their sums to all.
    fn exchange_in_parts(&mut self, values: &mut [f32]) -> Result<(), CollectiveError> {
        let (ranks, length) = (self.peers.len() + 1, values.len());
        let part = |rank: usize| rank * length / ranks..(rank + 1) * length / ranks;
        let own = part(self.rank);
        let call = self.next_call();
        for peer in &mut self.peers {
            peer.send(call, &values[part(peer.rank)], 0);
        }
        self.finish(call, Await::Everybody)?;
        self.add_up(&mut values[own.clone()])?;
        let call = self.next_call();
        self.peers.iter_mut().for_each(|peer| peer.send(call, &values[own.clone()], 0));
        self.finish(call, Await::Everybody)?;
        for peer in &mut self.peers {
            peer.take(&mut values[part(peer.rank)])?;
        }
        Ok(())
    }

    /// `values` becomes the sum of itself and the messages that have come, by ascending rank.
    fn add_up(&mut self, values: &mut [f32]) -> Result<(), CollectiveError> {
        let Self { rank, peers, sums, .. } = self;
        sums.clear();
        sums.resize(values.len(), 0.0);
        let lower = peers.partition_point(|peer| peer.rank < *rank);
        let (before, after) = peers.split_at_mut(lower);
        let mut first = true;
        for peer in before {
            let part = peer.part(values.len())?;
            let bring = |sum: f32, part: f32| if first { part } else { sum + part };
            sums.iter_mut().zip(part).for_each(|(s, v)| *s = bring(*s, f32::from_le_bytes(*v)));
            first = false;
            peer.inbox.drop_message();
        }
        if first {
            sums.copy_from_slice(values);
        } else {
            sums.iter_mut().zip(&*values).for_each(|(sum, value)| *sum += value);
        }
        for peer in after {
            let part = peer.part(values.len())?;
            sums.iter_mut().zip(part).for_each(|(sum, v)| *sum += f32::from_le_bytes(*v));
            peer.inbox.drop_message();
        }
        values.copy_from_slice(sums);
        Ok(())
    }

    /// Sends `own` to rank 0.
    fn give(&mut self, call: u32, own: &[f32]) -> Result<(), CollectiveError> {
        let mut rest = own;
        loop {
            let (piece, behind) = rest.split_at(rest.len().min(MESSAGE_VALUES_MAX));
            self.peers[0].send(call, piece, behind.len());
            self.finish(call, Await::Sent)?;
            if behind.is_empty() {
                return Ok(());
            }
            rest = behind;
        }
    }

    /// Puts what the peer of this index gives behind the first `filled` values of `all`; returns
    /// how many there are then.
    fn receive(
        &mut self,
        call: u32,
        index: usize,
        all: &mut [f32],
        mut filled: usize,
    ) -> Result<usize, CollectiveError> {
        loop {
            self.finish(call, Await::Message(index))?;
            let peer = &mut self.peers[index];
            let Some((head, _)) = peer.message()? else { continue };
            let (rank, found, expected) = (peer.rank, head.values as usize, all.len() - filled);
            let Some(place) = all[filled..].get_mut(..found) else {
                return Err(CollectiveError::Disagree { rank, found, expected });
            };
            peer.take(place)?;
            filled += found;
            if head.to_follow == 0 {
                return Ok(filled);
            }
        }
    }

    fn next_call(&mut self) -> u32 {
        self.calls = self.calls.wrapping_add(1);
        self.calls
    }

    /// Moves bytes until `what` holds: polls for a while, then waits for whoever is late.
    fn finish(&mut self, call: u32, what: Await) -> Result<(), CollectiveError> {
        let started = Instant::now();
        let mut heard = started;
        loop {
            self.fate.check()?;
            let mut late = None;
            let mut moved = false;
            for (index, peer) in self.peers.iter_mut().enumerate() {
                let what = what.of(index);
                if !peer.is_done(call, what)? {
                    moved |= peer.move_bytes()?;
                    if !peer.is_done(call, what)? {
                        late.get_or_insert(index);
                    }
                }
            }
            let Some(late) = late else { return Ok(()) };
            let now = Instant::now();
            if moved {
                heard = now;
            } else if now - heard > self.patience {
                let (rank, after) = (self.peers[late].rank, self.patience);
                return Err(CollectiveError::RankSilent { rank, after });
            }
            if now - started < SPIN {
                // Whoever must move the bytes, or compute what is waited for, may need this core.
                std::thread::yield_now();
            } else {
                let peer = &mut self.peers[late];
                peer.link.wait(NAP, !peer.out.is_empty());
            }
        }
    }
}

impl Await {
    /// Whether the peer of `index` must have been sent to, and must have brought its message.
    fn of(self, index: usize) -> (bool, bool) {
        match self {
            Self::Sent => (true, false),
            Self::Everybody => (true, true),
            Self::Message(of) => (false, index == of),
        }
    }
}

impl Peer {
    fn send(&mut self, call: u32, values: &[f32], to_follow: usize) {
        let head = MessageHead { call, values: values.len() as u32, to_follow: to_follow as u32 };
        self.out.fill(head, values);
    }

    fn is_done(&self, call: u32, (sent, come): (bool, bool)) -> Result<bool, CollectiveError> {
        Ok((!sent || self.out.is_empty()) && (!come || self.has_come(call)?))
    }

    fn message(&self) -> Result<Option<Message<'_>>, CollectiveError> {
        self.inbox.message().map_err(|lost| self.lost(lost))
    }

    fn has_come(&self, expected: u32) -> Result<bool, CollectiveError> {
        match self.message()? {
            None => Ok(false),
            Some((head, _)) if head.call == expected => Ok(true),
            Some((head, _)) => {
                Err(CollectiveError::OutOfStep { rank: self.rank, found: head.call, expected })
            }
        }
    }

    /// Whether any byte went or came.
    fn move_bytes(&mut self) -> Result<bool, CollectiveError> {
        let before = (self.out.rest().len(), self.inbox.filled());
        let exchanged = self.link.exchange(&mut self.out, &mut self.inbox);
        let moved = before != (self.out.rest().len(), self.inbox.filled());
        // A peer may leave with all that it needs while this rank has all that it needs too: what
        // moved counts, and who wants more is told again.
        match exchanged {
            Err(lost) if !moved => Err(self.lost(lost)),
            _ => Ok(moved),
        }
    }

    /// The values of the message that has come.
    fn part(&self, expected: usize) -> Result<&[[u8; 4]], CollectiveError> {
        let part = self.message()?.map_or(&[][..], |(_, values)| values);
        let (rank, found) = (self.rank, part.len());
        if found == expected {
            Ok(part)
        } else {
            Err(CollectiveError::Disagree { rank, found, expected })
        }
    }

    fn take(&mut self, place: &mut [f32]) -> Result<(), CollectiveError> {
        let part = self.part(place.len())?;
        place.iter_mut().zip(part).for_each(|(to, from)| *to = f32::from_le_bytes(*from));
        self.inbox.drop_message();
        Ok(())
    }

    fn lost(&self, LinkLost(reason): LinkLost) -> CollectiveError {
        CollectiveError::RankLost { rank: self.rank, reason }
    }
}

impl Collective for Mesh {
    fn all_reduce(&mut self, values: &mut [f32]) -> Result<(), CollectiveError> {
        for piece in values.chunks_mut(MESSAGE_VALUES_MAX) {
            if self.peers.len() > 1 && piece.len() >= PARTS_VALUES_MIN {
                self.exchange_in_parts(piece)?;
            } else {
                self.exchange(piece)?;
            }
        }
        Ok(())
    }

    fn gather(&mut self, own: &[f32], all: &mut [f32]) -> Result<(), CollectiveError> {
        let call = self.next_call();
        if self.rank > 0 {
            return self.give(call, own);
        }
        let expected = all.len();
        let mut filled = own.len();
        if filled > expected {
            return Err(CollectiveError::Disagree { rank: 0, found: filled, expected });
        }
        all[..filled].copy_from_slice(own);
        for index in 0..self.peers.len() {
            filled = self.receive(call, index, all, filled)?;
        }
        let (rank, found) = (self.peers.len(), filled);
        if found == expected {
            Ok(())
        } else {
            Err(CollectiveError::Disagree { rank, found, expected })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::in_process_group;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Runs `work` on every rank of a group at once; results by rank.
    fn together<T: Send>(size: usize, work: impl Fn(usize, &mut Mesh) -> T + Sync) -> Vec<T> {
        let group = in_process_group(size, PATIENCE);
        std::thread::scope(|scope| {
            let run = |(rank, mut mesh): (usize, Mesh)| {
                let work = &work;
                scope.spawn(move || work(rank, &mut mesh))
            };
            let threads: Vec<_> = group.into_iter().enumerate().map(run).collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect()
        })
    }

    /// Not the same sum in another order.
    fn value(rank: usize, at: usize) -> f32 {
        [1e8_f32, 1.0, -1e8, 3.7][rank] + (at % 97) as f32
    }

    #[test]
    fn sums_are_added_in_the_order_of_ranks_whatever_the_size_of_a_message() {
        let lengths = [1, 3, 4096, PARTS_VALUES_MIN + 1, MESSAGE_VALUES_MAX + PARTS_VALUES_MIN];
        for size in 2..=4 {
            let sums = together(size, |rank, mesh| {
                lengths.map(|length| {
                    let mut values: Vec<_> = (0..length).map(|at| value(rank, at)).collect();
                    mesh.all_reduce(&mut values).expect("all are there");
                    values
                })
            });
            for (length, sums) in (0..).zip(lengths).flat_map(|(i, length)| {
                let by_rank: Vec<_> = sums.iter().map(|of_rank| &of_rank[i]).collect();
                [(length, by_rank)]
            }) {
                for at in 0..length {
                    let expected = (1..size).fold(value(0, at), |sum, r| sum + value(r, at));
                    let same = sums.iter().all(|sum| sum[at].to_bits() == expected.to_bits());
                    assert!(same, "{size} ranks, {length} values, at {at}");
                }
            }
        }
    }

    #[test]
    fn parts_of_any_length_come_together_on_the_first_rank() {
        let lengths = [5, 0, MESSAGE_VALUES_MAX + 3];
        let whole: Vec<f32> = (0..lengths.iter().sum::<usize>()).map(|at| at as f32).collect();
        let gathered = together(3, |rank, mesh| {
            let start = lengths[..rank].iter().sum::<usize>();
            let own = &whole[start..start + lengths[rank]];
            let mut all = vec![0.0; whole.len()];
            for _ in 0..3 {
                mesh.gather(own, &mut all).expect("all are there");
            }
            all
        });
        assert!(gathered[0] == whole);
    }

    #[test]
    fn a_rank_that_leaves_keeps_silent_or_is_told_of_ends_the_wait_of_the_others() {
        let mut ranks = in_process_group(2, PATIENCE);
        drop(ranks.pop());
        let error = ranks[0].all_reduce(&mut [1.0]).expect_err("one is gone");
        assert!(matches!(error, CollectiveError::RankLost { rank: 1, .. }), "{error}");
        let after = Duration::from_millis(20);
        let mut ranks = in_process_group(2, after);
        let error = ranks[0].all_reduce(&mut [1.0]).expect_err("one is silent");
        assert_eq!(error, CollectiveError::RankSilent { rank: 1, after });
        let mut ranks = in_process_group(2, PATIENCE);
        let fate = ranks[0].fate.clone();
        let waiting = std::thread::spawn(move || ranks[0].all_reduce(&mut [1.0]));
        fate.end(1, "its node is gone".to_owned());
        let error = waiting.join().expect("no panic").expect_err("told");
        assert!(error.to_string().contains("its node is gone"), "{error}");
    }

    #[test]
    fn ranks_in_different_steps_find_out() {
        let errors = together(2, |rank, mesh| mesh.all_reduce(&mut vec![1.0; rank + 1]));
        let disagree = |rank, found, expected| CollectiveError::Disagree { rank, found, expected };
        assert_eq!(errors, [Err(disagree(1, 2, 1)), Err(disagree(0, 1, 2))]);
    }
}
