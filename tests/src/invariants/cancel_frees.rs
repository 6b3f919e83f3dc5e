//! What a cancelled stream held is free for the next batch, and it has no rows any more: clients
//! that hang up must never slow down those that stay.

use std::collections::{BTreeMap, BTreeSet};

use worker::scheduler::{Action, Event, StreamKey};

use super::Invariant;
use super::holdings::Holdings;
use crate::sim::{End, Observation, SchedulerName};

#[derive(Default)]
pub(super) struct CancelFrees {
    schedulers: BTreeMap<SchedulerName, Watch>,
}

#[derive(Default)]
struct Watch {
    holdings: Holdings,
    cancelled: BTreeSet<StreamKey>,
}

impl Invariant for CancelFrees {
    fn name(&self) -> &'static str {
        "cancel_frees"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Scheduled { scheduler, kv, event, actions, load, .. } = observation else {
            return Ok(());
        };
        let watch = self.schedulers.entry(*scheduler).or_default();
        if let Event::Cancel { key } = event {
            watch.cancelled.insert(*key);
        }
        for action in *actions {
            if let Action::Dispatch(batch) = action {
                watch.holdings.apply(batch);
                watch.check_batch()?;
            }
        }
        // Blocks of those that go on; the rest must be free already.
        let goes_on = watch.holdings.runs.values().filter(|r| !watch.cancelled.contains(&r.stream));
        let held: usize = goes_on.map(|run| run.table.len()).sum();
        if (load.blocks_free as usize) + held < kv.blocks as usize {
            let free = load.blocks_free;
            return Err(format!("{free} of {} blocks are free, {held} are in use", kv.blocks));
        }
        Ok(())
    }

    fn at_end(&self, _: &End) -> Result<(), String> {
        Ok(())
    }
}

impl Watch {
    /// No run of a cancelled stream outlives the first batch after the cancel.
    fn check_batch(&self) -> Result<(), String> {
        let mut runs = self.holdings.runs.iter();
        match runs.find(|(_, run)| self.cancelled.contains(&run.stream)) {
            Some((id, run)) => Err(format!("run {id} of the cancelled {:?} goes on", run.stream)),
            None => Ok(()),
        }
    }
}
