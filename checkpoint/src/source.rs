//! A bounded little-endian reader: no length is believed before the file is known to hold it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::CheckpointError;

/// Reads forward through a file of known size.
pub(crate) struct Source<R> {
    path: PathBuf,
    inner: R,
    position: u64,
    size: u64,
}

impl Source<BufReader<File>> {
    pub(crate) fn open(path: &Path) -> Result<Self, CheckpointError> {
        let io = |source| CheckpointError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        Ok(Self::new(path, BufReader::with_capacity(1 << 18, file), size))
    }
}

impl<R: Read> Source<R> {
    pub(crate) fn new(path: &Path, inner: R, size: u64) -> Self {
        Self { path: path.to_owned(), inner, position: 0, size }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Refuses `count` items of at least `each` bytes that the rest of the file cannot hold.
    pub(crate) fn expect(&self, what: &str, count: u64, each: u64) -> Result<(), CheckpointError> {
        let needed = count.saturating_mul(each);
        if needed > self.size - self.position {
            return Err(self.truncated(what, needed));
        }
        Ok(())
    }

    /// Exactly `count` bytes.
    pub(crate) fn bytes(&mut self, what: &str, count: u64) -> Result<Vec<u8>, CheckpointError> {
        self.expect(what, count, 1)?;
        let mut buffer = vec![0; count as usize];
        self.fill(what, &mut buffer)?;
        Ok(buffer)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], CheckpointError> {
        self.expect(what, N as u64, 1)?;
        let mut buffer = [0; N];
        self.fill(what, &mut buffer)?;
        Ok(buffer)
    }

    pub(crate) fn u32(&mut self, what: &str) -> Result<u32, CheckpointError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u64(&mut self, what: &str) -> Result<u64, CheckpointError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Reads over `count` bytes without keeping them.
    pub(crate) fn skip(&mut self, what: &str, count: u64) -> Result<(), CheckpointError> {
        self.expect(what, count, 1)?;
        let skipped = std::io::copy(&mut (&mut self.inner).take(count), &mut std::io::sink())
            .map_err(|source| CheckpointError::Io { path: self.path.clone(), source })?;
        if skipped != count {
            return Err(self.truncated(what, count));
        }
        self.position += count;
        Ok(())
    }

    fn fill(&mut self, what: &str, buffer: &mut [u8]) -> Result<(), CheckpointError> {
        let length = buffer.len() as u64;
        match self.inner.read_exact(buffer) {
            Ok(()) => {
                self.position += length;
                Ok(())
            }
            // The file shrank while it was read.
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.truncated(what, length))
            }
            Err(source) => Err(CheckpointError::Io { path: self.path.clone(), source }),
        }
    }

    fn truncated(&self, what: &str, needed: u64) -> CheckpointError {
        CheckpointError::Truncated {
            path: self.path.clone(),
            what: what.to_owned(),
            needed,
            offset: self.position,
            size: self.size,
        }
    }

    pub(crate) fn malformed(&self, what: &str, reason: impl Into<String>) -> CheckpointError {
        CheckpointError::Malformed {
            path: self.path.clone(),
            what: what.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn over_limit(&self, what: &str, value: u64, limit: u64) -> CheckpointError {
        CheckpointError::OverLimit { path: self.path.clone(), what: what.to_owned(), value, limit }
    }
}
