//! Faults at work: what each does to the processes and pipes of a cluster.

use std::time::Duration;

use super::cluster::{Cluster, Happening};
use super::faults::Fault;
use super::network::{IDLE, PipeId, Place};
use super::observation::Fate;

impl Cluster {
    pub(super) fn fault(&mut self, fault: Fault) {
        let now = self.agenda.now();
        match fault {
            Fault::Kill { place, back } => self.kill(place, back, false),
            Fault::PowerOff { place, back } => self.kill(place, back, true),
            Fault::Freeze { worker, until } => self.freeze(worker, until),
            Fault::Cut { a, b, until } => {
                for pipe in self.network.cut(a, b, now, until) {
                    self.break_both_ends(pipe, now + IDLE);
                }
            }
            Fault::Slow { a, b, delay } => self.network.slow_down(a, b, delay),
            Fault::Detach { worker, until } => {
                self.workers[worker].detached_until = until;
                let control: Vec<_> =
                    self.workers[worker].control.iter().copied().flatten().collect();
                for pipe in control {
                    self.break_both_ends(pipe, now);
                }
            }
            Fault::DialTwice { worker } => {
                let coordinator = self.random.below(self.coordinators.len());
                if self.workers[worker].up && now >= self.workers[worker].detached_until {
                    self.dial_anew(worker, coordinator);
                }
            }
        }
    }

    fn break_both_ends(&mut self, pipe: PipeId, when: Duration) {
        for at in self.network.ends(pipe).into_iter().flatten() {
            self.agenda.at(when, Happening::Broken { pipe, at });
        }
    }

    fn kill(&mut self, place: Place, back: Duration, silent: bool) {
        let now = self.agenda.now();
        let up = match place {
            Place::Worker(index) => &mut self.workers[index].up,
            Place::Coordinator(index) => {
                let others = self.coordinators.iter().filter(|c| c.up).count() > 1;
                if !others {
                    // The quorum is not at stake here.
                    return;
                }
                &mut self.coordinators[index].up
            }
        };
        if !std::mem::replace(up, false) {
            return;
        }
        for pipe in self.network.pipes_of(place) {
            let heard = self.network.close(pipe, place, now);
            if let Some((at, when)) = heard {
                let when = if silent { now + IDLE } else { when };
                self.agenda.at(when, Happening::Broken { pipe, at });
            }
        }
        match place {
            Place::Worker(index) => {
                self.workers[index].running.clear();
                self.workers[index].frozen_until = now;
            }
            Place::Coordinator(index) => self.bury_coordinator(index),
        }
        self.agenda.at(back, Happening::Restart(place));
    }

    /// Its clients see their connections reset.
    fn bury_coordinator(&mut self, index: usize) {
        let requests = std::mem::take(&mut self.coordinators[index].requests);
        for client in requests.into_keys() {
            self.fates[client] = Fate::Gone;
        }
        self.coordinators[index].streams.clear();
        if self.leader == Some(index) {
            self.leader = None;
            let election = self.random.millis(300, 1500);
            self.agenda.after(election, Happening::Elect);
        }
    }

    /// Peers notice after a second; the worker itself when it wakes up.
    fn freeze(&mut self, worker: usize, until: Duration) {
        let now = self.agenda.now();
        if !self.workers[worker].up {
            return;
        }
        self.workers[worker].frozen_until = until;
        if until - now >= IDLE {
            for pipe in self.network.pipes_of(Place::Worker(worker)) {
                self.break_both_ends(pipe, now + IDLE);
            }
        }
    }
}
