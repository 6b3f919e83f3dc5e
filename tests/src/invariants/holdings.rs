//! Which run of a sequence holds which blocks, as its scheduler's batches say.

use std::collections::BTreeMap;

use protocol::ids::{BlockId, SequenceId};
use protocol::step_batch::StepBatch;
use worker::scheduler::StreamKey;

/// The stages' view of one scheduler: a run holds its table from its first row to its end.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    pub(super) runs: BTreeMap<SequenceId, Run>,
}

#[derive(Debug)]
pub(super) struct Run {
    pub(super) stream: StreamKey,
    pub(super) table: Vec<BlockId>,
}

impl Holdings {
    pub(super) fn apply(&mut self, batch: &StepBatch) {
        for end in &batch.ends {
            self.runs.remove(end);
        }
        for start in &batch.starts {
            // The simulator marks each submission with its stream.
            let mark = start.sampling.logit_bias.first().map_or(0, |(token, _)| token.0);
            let run = Run { stream: StreamKey(mark.into()), table: Vec::new() };
            self.runs.insert(start.sequence, run);
        }
        for rows in &batch.rows {
            if let Some(run) = self.runs.get_mut(&rows.sequence) {
                run.table = rows.block_tables.concat();
            }
        }
    }
}
