//! Reads a matrix from its file a piece at a time, and packs each piece where it stays: the
//! tensor's bytes never lie in memory twice.

use std::iter::Enumerate;
use std::slice::ChunksMut;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use checkpoint::TensorEntry;

use super::source::WeightSource;
use crate::error::EngineError;
use crate::kernels::panels::{PANEL_ROWS, PackedMatrix, pack_panels};

/// Bytes per read: large enough for the disk, small enough that progress shows.
const PIECE_BYTES: usize = 1 << 20;

/// Reads `entry`, of checked shape and length, on up to `threads` threads; `progress` gets the
/// bytes of each piece.
pub(super) fn read_packed(
    entry: &TensorEntry,
    (rows, columns): (usize, usize),
    source: &dyn WeightSource,
    threads: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<PackedMatrix, EngineError> {
    let mut packed = PackedMatrix::zeroed(entry.weight_type, rows, columns)
        .ok_or(EngineError::OutOfMemory { what: "weights", bytes: entry.bytes })?;
    if entry.bytes == 0 {
        return Ok(packed);
    }
    let row_bytes = entry.bytes as usize / rows;
    let piece_rows = (PIECE_BYTES / row_bytes).max(1).next_multiple_of(PANEL_ROWS);
    let pieces = packed.pieces_mut(piece_rows / PANEL_ROWS);
    let threads = threads.min(pieces.len());
    let reader = Reader { entry, columns, source, piece_bytes: piece_rows * row_bytes };
    let pieces = Mutex::new(pieces.enumerate());
    let (sender, receiver) = sync_channel(threads * 2);
    std::thread::scope(|scope| {
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
    entry: &'a TensorEntry,
    columns: usize,
    source: &'a dyn WeightSource,
    /// All pieces but the last have as many.
    piece_bytes: usize,
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
        let entry = self.entry;
        let start = index * self.piece_bytes;
        let bytes = self.piece_bytes.min(entry.bytes as usize - start);
        buffer.resize(bytes, 0);
        let offset = entry.offset + start as u64;
        self.source.read_at(entry.file, offset, buffer).map_err(|source| EngineError::Read {
            name: entry.name.clone(),
            file: entry.file,
            offset,
            source,
        })?;
        if !pack_panels(entry.weight_type, self.columns, buffer, panels) {
            let (name, weight) = (entry.name.clone(), entry.weight_type);
            return Err(EngineError::NotFiniteWeight { name, weight, offset });
        }
        Ok(bytes as u64)
    }
}
