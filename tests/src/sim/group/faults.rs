//! What goes wrong in the first phase of a simulation, and what each fault does.

use std::time::Duration;

use super::super::network::{IDLE, PipeId, Place};
use super::super::random::Random;
use super::cluster::{Group, Happening};
use super::executor::Host;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The process dies; what it wrote stays.
    Kill {
        place: Place,
        back: Duration,
    },
    /// The machine loses its power: what was not synced may be lost, and nobody is told.
    PowerOff {
        place: Place,
        back: Duration,
    },
    /// All machines at once.
    Blackout {
        back: Duration,
    },
    /// The power fails in the middle of a later write.
    TornWrite {
        coordinator: usize,
        after: u32,
    },
    /// Nothing gets through between two places, or one way only.
    Cut {
        a: Place,
        b: Place,
        until: Duration,
    },
    CutOneWay {
        from: Place,
        to: Place,
        until: Duration,
    },
    /// A coordinator is cut off from all others, not from the workers.
    Isolate {
        coordinator: usize,
        until: Duration,
    },
    Slow {
        a: Place,
        b: Place,
        delay: Duration,
    },
    /// That many percent of the calls between coordinators are lost from now on.
    Loss {
        percent: u32,
    },
    SlowDisk {
        coordinator: usize,
        extra: Duration,
    },
    /// The wall clock jumps, either way.
    ClockJump {
        coordinator: usize,
        millis: i64,
    },
    /// A worker's control stream breaks.
    Detach {
        worker: usize,
    },
}

/// Faults at random times from `start` to `end`; all are over by then.
pub(super) fn schedule(
    random: &mut Random,
    nodes: (usize, usize),
    (start, end): (Duration, Duration),
) -> Vec<(Duration, Fault)> {
    let span = (end - start).as_millis() as u32;
    let count = random.between(2, 9);
    let mut faults = Vec::new();
    for _ in 0..count {
        let at = start + random.millis(0, span);
        let until = (at + random.millis(100, 3000)).min(end);
        faults.push((at, fault(random, nodes, until)));
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// One election after the other: coordinators die and are back at once, on slow links.
pub(super) fn elections(
    random: &mut Random,
    (coordinators, _): (usize, usize),
    (start, end): (Duration, Duration),
) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    for a in 0..coordinators {
        for b in 0..a {
            let (a, b) = (Place::Coordinator(a), Place::Coordinator(b));
            faults.push((start, Fault::Slow { a, b, delay: random.millis(10, 60) }));
        }
    }
    let mut at = start;
    while at < end {
        at += random.millis(20, 200);
        let place = Place::Coordinator(random.below(coordinators));
        let back = (at + random.millis(5, 60)).min(end);
        faults.push((at.min(end), Fault::Kill { place, back }));
    }
    faults
}

/// A leader that is cut off from the others, not from the workers, which come and go.
pub(super) fn old_leaders(
    random: &mut Random,
    (coordinators, workers): (usize, usize),
    (start, end): (Duration, Duration),
) -> Vec<(Duration, Fault)> {
    let coordinator = random.below(coordinators);
    let mut at = start + random.millis(0, 500);
    let mut faults = vec![(at, Fault::Isolate { coordinator, until: end })];
    let place = Place::Worker(random.below(workers));
    faults.push((at, Fault::Kill { place, back: end }));
    // Also once the others are there again, which it may not have heard yet.
    while at < end + Duration::from_millis(300) {
        at += random.millis(10, 100);
        faults.push((at, Fault::Detach { worker: random.below(workers) }));
    }
    faults
}

fn fault(random: &mut Random, nodes: (usize, usize), until: Duration) -> Fault {
    let (coordinators, workers) = nodes;
    let coordinator = random.below(coordinators);
    let other = (coordinator + 1 + random.below(coordinators - 1)) % coordinators;
    let worker = random.below(workers);
    let (a, b) = (Place::Coordinator(coordinator), Place::Coordinator(other));
    match random.below(16) {
        0 | 1 => Fault::Kill { place: a, back: until },
        2 | 3 => Fault::PowerOff { place: a, back: until },
        4 => Fault::Blackout { back: until },
        5 | 6 => Fault::TornWrite { coordinator, after: random.between(0, 60) },
        7 => Fault::Cut { a, b, until },
        8 => Fault::CutOneWay { from: a, to: b, until },
        9 => Fault::Isolate { coordinator, until },
        10 => Fault::Slow { a, b, delay: random.millis(5, 200) },
        11 => Fault::Loss { percent: random.between(1, 20) },
        12 => Fault::SlowDisk { coordinator, extra: random.millis(5, 100) },
        13 => Fault::ClockJump {
            coordinator,
            millis: i64::from(random.between(0, 7_200_000)) - 3_600_000,
        },
        14 if random.percent(50) => Fault::Cut { a: Place::Worker(worker), b: a, until },
        14 => Fault::Detach { worker },
        _ if random.percent(50) => Fault::Kill { place: Place::Worker(worker), back: until },
        _ => Fault::PowerOff { place: Place::Worker(worker), back: until },
    }
}

impl Group {
    pub(super) fn fault(&mut self, fault: Fault) {
        let now = self.agenda.now();
        self.trace.note(now, || format!("fault: {fault:?}"));
        match fault {
            Fault::Kill { place, back } => self.stop(place, back, false),
            Fault::PowerOff { place, back } => self.stop(place, back, true),
            Fault::Blackout { back } => {
                for index in 0..self.coordinators.len() {
                    self.stop(Place::Coordinator(index), back, true);
                }
            }
            Fault::TornWrite { coordinator, after } => {
                self.coordinators[coordinator].disk.fail_after(after);
            }
            Fault::Cut { a, b, until } => {
                let broken = self.network.cut(a, b, now, until);
                self.break_both_ends(&broken);
            }
            Fault::CutOneWay { from, to, until } => {
                let broken = self.network.cut_one_way(from, to, now, until);
                self.break_both_ends(&broken);
            }
            Fault::Isolate { coordinator, until } => {
                for other in (0..self.coordinators.len()).filter(|other| *other != coordinator) {
                    let ends = (Place::Coordinator(coordinator), Place::Coordinator(other));
                    self.network.cut(ends.0, ends.1, now, until);
                }
            }
            Fault::Slow { a, b, delay } => self.network.slow_down(a, b, delay),
            Fault::Loss { percent } => self.loss = percent,
            Fault::SlowDisk { coordinator, extra } => {
                let host = self.executor.host(coordinator);
                self.executor.set_host(coordinator, Host { disk_extra: extra, ..host });
            }
            Fault::ClockJump { coordinator, millis } => {
                let host = self.executor.host(coordinator);
                self.executor.set_host(coordinator, Host { wall_ahead: millis, ..host });
            }
            Fault::Detach { worker } => {
                let pipes = self.network.pipes_of(Place::Worker(worker));
                pipes.into_iter().for_each(|pipe| self.close(pipe, Place::Worker(worker)));
                self.redial(worker);
            }
        }
    }

    /// From now on nothing goes wrong, and what is down comes back.
    pub(super) fn heal(&mut self) {
        self.trace.note(self.agenda.now(), || "healed".to_owned());
        self.network.heal();
        self.hostile = false;
        self.loss = 0;
        for index in 0..self.coordinators.len() {
            let host = self.executor.host(index);
            self.executor.set_host(index, Host { disk_extra: Duration::ZERO, ..host });
            self.coordinators[index].disk.heal();
            self.agenda.after(Duration::ZERO, Happening::Restart(Place::Coordinator(index)));
        }
    }

    fn stop(&mut self, place: Place, back: Duration, power: bool) {
        match place {
            Place::Worker(index) => self.kill_worker(index, power),
            Place::Coordinator(index) => self.crash(index, power),
        }
        self.agenda.at(back, Happening::Restart(place));
    }

    fn break_both_ends(&mut self, pipes: &[PipeId]) {
        let when = self.agenda.now() + IDLE;
        for pipe in pipes {
            for at in self.network.ends(*pipe).into_iter().flatten() {
                self.agenda.at(when, Happening::Broken { pipe: *pipe, at });
            }
        }
    }
}
