//! Reads a matrix from its file a piece at a time, and packs each piece where it stays: the
//! tensor's bytes never lie in memory twice.

use std::iter::Enumerate;
use std::slice::ChunksMut;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::rows::MatrixRows;
use crate::error::EngineError;
use crate::kernels::Compute;
use crate::kernels::panels::{PANEL_ROWS, PackedMatrix, pack_panels};

/// Reads `from` on as many threads as compute, where these do; `progress` gets the bytes of each
/// read.
pub(super) fn read_packed(
    from: &dyn MatrixRows,
    compute: &Compute,
    progress: &mut dyn FnMut(u64),
) -> Result<PackedMatrix, EngineError> {
    let (weight, [rows, columns]) = (from.weight(), from.shape());
    let mut packed = PackedMatrix::zeroed(weight, rows, columns)
        .ok_or(EngineError::OutOfMemory { what: "weights", bytes: from.stored_bytes() })?;
    let row_bytes = columns / weight.block_elements() as usize * weight.block_bytes() as usize;
    if rows * row_bytes == 0 {
        return Ok(packed);
    }
    let read_rows = (from.read_bytes() / row_bytes).max(1).next_multiple_of(PANEL_ROWS);
    let pieces = packed.pieces_mut(read_rows / PANEL_ROWS);
    let threads = compute.threads().min(pieces.len());
    let reader = Reader { from, row_bytes, read_rows };
    let pieces = Mutex::new(pieces.enumerate());
    let (sender, receiver) = sync_channel(threads * 2);
    std::thread::scope(|scope| -> Result<(), EngineError> {
        for _ in 0..threads {
            let (reader, pieces, sender) = (&reader, &pieces, sender.clone());
            scope.spawn(move || {
                // The pages of the panels come to be where they are written first.
                compute.bind_caller();
                reader.run(pieces, &sender);
            });
        }
        drop(sender);
        // An early return hangs up on the threads, which ends them.
        for read in receiver {
            progress(read?);
        }
        Ok(())
    })?;
    Ok(match from.order() {
        Some(order) => packed.with_order(order),
        None => packed,
    })
}

struct Reader<'a> {
    from: &'a dyn MatrixRows,
    row_bytes: usize,
    /// All reads but the last have as many.
    read_rows: usize,
}

impl Reader<'_> {
    /// Takes piece after piece until none is left or nobody listens.
    fn run(
        &self,
        pieces: &Mutex<Enumerate<ChunksMut<'_, u8>>>,
        done: &SyncSender<Result<u64, EngineError>>,
    ) {
        let (mut blocks, mut stored) = (Vec::new(), Vec::new());
        loop {
            let piece = pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, panels)) = piece else { return };
            if done.send(self.read(index, panels, (&mut blocks, &mut stored))).is_err() {
                return;
            }
        }
    }

    fn read(
        &self,
        index: usize,
        panels: &mut [u8],
        (blocks, stored): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> Result<u64, EngineError> {
        let [rows, columns] = self.from.shape();
        let first = index * self.read_rows;
        let end = rows.min(first + self.read_rows);
        blocks.resize((end - first) * self.row_bytes, 0);
        self.from.read(first, blocks, stored)?;
        let weight = self.from.weight();
        if !pack_panels(weight, columns, blocks, panels) {
            let entry = self.from.tensor();
            let (name, offset) = (entry.name.clone(), entry.offset);
            return Err(EngineError::NotFiniteWeight { name, weight, offset, row: first });
        }
        let upto = |row: usize| self.from.stored_bytes() * row as u64 / rows as u64;
        Ok(upto(end) - upto(first))
    }
}
