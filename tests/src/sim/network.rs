//! A hostile network: ordered pipes that delay, stall, break late, and deliver after a close.

use std::collections::BTreeMap;
use std::time::Duration;

use super::random::Random;

/// A process that talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Worker(usize),
    Coordinator(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PipeId(u64);

/// Silence after which an end takes its pipe for broken (keep-alive of QUIC and gRPC).
pub(super) const IDLE: Duration = Duration::from_secs(1);
/// How soon an end hears that the other closed, or that its process is gone.
const CLOSE_MILLIS: u32 = 8;

#[derive(Debug)]
struct Pipe {
    ends: [Place; 2],
    /// Whether each end still listens.
    open: [bool; 2],
    /// When the last message to each end arrives: order is kept.
    last: [Duration; 2],
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    from: Duration,
    until: Duration,
}

#[derive(Debug)]
pub(super) struct Network {
    random: Random,
    pipes: BTreeMap<PipeId, Pipe>,
    /// From one place to another.
    cuts: BTreeMap<(Place, Place), Cut>,
    slow: BTreeMap<(Place, Place), Duration>,
    opened: u64,
}

impl Network {
    pub(super) fn new(random: Random) -> Self {
        let (pipes, cuts, slow) = Default::default();
        Self { random, pipes, cuts, slow, opened: 0 }
    }

    /// A new pipe; none while nothing gets through.
    pub(super) fn open(&mut self, from: Place, to: Place, now: Duration) -> Option<PipeId> {
        if self.is_cut(from, to, now) || self.is_cut(to, from, now) {
            return None;
        }
        self.opened += 1;
        let id = PipeId(self.opened);
        let pipe = Pipe { ends: [from, to], open: [true; 2], last: [now; 2] };
        self.pipes.insert(id, pipe);
        Some(id)
    }

    /// Who gets a message that `from` sends now, and when; none if nobody will.
    pub(super) fn send(
        &mut self,
        id: PipeId,
        from: Place,
        now: Duration,
    ) -> Option<(Place, Duration)> {
        let pipe = self.pipes.get(&id)?;
        let end = usize::from(pipe.ends[0] == from);
        let to = pipe.ends[end];
        let mut start = now;
        if let Some(cut) = self.cuts.get(&(from, to)).filter(|cut| now < cut.until) {
            if cut.until - cut.from >= IDLE {
                return None;
            }
            // Too short to break anything: sent again until it gets through.
            start = cut.until;
        }
        let delay = self.delay(from, to);
        let pipe = self.pipes.get_mut(&id)?;
        let at = (start + delay).max(pipe.last[end] + Duration::from_nanos(1));
        pipe.last[end] = at;
        Some((to, at))
    }

    /// Whether `to` still listens: messages under way outlive the sender's close, not its own.
    pub(super) fn listens(&self, id: PipeId, to: Place) -> bool {
        self.pipes.get(&id).is_some_and(|pipe| pipe.open[usize::from(pipe.ends[1] == to)])
    }

    /// `by` stops listening; the other end hears of it at the time returned.
    pub(super) fn close(
        &mut self,
        id: PipeId,
        by: Place,
        now: Duration,
    ) -> Option<(Place, Duration)> {
        let pipe = self.pipes.get_mut(&id)?;
        let mine = usize::from(pipe.ends[1] == by);
        let other = 1 - mine;
        pipe.open[mine] = false;
        if !pipe.open[other] {
            self.pipes.remove(&id);
            return None;
        }
        let heard = now + self.random.millis(0, CLOSE_MILLIS);
        Some((pipe.ends[other], heard.max(pipe.last[other] + Duration::from_nanos(1))))
    }

    /// The pipes that end at `place`.
    pub(super) fn pipes_of(&self, place: Place) -> Vec<PipeId> {
        let ends = |pipe: &Pipe| (0..2).any(|i| pipe.ends[i] == place && pipe.open[i]);
        self.pipes.iter().filter(|(_, pipe)| ends(pipe)).map(|(id, _)| *id).collect()
    }

    /// Cuts the way between two places; the pipes that both ends will take for broken at
    /// `now + IDLE`, if the cut lasts that long.
    pub(super) fn cut(
        &mut self,
        a: Place,
        b: Place,
        now: Duration,
        until: Duration,
    ) -> Vec<PipeId> {
        self.cut_one_way(b, a, now, until);
        self.cut_one_way(a, b, now, until)
    }

    /// The same for what goes from `from` to `to` alone; a pipe needs both ways.
    pub(super) fn cut_one_way(
        &mut self,
        from: Place,
        to: Place,
        now: Duration,
        until: Duration,
    ) -> Vec<PipeId> {
        self.cuts.insert((from, to), Cut { from: now, until });
        if until - now < IDLE {
            return Vec::new();
        }
        let between = |pipe: &Pipe| pair(pipe.ends[0], pipe.ends[1]) == pair(from, to);
        self.pipes.iter().filter(|(_, pipe)| between(pipe)).map(|(id, _)| *id).collect()
    }

    pub(super) fn slow_down(&mut self, a: Place, b: Place, delay: Duration) {
        self.slow.insert(pair(a, b), delay);
    }

    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        self.slow.clear();
    }

    pub(super) fn is_cut(&self, from: Place, to: Place, now: Duration) -> bool {
        self.cuts.get(&(from, to)).is_some_and(|cut| now < cut.until)
    }

    /// How long the next thing from `from` to `to` takes.
    pub(super) fn delay(&mut self, from: Place, to: Place) -> Duration {
        let slow = self.slow.get(&pair(from, to)).copied().unwrap_or_default();
        self.random.millis(0, 3) + slow
    }

    /// Both ends of a pipe.
    pub(super) fn ends(&self, id: PipeId) -> Option<[Place; 2]> {
        self.pipes.get(&id).map(|pipe| pipe.ends)
    }
}

fn pair(a: Place, b: Place) -> (Place, Place) {
    (a.min(b), a.max(b))
}
