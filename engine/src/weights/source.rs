//! Where weight bytes come from: files, or whatever the worker's weight store offers.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::packed_cache::PackedShard;

/// Byte ranges of a model's files, by the file's index in the manifest.
pub trait WeightSource: Send + Sync {
    /// Fills `buffer` from `offset` on; fewer bytes there is an error.
    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Matrices that are packed already, or a place to note them in.
    fn packed(&self) -> Option<&PackedShard> {
        None
    }
}

/// The model's files themselves, in the manifest's order.
#[derive(Debug)]
pub struct FileSource {
    files: Vec<File>,
}

impl FileSource {
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> io::Result<Self> {
        let open = |path: &P| {
            let path = path.as_ref();
            File::open(path)
                .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
        };
        Ok(Self { files: paths.iter().map(open).collect::<io::Result<_>>()? })
    }
}

impl WeightSource for FileSource {
    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let Some(file) = self.files.get(file as usize) else {
            let text = format!("the model has {} files", self.files.len());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        };
        file.read_exact_at(buffer, offset)
    }
}
