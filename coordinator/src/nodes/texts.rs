//! Keeps the directory true: follows the state, and fetches tokenizers and templates.

use std::sync::Arc;
use std::time::Duration;

use checkpoint::TextAssets;
use protocol::ids::{Digest, NodeId};

use super::blobs::BlobStore;
use super::directory::ClusterDirectory;
use crate::gateway::directory::Directory;
use crate::raft::Consensus;
use crate::text::Text;

const RETRY: Duration = Duration::from_millis(500);

/// Takes every change of the state into the directory.
pub(crate) async fn follow(consensus: Arc<Consensus>, directory: Arc<ClusterDirectory>) {
    let mut state = consensus.watch_state();
    loop {
        state.mark_unchanged();
        directory.refresh();
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Fetches the texts that are missing, again and again while their holders are away.
pub(crate) async fn fetch_missing(directory: Arc<ClusterDirectory>, blobs: BlobStore) {
    let mut changes = directory.changes();
    loop {
        changes.mark_unchanged();
        let mut late = false;
        for (digest, holders) in directory.missing_texts() {
            if let Err(reason) = fetch(&directory, &blobs, digest, &holders).await {
                tracing::debug!(blob = %digest.short(), reason, "no text yet");
                late = true;
            }
        }
        if late {
            tokio::time::sleep(RETRY).await;
        } else if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn fetch(
    directory: &ClusterDirectory,
    blobs: &BlobStore,
    digest: Digest,
    holders: &[NodeId],
) -> Result<(), String> {
    let bytes = blobs.get(digest, holders.iter().copied()).await.map_err(|e| e.to_string())?;
    // A large vocabulary takes up to a second to build.
    let built = tokio::task::spawn_blocking(move || {
        let assets = TextAssets::decode(&bytes).map_err(|e| e.to_string())?;
        Text::new(&assets).map_err(|e| e.to_string())
    });
    let text = built.await.map_err(|e| e.to_string())??;
    directory.add_text(digest, Arc::new(text));
    Ok(())
}
