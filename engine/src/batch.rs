//! Checks a step batch that came from another machine before any state is touched.

use protocol::ids::{BlockId, TokenId};
use protocol::plan::KvPlan;
use protocol::step_batch::{Sample, SequenceRows, StepBatch};

use crate::error::EngineError;

/// What a batch must keep within.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    pub(crate) kv: KvPlan,
    pub(crate) vocabulary: u32,
}

impl BatchLimits {
    /// Every index that the stage will use is in range.
    pub(crate) fn check(&self, batch: &StepBatch) -> Result<(), EngineError> {
        let (found, limit) = (batch.token_count(), self.kv.step_tokens_max as usize);
        if found > limit {
            return Err(EngineError::TooManyRows { found, limit });
        }
        for copy in &batch.copies {
            self.check_block(copy.from)?;
            self.check_block(copy.to)?;
        }
        for start in &batch.starts {
            let tokens = (start.prompt.len() + start.emitted.len()) as u64;
            let limit = u64::from(self.kv.context_length);
            if tokens > limit {
                return Err(EngineError::TooLong { tokens, limit });
            }
            start
                .prompt
                .iter()
                .chain(start.emitted.iter())
                .try_for_each(|t| self.check_token(*t))?;
        }
        batch.rows.iter().try_for_each(|rows| self.check_rows(rows))
    }

    fn check_rows(&self, rows: &SequenceRows) -> Result<(), EngineError> {
        let sequence = rows.sequence;
        if rows.tokens.is_empty() {
            return Err(EngineError::NoTokens { sequence });
        }
        let [table] = &rows.block_tables[..] else {
            let found = rows.block_tables.len();
            return Err(EngineError::BadBlockTables { sequence, found, expected: 1 });
        };
        let end = u64::from(rows.position) + rows.tokens.len() as u64;
        let block_size = u64::from(self.kv.block_size);
        let limit = (table.len() as u64 * block_size).min(u64::from(self.kv.context_length));
        if end > limit {
            return Err(EngineError::PositionOutOfRange { sequence, end, limit });
        }
        let used = end.div_ceil(block_size) as usize;
        table[..used].iter().try_for_each(|block| self.check_block(*block))?;
        rows.tokens.iter().try_for_each(|token| self.check_token(*token))?;
        let expected = self.vocabulary.div_ceil(32) as usize;
        match &rows.sample {
            Sample::Yes { allowed: Some(mask) } if mask.words.len() != expected => {
                Err(EngineError::BadMask { sequence, found: mask.words.len(), expected })
            }
            _ => Ok(()),
        }
    }

    fn check_block(&self, block: BlockId) -> Result<(), EngineError> {
        if block.0 < self.kv.blocks {
            return Ok(());
        }
        Err(EngineError::BadBlock { block, blocks: self.kv.blocks })
    }

    fn check_token(&self, token: TokenId) -> Result<(), EngineError> {
        if token.0 < self.vocabulary {
            return Ok(());
        }
        Err(EngineError::BadToken { token, vocabulary: self.vocabulary })
    }
}
