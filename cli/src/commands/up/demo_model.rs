//! The demo model inside the binary, for the first minute with Trireme.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::CliError;

/// Made by the scripts in `models/demo`, which say what it can answer.
static DEMO: &[u8] = include_bytes!("../../../../models/demo/demo.gguf");

/// Writes the model under `folder` unless it is there already; returns its path.
pub(crate) fn unpack(folder: &Path) -> Result<PathBuf, CliError> {
    let path = folder.join("demo.gguf");
    if path.metadata().is_ok_and(|m| m.len() == DEMO.len() as u64) {
        return Ok(path);
    }
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(DEMO)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|e| e.error)?;
        Ok::<(), std::io::Error>(())
    };
    write()
        .map_err(|e| CliError::usage(format!("cannot write {}", path.display()), e.to_string()))?;
    Ok(path)
}
