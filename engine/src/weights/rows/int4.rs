//! GPTQ and AWQ: words of eight 4-bit codes, scales and zeros of groups of input columns, in
//! tensors that have the inputs first. They are turned over to rows of blocks; no code changes.

use checkpoint::{Int4Layout, Int4Parts, TensorEntry, WeightType};

use super::{MatrixRows, read_part};
use crate::error::EngineError;
use crate::weights::source::WeightSource;
use crate::weights::window::Window;

/// Which of the eight nibbles of a word of AWQ holds an output (`order_map` in AutoAWQ).
const AWQ_PLACE: [usize; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

pub(super) struct Int4<'a> {
    parts: Int4Parts<'a>,
    window: Window,
    weight: WeightType,
    outputs: usize,
    stored_bytes: u64,
    // As stored, all of them: a row's values are spread over the whole tensor.
    codes: Vec<u32>,
    zeros: Vec<u32>,
    scales: Vec<u8>,
    /// Which input column stands at each place of a packed row.
    order: Option<Box<[u32]>>,
}

impl<'a> Int4<'a> {
    pub(super) fn open(
        parts: Int4Parts<'a>,
        [outputs, inputs]: [u64; 2],
        (window, weight): (Window, WeightType),
        source: &'a dyn WeightSource,
    ) -> Result<Self, EngineError> {
        let order = match parts.order {
            Some(entry) => order(entry, &words(entry, source)?, parts.group, inputs)?,
            None => None,
        };
        if order.is_some() && window.columns.len() as u64 != inputs {
            let (name, columns) = (parts.codes.name.clone(), window.columns.len());
            return Err(EngineError::OrderedColumns { name, columns: columns as u64 });
        }
        let own = window.rows.len() as u64 * window.columns.len() as u64;
        let all: u64 = parts.entries().map(|entry| entry.bytes).sum();
        let mut scales = vec![0; parts.scales.bytes as usize];
        read_part(parts.scales, 0, &mut scales, source)?;
        Ok(Self {
            stored_bytes: (u128::from(all) * u128::from(own)
                / u128::from((outputs * inputs).max(1))) as u64,
            window,
            weight,
            outputs: outputs as usize,
            codes: words(parts.codes, source)?,
            zeros: words(parts.zeros, source)?,
            scales,
            order,
            parts,
        })
    }

    fn code(&self, column: usize, row: usize) -> u8 {
        let (word, place) = match self.parts.layout {
            Int4Layout::Awq => (column * (self.outputs / 8) + row / 8, AWQ_PLACE[row % 8]),
            _ => (column / 8 * self.outputs + row, column % 8),
        };
        (self.codes[word] >> (4 * place) & 15) as u8
    }

    fn zero(&self, group: usize, row: usize) -> u8 {
        let word = self.zeros[group * (self.outputs / 8) + row / 8];
        let nibble = |place: usize| (word >> (4 * place) & 15) as u8;
        match self.parts.layout {
            Int4Layout::Awq => nibble(AWQ_PLACE[row % 8]),
            Int4Layout::Gptq => nibble(row % 8),
            Int4Layout::GptqLessOne => (nibble(row % 8) + 1) & 15,
        }
    }

    fn fill(&self, row: usize, first: usize, block: &mut [u8]) {
        let group = first / self.parts.group as usize;
        let scale = (group * self.outputs + row) * 2;
        block[..2].copy_from_slice(&self.scales[scale..scale + 2]);
        block[2] = self.zero(group, row);
        for (part, codes) in block[3..].as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let code = |i: usize| {
                let place = first + part * 32 + i;
                let column = self.order.as_ref().map_or(place, |order| order[place] as usize);
                self.code(column, row)
            };
            for (i, byte) in codes.iter_mut().enumerate() {
                *byte = code(i) | code(i + 16) << 4;
            }
        }
    }
}

impl MatrixRows for Int4<'_> {
    fn weight(&self) -> WeightType {
        self.weight
    }

    fn shape(&self) -> [usize; 2] {
        [self.window.rows.len(), self.window.columns.len()]
    }

    fn tensor(&self) -> &TensorEntry {
        self.parts.codes
    }

    fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    fn order(&self) -> Option<&[u32]> {
        self.order.as_deref()
    }

    fn read(&self, first: usize, blocks: &mut [u8], _: &mut Vec<u8>) -> Result<(), EngineError> {
        let values = self.weight.block_elements() as usize;
        let width = self.window.columns.len() / values;
        for (i, block) in blocks.chunks_exact_mut(self.weight.block_bytes() as usize).enumerate() {
            let row = self.window.rows.start + first + i / width;
            self.fill(row, self.window.columns.start + i % width * values, block);
        }
        Ok(())
    }
}

fn words(entry: &TensorEntry, source: &dyn WeightSource) -> Result<Vec<u32>, EngineError> {
    let mut bytes = vec![0; entry.bytes as usize];
    read_part(entry, 0, &mut bytes, source)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|raw| u32::from_le_bytes(*raw)).collect())
}

/// The columns sorted by their groups (`g_idx`), or `None` if they are.
fn order(
    entry: &TensorEntry,
    groups: &[u32],
    group: u64,
    inputs: u64,
) -> Result<Option<Box<[u32]>>, EngineError> {
    if groups.is_sorted() {
        return check_groups(entry, groups, group).map(|()| None);
    }
    let mut order: Vec<u32> = (0..inputs as u32).collect();
    order.sort_by_key(|column| groups[*column as usize]);
    let sorted: Vec<u32> = order.iter().map(|column| groups[*column as usize]).collect();
    check_groups(entry, &sorted, group)?;
    Ok(Some(order.into()))
}

/// Each group has as many columns as it should.
fn check_groups(entry: &TensorEntry, sorted: &[u32], group: u64) -> Result<(), EngineError> {
    let wrong = (0_u64..).zip(sorted).find(|(i, found)| i / group != u64::from(**found));
    let Some((place, found)) = wrong else { return Ok(()) };
    let name = entry.name.clone();
    Err(EngineError::BadGroups { name, group, found: *found, expected: place / group })
}
