//! The form of a file of packed weights, and the mapping of one that is whole.
//!
//! ```text
//! magic | identity | offset and length of the table | its digest | digest of all before
//! padding to a page | panels of a matrix, padding to a page | ... | table
//! ```
//!
//! The table says of each matrix what it is, where its panels are, and the digests of pieces of
//! them. All of it is checked before anything is used: panels are numbers, and a flipped bit in
//! them would be wrong logits, not an error. Numbers are little-endian.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use checkpoint::WeightType;
use memmap2::{Advice, Mmap};
use protocol::encoding;
use protocol::ids::Digest;
use wincode::{SchemaRead, SchemaWrite};

use super::error::PackedCacheError;
use super::identity::{IDENTITY_BYTES, PackedIdentity};

const MAGIC: [u8; 8] = *b"TRIPANEL";
/// Magic, identity, two numbers, two digests.
pub(super) const HEADER_BYTES: usize = 8 + IDENTITY_BYTES + 16 + 64;
/// Panels begin on a page: the kernels read whole lines, and the map begins on one.
pub(super) const ALIGNMENT: u64 = 4096;
/// Bytes of panels that share a digest: enough pieces for all threads.
pub(super) const PIECE_BYTES: usize = 8 << 20;

/// A matrix in a file.
#[derive(Clone, Debug, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub(super) struct PackedEntry {
    pub(super) name: String,
    /// The first and one past the last row and column of the whole matrix.
    pub(super) window: [u64; 4],
    pub(super) weight: WeightType,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// Which column stands at each place, where they are not in their own order.
    pub(super) order: Vec<u32>,
    /// Of pieces of the panels.
    pub(super) digests: Vec<Digest>,
}

impl PackedEntry {
    pub(super) fn rows(&self) -> u64 {
        self.window[1].saturating_sub(self.window[0])
    }

    pub(super) fn columns(&self) -> u64 {
        self.window[3].saturating_sub(self.window[2])
    }

    /// Whether the panels are as long as the matrix needs, in the file, and the order is one.
    fn is_sound(&self, end: u64) -> bool {
        let bytes = self.weight.panel_bytes(self.rows(), self.columns());
        let mut order = self.order.clone();
        order.sort_unstable();
        use WeightType::{Int4x32, Int4x64, Int4x128};
        let may_have_order = matches!(self.weight, Int4x32 | Int4x64 | Int4x128);
        !self.weight.is_part()
            && self.bytes == bytes
            && self.offset.is_multiple_of(ALIGNMENT)
            && self.offset >= HEADER_BYTES as u64
            && self.offset.checked_add(bytes).is_some_and(|own_end| own_end <= end)
            && self.digests.len() as u64 == bytes.div_ceil(PIECE_BYTES as u64)
            && (order.is_empty()
                || may_have_order && order.into_iter().map(u64::from).eq(0..self.columns()))
    }
}

/// What a file begins with.
pub(super) fn header(
    identity: &PackedIdentity,
    table_offset: u64,
    table: &[u8],
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let numbers = [table_offset.to_le_bytes(), (table.len() as u64).to_le_bytes()].concat();
    let parts: [&[u8]; 4] = [&MAGIC, &identity.encode(), &numbers, &Digest::of(table).0];
    let (before, own) = header.split_at_mut(HEADER_BYTES - 32);
    before.copy_from_slice(&parts.concat());
    own.copy_from_slice(&Digest::of(before).0);
    header
}

/// A mapped file of which every byte that is used was checked.
pub(super) struct PackedFile {
    pub(super) map: Arc<Mmap>,
    pub(super) entries: Vec<PackedEntry>,
}

impl PackedFile {
    /// Maps the file at `path`, which must be `identity`'s, and checks it on `threads` threads.
    pub(super) fn open(
        path: &Path,
        identity: &PackedIdentity,
        threads: usize,
    ) -> Result<Self, PackedCacheError> {
        let io = |source| PackedCacheError::io(path, source);
        let file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let entries = read_table(&file, size, path, identity)?;
        // SAFETY: this program never changes a file of the folder, it only replaces it by another,
        // which leaves the map whole. Another program that cuts it short while it is mapped would
        // end this one by a signal, as it would by writing into its memory.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        if let Err(error) = map.advise(Advice::PopulateRead) {
            tracing::debug!(%error, "packed weights are mapped page by page");
        }
        check_pieces(&map, &entries, path, threads)?;
        Ok(Self { map: Arc::new(map), entries })
    }
}

fn read_table(
    file: &File,
    size: u64,
    path: &Path,
    identity: &PackedIdentity,
) -> Result<Vec<PackedEntry>, PackedCacheError> {
    let damaged = |what: &str| Err(PackedCacheError::damaged(path, what));
    let io = |source| PackedCacheError::io(path, source);
    if size < HEADER_BYTES as u64 {
        return damaged("it ends in its header");
    }
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0).map_err(io)?;
    let (before, own) = header.split_at(HEADER_BYTES - 32);
    if before[..8] != MAGIC || own != Digest::of(before).0 {
        return damaged("its header has another digest");
    }
    let (found, rest) = before[8..].split_at(IDENTITY_BYTES);
    if found != identity.encode() {
        let (path, expected) = (path.to_owned(), identity.to_string());
        let found = "another model, shard or layout".to_owned();
        return Err(PackedCacheError::OfOther { path, found, expected });
    }
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| rest[at + i]));
    let (offset, length) = (number(0), number(8));
    if offset.checked_add(length) != Some(size) {
        return damaged("it does not end with its table");
    }
    if length > protocol::limits::BLOB_BYTES_MAX {
        return damaged("its table is longer than any");
    }
    let mut table = vec![0; length as usize];
    file.read_exact_at(&mut table, offset).map_err(io)?;
    if Digest::of(&table).0 != rest[16..48] {
        return damaged("its table has another digest");
    }
    let entries: Vec<PackedEntry> = encoding::decode("table of packed weights", &table)
        .map_err(|error| PackedCacheError::damaged(path, error.to_string()))?;
    match entries.iter().find(|entry| !entry.is_sound(offset)) {
        Some(entry) => damaged(&format!("`{}` does not lie in it as its table says", entry.name)),
        None => Ok(entries),
    }
}

/// Compares the digests of all pieces.
fn check_pieces(
    map: &[u8],
    entries: &[PackedEntry],
    path: &Path,
    threads: usize,
) -> Result<(), PackedCacheError> {
    let pieces: Vec<_> = entries
        .iter()
        .flat_map(|entry| {
            let panels = &map[entry.offset as usize..(entry.offset + entry.bytes) as usize];
            panels.chunks(PIECE_BYTES).zip(&entry.digests).map(move |piece| (entry, piece))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let check = || {
        while let Some((entry, (piece, digest))) = pieces.get(next.fetch_add(1, Ordering::Relaxed))
        {
            if Digest::of(piece) != **digest {
                return Some(entry.name.clone());
            }
        }
        None
    };
    let bad = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(pieces.len())).map(|_| scope.spawn(check)).collect();
        let own = check();
        // A thread that panicked has checked nothing.
        let others = others.into_iter().map(|thread| thread.join());
        others.fold(own, |bad, other| bad.or(other.unwrap_or(Some("a piece".to_owned()))))
    });
    match bad {
        Some(name) => Err(PackedCacheError::damaged(path, format!("`{name}` has another digest"))),
        None => Ok(()),
    }
}
