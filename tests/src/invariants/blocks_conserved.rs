//! Free and held blocks are always all blocks, and none has two holders: a lost block makes the
//! cluster smaller for ever, a shared one lets two answers overwrite each other.

use std::collections::{BTreeMap, BTreeSet};

use worker::scheduler::Action;

use super::Invariant;
use super::holdings::Holdings;
use crate::sim::{End, Observation, SchedulerName};

#[derive(Default)]
pub(super) struct BlocksConserved {
    schedulers: BTreeMap<SchedulerName, Holdings>,
}

impl Invariant for BlocksConserved {
    fn name(&self) -> &'static str {
        "blocks_conserved"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Scheduled { scheduler, kv, actions, load, check, .. } = observation else {
            return Ok(());
        };
        check.clone()?;
        let holdings = self.schedulers.entry(*scheduler).or_default();
        for action in *actions {
            if let Action::Dispatch(batch) = action {
                holdings.apply(batch);
                one_holder_each(holdings, kv.blocks)?;
            }
        }
        let held: usize = holdings.runs.values().map(|run| run.table.len()).sum();
        if (load.blocks_free as usize) + held < kv.blocks as usize {
            let free = load.blocks_free;
            return Err(format!("{free} blocks free and {held} held of {}", kv.blocks));
        }
        if load.running == 0 && load.blocks_free != kv.blocks {
            return Err(format!("nothing runs, {} of {} are free", load.blocks_free, kv.blocks));
        }
        Ok(())
    }

    fn at_end(&self, end: &End) -> Result<(), String> {
        match end.loads.iter().find(|load| load.blocks_free != load.blocks_total) {
            Some(load) => Err(format!("blocks are held when nobody asks: {load:?}")),
            None => Ok(()),
        }
    }
}

fn one_holder_each(holdings: &Holdings, blocks: u32) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (sequence, run) in &holdings.runs {
        for block in &run.table {
            if block.0 >= blocks || !seen.insert(*block) {
                return Err(format!("run {sequence} holds block {block}, which is another's"));
            }
        }
    }
    Ok(())
}
