//! Token ids to hidden rows.

use std::sync::Arc;

use protocol::ids::TokenId;
use protocol::step_batch::StepBatch;

use crate::weights::Matrix;

/// `[vocabulary, hidden]` in its stored type; a tied head shares it.
pub(crate) struct Embedding {
    table: Arc<Matrix>,
    /// Factor of every row (Gemma).
    scale: f32,
}

impl Embedding {
    pub(crate) fn new(table: Arc<Matrix>, scale: f32) -> Self {
        Self { table, scale }
    }

    /// Writes the row of each token of `batch` to `hidden` (`[rows, hidden]`). Ids are in range.
    pub(crate) fn forward(&self, batch: &StepBatch, hidden: &mut [f32]) {
        let tokens = batch.rows.iter().flat_map(|rows| &rows.tokens);
        for (TokenId(token), row) in tokens.zip(hidden.chunks_exact_mut(self.table.columns)) {
            self.table.row_to_f32(*token as usize, row);
            if self.scale != 1.0 {
                row.iter_mut().for_each(|x| *x *= self.scale);
            }
        }
    }
}
