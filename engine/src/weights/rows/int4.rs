//! GPTQ and AWQ: words of eight 4-bit codes, scales and zeros of groups of input columns, in
//! tensors that have the inputs first. They are turned over to rows of blocks; no code changes.

use checkpoint::{Int4Layout, Int4Parts, TensorEntry, WeightType};

use super::window_of_file::FileWindow;
use super::{MatrixRows, read_part};
use crate::error::EngineError;
use crate::weights::source::WeightSource;
use crate::weights::window::Window;

/// Which of the eight nibbles of a word of AWQ holds an output (`order_map` in AutoAWQ).
const AWQ_PLACE: [usize; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

/// Bytes of blocks that are read together: the runs of a few outputs would be short.
const READ_BYTES: usize = 4 << 20;

pub(super) struct Int4<'a> {
    parts: Int4Parts<'a>,
    window: Window,
    weight: WeightType,
    outputs: usize,
    stored_bytes: u64,
    /// Which input column stands at each place of a packed row.
    order: Option<Box<[u32]>>,
    source: &'a dyn WeightSource,
}

/// Some outputs of the window, as stored.
struct Outputs<'a> {
    /// GPTQ: a row per eight inputs, a word per output; AWQ: a row per input, a word per eight.
    codes: &'a [[u8; 4]],
    /// A row per group, a word per eight outputs.
    zeros: &'a [[u8; 4]],
    /// A row per group.
    scales: &'a [[u8; 2]],
    count: usize,
    /// Outputs of the first word of eight that come before.
    skipped: usize,
}

impl<'a> Int4<'a> {
    /// Reads the order of columns; all else is read piece by piece.
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
        let stored_bytes =
            (u128::from(all) * u128::from(own) / u128::from((outputs * inputs).max(1))) as u64;
        let outputs = outputs as usize;
        Ok(Self { parts, window, weight, outputs, stored_bytes, order, source })
    }

    /// Reads `count` outputs of the window from `first` on.
    fn outputs<'s>(
        &self,
        first: usize,
        count: usize,
        stored: &'s mut Vec<u8>,
    ) -> Result<Outputs<'s>, EngineError> {
        let (own, group) = (self.window.rows.start + first, self.parts.group as usize);
        let of_eight = own / 8..(own + count).div_ceil(8);
        let columns = &self.window.columns;
        let (code_rows, code_words, code_row_words) = match self.parts.layout {
            Int4Layout::Awq => (columns.clone(), of_eight.clone(), self.outputs / 8),
            _ => (columns.start / 8..columns.end.div_ceil(8), own..own + count, self.outputs),
        };
        let groups = columns.start / group..columns.end.div_ceil(group);
        let windows = [
            (self.parts.codes, code_rows, code_words, code_row_words, 4),
            (self.parts.zeros, groups.clone(), of_eight, self.outputs / 8, 4),
            (self.parts.scales, groups, own..own + count, self.outputs, 2),
        ];
        let sizes =
            windows.each_ref().map(|(_, rows, of_row, _, size)| rows.len() * of_row.len() * size);
        stored.resize(sizes.iter().sum(), 0);
        let mut rest = &mut stored[..];
        for ((entry, rows, of_row, row_length, size), bytes) in windows.into_iter().zip(sizes) {
            let (own, behind) = rest.split_at_mut(bytes);
            let (row_bytes, first) = (row_length * size, rows.start);
            let bytes = of_row.start * size..of_row.end * size;
            FileWindow { entry, row_bytes, first, step: 1, bytes }.read(own, self.source)?;
            rest = behind;
        }
        let (codes, rest) = stored.split_at(sizes[0]);
        let (zeros, scales) = rest.split_at(sizes[1]);
        Ok(Outputs {
            codes: codes.as_chunks().0,
            zeros: zeros.as_chunks().0,
            scales: scales.as_chunks().0,
            count,
            skipped: own % 8,
        })
    }

    /// Writes the scale and the zero of the block of output `row` that begins at column `first` of
    /// the window.
    fn head(&self, outputs: &Outputs<'_>, row: usize, first: usize, head: &mut [u8]) {
        let group = self.parts.group as usize;
        let start = self.window.columns.start;
        let group = (start + first) / group - start / group;
        head[..2].copy_from_slice(&outputs.scales[group * outputs.count + row]);
        let words = (outputs.skipped + outputs.count).div_ceil(8);
        let at = outputs.skipped + row;
        let word = u32::from_le_bytes(outputs.zeros[group * words + at / 8]);
        let nibble = |place: usize| (word >> (4 * place) & 15) as u8;
        head[2] = match self.parts.layout {
            Int4Layout::Awq => nibble(AWQ_PLACE[at % 8]),
            Int4Layout::Gptq => nibble(at % 8),
            Int4Layout::GptqLessOne => (nibble(at % 8) + 1) & 15,
        };
    }

    /// The codes of 32 columns of output `row`, the first half low.
    fn gptq(&self, outputs: &Outputs<'_>, row: usize, first: usize, codes: &mut [u8; 16]) {
        let word =
            |column: usize| u32::from_le_bytes(outputs.codes[column / 8 * outputs.count + row]);
        let Some(order) = &self.order else {
            for half in 0..2 {
                let columns = first + 8 * half;
                let both = spread(word(columns)) | spread(word(columns + 16)) << 4;
                codes[8 * half..][..8].copy_from_slice(&both.to_le_bytes());
            }
            return;
        };
        let code = |i: usize| {
            let column = order[first + i] as usize;
            (word(column) >> (4 * (column % 8)) & 15) as u8
        };
        for (i, byte) in codes.iter_mut().enumerate() {
            *byte = code(i) | code(i + 16) << 4;
        }
    }

    /// The same of the eight outputs of word `word`, `[16][8]`.
    fn awq(outputs: &Outputs<'_>, word: usize, first: usize) -> [[u8; 8]; 16] {
        let words = (outputs.skipped + outputs.count).div_ceil(8);
        let codes = |column: usize| {
            spread(u32::from_le_bytes(outputs.codes[(first + column) * words + word]))
        };
        std::array::from_fn(|i| {
            let places = (codes(i) | codes(i + 16) << 4).to_le_bytes();
            AWQ_PLACE.map(|place| places[place])
        })
    }
}

/// The eight nibbles of a word in a byte each, the lowest first.
fn spread(word: u32) -> u64 {
    let word = u64::from(word);
    let word = (word | word << 16) & 0x0000_ffff_0000_ffff;
    let word = (word | word << 8) & 0x00ff_00ff_00ff_00ff;
    (word | word << 4) & 0x0f0f_0f0f_0f0f_0f0f
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

    fn read_bytes(&self) -> usize {
        READ_BYTES
    }

    fn read(
        &self,
        first: usize,
        blocks: &mut [u8],
        stored: &mut Vec<u8>,
    ) -> Result<(), EngineError> {
        let (values, size) = (self.weight.block_elements() as usize, self.weight.block_bytes());
        let row_bytes = self.window.columns.len() / values * size as usize;
        if row_bytes == 0 {
            return Ok(());
        }
        let outputs = self.outputs(first, blocks.len() / row_bytes, stored)?;
        for (row, blocks) in blocks.chunks_exact_mut(row_bytes).enumerate() {
            for (i, block) in blocks.chunks_exact_mut(size as usize).enumerate() {
                let (head, codes) = block.split_at_mut(3);
                self.head(&outputs, row, i * values, head);
                if self.parts.layout != Int4Layout::Awq {
                    for (part, codes) in codes.as_chunks_mut().0.iter_mut().enumerate() {
                        self.gptq(&outputs, row, i * values + part * 32, codes);
                    }
                }
            }
        }
        if self.parts.layout == Int4Layout::Awq {
            self.fill_awq(&outputs, blocks, row_bytes);
        }
        Ok(())
    }
}

impl Int4<'_> {
    fn fill_awq(&self, outputs: &Outputs<'_>, blocks: &mut [u8], row_bytes: usize) {
        let (values, size) =
            (self.weight.block_elements() as usize, self.weight.block_bytes() as usize);
        for word in 0..(outputs.skipped + outputs.count).div_ceil(8) {
            for column in (0..self.window.columns.len()).step_by(32) {
                let eight = Self::awq(outputs, word, column);
                let at = column / values * size + 3 + column % values / 2;
                for output in 0..8 {
                    let row = (word * 8 + output).checked_sub(outputs.skipped);
                    let Some(row) = row.filter(|row| *row < outputs.count) else { continue };
                    let codes = &mut blocks[row * row_bytes + at..][..16];
                    codes.iter_mut().zip(&eight).for_each(|(byte, of)| *byte = of[output]);
                }
            }
        }
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
