//! `model import` on the worker that holds the files: reads the model once and says what it is.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use checkpoint::Manifest;
use protocol::control::{CommandProgress, ImportSummary};

use crate::weight_store::{WeightStore, WeightStoreError};

const PROGRESS_PERIOD: Duration = Duration::from_millis(200);

/// Imports the model at `path`, reporting `Running` on the way; the result is `Imported`. Blocks.
pub fn import(
    store: &Arc<WeightStore>,
    path: &Path,
    report: &mut dyn FnMut(CommandProgress),
) -> Result<CommandProgress, WeightStoreError> {
    let mut last: Option<Instant> = None;
    let manifest = store.import(path, &mut |done, total| {
        if last.is_none_or(|last| last.elapsed() >= PROGRESS_PERIOD) {
            last = Some(Instant::now());
            let note = "reading and hashing weights".to_owned();
            report(CommandProgress::Running { done, total, note });
        }
    })?;
    let digest = manifest.digest()?;
    Ok(CommandProgress::Imported { manifest: digest, summary: Box::new(summary(&manifest)) })
}

fn summary(manifest: &Manifest) -> ImportSummary {
    ImportSummary {
        spec: manifest.spec.clone(),
        text: manifest.text,
        weight_bytes: manifest.chunks.iter().map(|chunk| chunk.bytes).sum(),
    }
}
