//! Many workers, a steady stream of admin writes, and the leader's death in the middle of it.

use std::time::Duration;

use super::super::network::Place;
use super::super::random::Random;
use super::observation::Summary;
use super::requests::{Request, key};
use super::{Fault, Group, Plan, Sabotage};

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub workers: usize,
    pub writes_per_second: u32,
    /// From the time on at which all workers are attached.
    pub length: Duration,
}

/// By then the workers have joined.
const JOINED: Duration = Duration::from_secs(15);

/// For the leader of before, once it is back.
const CATCH_UP: Duration = Duration::from_secs(20);

/// Plays it; an error if a worker was lost, or a write.
pub fn at_scale(seed: u64, scale: Scale) -> Result<Summary, String> {
    let between = Duration::from_secs(1) / scale.writes_per_second;
    let writes = scale.length.as_nanos() / between.as_nanos();
    let request = |number| Request::new(number, JOINED + between * number as u32, key(number));
    let leader = Place::Coordinator(0);
    let (middle, end) = (JOINED + scale.length / 2, JOINED + scale.length);
    let plan = Plan {
        nodes: (3, scale.workers),
        requests: (0..writes as usize).map(request).collect(),
        faults: vec![(middle, Fault::PowerOff { place: leader, back: end })],
        sabotage: Sabotage::None,
        heartbeat: Duration::from_millis(100),
        deploys: false,
        told: false,
    };
    plan.play(Random::new(seed), |group| {
        group.play(JOINED)?;
        group.all_live("all workers have joined")?;
        let mut at = JOINED;
        while at < end {
            at += Duration::from_millis(200);
            group.play(at)?;
            group.all_live("no worker died")?;
        }
        while at < end + CATCH_UP && !(group.waiting().is_empty() && group.agrees()) {
            at += Duration::from_secs(1);
            group.play(at)?;
        }
        Ok(())
    })
}

impl Group {
    /// Whether every leader holds every worker for alive.
    fn all_live(&self, when: &str) -> Result<(), String> {
        let now = self.agenda.now();
        for (index, coordinator) in self.coordinators.iter().enumerate() {
            let lost = if coordinator.leads() { coordinator.lost(now) } else { Vec::new() };
            if let Some((node, reason)) = lost.first() {
                let (count, node) = (lost.len(), node.short());
                return Err(format!("{when}, but for c{index} {count} are lost: {node} {reason}"));
            }
        }
        Ok(())
    }
}
