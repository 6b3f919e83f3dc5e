//! Reads a matrix from its file a piece at a time, and packs each piece where it stays: the
//! tensor's bytes never lie in memory twice.

use std::iter::Enumerate;
use std::slice::ChunksMut;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::piece::Piece;
use super::source::WeightSource;
use crate::error::EngineError;
use crate::kernels::panels::{PANEL_ROWS, PackedMatrix, pack_panels};

/// Bytes per read: large enough for the disk, small enough that progress shows.
const READ_BYTES: usize = 1 << 20;

/// Reads `piece` on up to `threads` threads; `progress` gets the bytes of each read.
pub(super) fn read_packed(
    piece: &Piece<'_>,
    source: &dyn WeightSource,
    threads: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<PackedMatrix, EngineError> {
    let mut packed = PackedMatrix::zeroed(piece.entry.weight_type, piece.rows, piece.columns)
        .ok_or(EngineError::OutOfMemory { what: "weights", bytes: piece.bytes() })?;
    if piece.bytes() == 0 {
        return Ok(packed);
    }
    let read_rows = (READ_BYTES / piece.row_bytes).max(1).next_multiple_of(PANEL_ROWS);
    let pieces = packed.pieces_mut(read_rows / PANEL_ROWS);
    let threads = threads.min(pieces.len());
    let reader = Reader { piece, source, read_rows };
    let pieces = Mutex::new(pieces.enumerate());
    let (sender, receiver) = sync_channel(threads * 2);
    std::thread::scope(|scope| -> Result<(), EngineError> {
        for _ in 0..threads {
            let (reader, pieces, sender) = (&reader, &pieces, sender.clone());
            scope.spawn(move || reader.run(pieces, &sender));
        }
        drop(sender);
        // An early return hangs up on the threads, which ends them.
        for read in receiver {
            progress(read?);
        }
        Ok(())
    })?;
    Ok(packed)
}

struct Reader<'a> {
    piece: &'a Piece<'a>,
    source: &'a dyn WeightSource,
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
        let mut buffer = Vec::new();
        loop {
            let piece = pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, panels)) = piece else { return };
            if done.send(self.read(index, panels, &mut buffer)).is_err() {
                return;
            }
        }
    }

    fn read(
        &self,
        index: usize,
        panels: &mut [u8],
        buffer: &mut Vec<u8>,
    ) -> Result<u64, EngineError> {
        let Piece { entry, columns, row_bytes, stride, .. } = *self.piece;
        let first = index * self.read_rows;
        let rows = self.read_rows.min(self.piece.rows - first);
        let offset = self.piece.offset + first as u64 * stride;
        buffer.resize(rows * row_bytes, 0);
        let read = if self.piece.is_run() {
            self.source.read_at(entry.file, offset, buffer)
        } else {
            let rows = buffer.chunks_exact_mut(row_bytes).zip(0..);
            rows.map(|(row, i)| (row, offset + i * stride))
                .try_for_each(|(row, offset)| self.source.read_at(entry.file, offset, row))
        };
        read.map_err(|source| EngineError::Read {
            name: entry.name.clone(),
            file: entry.file,
            offset,
            source,
        })?;
        if !pack_panels(entry.weight_type, columns, buffer, panels) {
            let (name, weight) = (entry.name.clone(), entry.weight_type);
            return Err(EngineError::NotFiniteWeight { name, weight, offset });
        }
        Ok(buffer.len() as u64)
    }
}
