//! The packed weights of one shard while it is loaded: found in a file, or noted to be kept.

use std::fs;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::PackedCacheError;
use super::file::{PackedEntry, PackedFile};
use super::folder::{PackedCache, touch};
use super::identity::PackedIdentity;
use super::writing::{Noted, write};
use crate::kernels::panels::PackedMatrix;
use crate::weights::rows::Described;
use crate::weights::source::WeightSource;

/// What a shard's matrices are taken from or noted in.
pub struct PackedShard {
    cache: PackedCache,
    identity: PackedIdentity,
    content: Content,
}

enum Content {
    Found(PackedFile),
    /// In the order of loading. With the reason why a file was not used.
    New(Mutex<Vec<Noted>>, Option<PackedCacheError>),
}

/// A source of weights that may have them packed.
pub struct CachedSource<'a> {
    shard: &'a PackedShard,
    source: &'a dyn WeightSource,
}

impl PackedShard {
    pub(super) fn open(cache: PackedCache, identity: PackedIdentity, threads: usize) -> Self {
        let path = cache.path(&identity);
        let content = match PackedFile::open(&path, &identity, threads) {
            Ok(file) => {
                touch(&path);
                Content::Found(file)
            }
            Err(PackedCacheError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Content::New(Mutex::default(), None)
            }
            Err(error) => {
                tracing::warn!(%error, "packed weights are not used, but made anew");
                // It is replaced in any case, if there is room.
                let _ = fs::remove_file(&path);
                Content::New(Mutex::default(), Some(error))
            }
        };
        Self { cache, identity, content }
    }

    /// `source`, or what was packed of it before.
    pub fn over<'a>(&'a self, source: &'a dyn WeightSource) -> CachedSource<'a> {
        CachedSource { shard: self, source }
    }

    /// Whether the weights come from a file.
    pub fn is_found(&self) -> bool {
        matches!(self.content, Content::Found(_))
    }

    /// Why a file that is there was not used.
    pub fn refused(&self) -> Option<&PackedCacheError> {
        match &self.content {
            Content::New(_, refused) => refused.as_ref(),
            Content::Found(_) => None,
        }
    }

    /// Writes what was packed while the stage was loaded, for the next time; nothing to do where it
    /// came from a file. Takes as long as the disk does. The stage may be freed meanwhile, which
    /// ends the writing.
    pub fn keep(self) -> Result<(), PackedCacheError> {
        let Content::New(noted, _) = self.content else { return Ok(()) };
        let noted = noted.into_inner().unwrap_or_else(PoisonError::into_inner);
        if noted.is_empty() {
            return Ok(());
        }
        write(&self.cache, &self.identity, &noted)
    }

    /// The matrix, if a file has it.
    pub(in crate::weights) fn find(&self, name: &str, of: &Described) -> Option<PackedMatrix> {
        let Content::Found(file) = &self.content else { return None };
        let is_it = |entry: &&PackedEntry| {
            entry.name == name && entry.window == of.numbers() && entry.weight == of.weight
        };
        let entry = file.entries.iter().find(is_it)?;
        let (rows, columns) = (of.window.rows.len(), of.window.columns.len());
        let map = Arc::clone(&file.map);
        let matrix =
            PackedMatrix::mapped(entry.weight, rows, columns, (map, entry.offset as usize))?;
        Some(match entry.order.is_empty() {
            true => matrix,
            false => matrix.with_order(&entry.order),
        })
    }

    /// Keeps in mind what was packed.
    pub(in crate::weights) fn note(&self, name: &str, of: &Described, matrix: &PackedMatrix) {
        let Content::New(noted, _) = &self.content else { return };
        let (name, window) = (name.to_owned(), of.numbers());
        let order = matrix.order().unwrap_or_default().to_vec();
        let noted_now = Noted { name, window, weight: of.weight, order, panels: matrix.weak() };
        noted.lock().unwrap_or_else(PoisonError::into_inner).push(noted_now);
    }
}

impl WeightSource for CachedSource<'_> {
    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.source.read_at(file, offset, buffer)
    }

    fn packed(&self) -> Option<&PackedShard> {
        Some(self.shard)
    }
}
