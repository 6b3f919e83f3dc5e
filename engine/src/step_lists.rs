//! Lists that a step fills and a stage keeps, so that a step of decoding allocates nothing.

use protocol::step_batch::{Sample, SampledToken, StepBatch};

use crate::layers::RowPlace;
use crate::sampler::SampleAt;

/// A row that is sampled, by its position among the rows of the step.
pub(crate) type Asked<'a> = (usize, SampleAt<'a>);

#[derive(Default)]
pub(crate) struct StepLists {
    places: Vec<RowPlace<'static>>,
    asked: Vec<Asked<'static>>,
    pub(crate) samples: Vec<SampledToken>,
}

impl StepLists {
    /// The place of every row of a checked batch, in order. To be given back by `keep_places`.
    pub(crate) fn places<'b>(&mut self, batch: &'b StepBatch) -> Vec<RowPlace<'b>> {
        let mut places = emptied(std::mem::take(&mut self.places));
        places.extend(batch.rows.iter().flat_map(|rows| {
            let blocks = rows.block_tables.first().map_or(&[][..], |table| &table[..]);
            let slot = rows.state_slot.map_or(0, |slot| slot.0 as usize);
            let tokens = (rows.position..).zip(&rows.tokens);
            tokens.map(move |(position, token)| RowPlace { token: *token, position, blocks, slot })
        }));
        places
    }

    pub(crate) fn keep_places(&mut self, places: Vec<RowPlace<'_>>) {
        self.places = emptied(places);
    }

    /// The last row of each row set that asks for a sample. To be given back by `keep_asked`.
    pub(crate) fn asked<'b>(&mut self, batch: &'b StepBatch) -> Vec<Asked<'b>> {
        let mut asked = emptied(std::mem::take(&mut self.asked));
        let mut end = 0;
        for rows in &batch.rows {
            end += rows.tokens.len();
            if let Sample::Yes { allowed } = &rows.sample {
                let position = u64::from(rows.position) + rows.tokens.len() as u64;
                let allowed = allowed.as_ref();
                asked.push((end - 1, SampleAt { sequence: rows.sequence, position, allowed }));
            }
        }
        asked
    }

    pub(crate) fn keep_asked(&mut self, asked: Vec<Asked<'_>>) {
        self.asked = emptied(asked);
    }
}

/// The room of `list` for items that borrow from something else: collecting in place keeps it.
fn emptied<A, B>(list: Vec<A>) -> Vec<B> {
    list.into_iter().filter_map(|_| None).collect()
}
