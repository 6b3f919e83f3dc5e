//! What goes wrong in the first phase of a simulation.

use std::time::Duration;

use super::network::Place;
use super::random::Random;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The process dies, its peers are told by their kernels, and it comes back later.
    Kill { place: Place, back: Duration },
    /// The machine is off: nobody is told.
    PowerOff { place: Place, back: Duration },
    /// The process stands still for a while.
    Freeze { worker: usize, until: Duration },
    /// Nothing gets through between two places.
    Cut { a: Place, b: Place, until: Duration },
    /// Everything between two places takes that much longer, until the faults are over.
    Slow { a: Place, b: Place, delay: Duration },
    /// Every control stream of a worker is reset, and none can be opened for a while; its data
    /// plane goes on.
    Detach { worker: usize, until: Duration },
    /// A worker opens a second control stream beside the one it has.
    DialTwice { worker: usize },
}

/// Faults at random times from `start` to `end`; all are over by then.
pub(super) fn schedule(
    random: &mut Random,
    workers: usize,
    coordinators: usize,
    start: Duration,
    end: Duration,
) -> Vec<(Duration, Fault)> {
    let span = (end - start).as_millis() as u32;
    let count = random.between(2, 10);
    let mut faults = Vec::new();
    for _ in 0..count {
        let at = start + random.millis(0, span);
        let until = (at + random.millis(100, 5000)).min(end);
        faults.push((at, fault(random, workers, coordinators, until)));
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn fault(random: &mut Random, workers: usize, coordinators: usize, until: Duration) -> Fault {
    let worker = random.below(workers);
    let other = (worker + 1 + random.below(workers - 1)) % workers;
    let coordinator = Place::Coordinator(random.below(coordinators));
    let (a, b) = (Place::Worker(worker), Place::Worker(other));
    match random.below(9) {
        0 | 1 => Fault::Kill { place: a, back: until },
        2 => Fault::PowerOff { place: a, back: until },
        3 => Fault::Freeze { worker, until },
        4 => Fault::Cut { a, b, until },
        5 => Fault::Cut { a, b: coordinator, until },
        6 => Fault::Slow { a, b, delay: random.millis(5, 200) },
        7 if random.percent(50) => Fault::Kill { place: coordinator, back: until },
        7 => Fault::DialTwice { worker },
        _ => Fault::Detach { worker, until },
    }
}
