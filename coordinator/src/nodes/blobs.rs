//! Small blobs by digest (manifest, tokenizer and template): from disk, else from a holder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use protocol::frame::{Frame, FrameKind};
use protocol::identity::durable_file;
use protocol::ids::{Digest, Epoch, NodeId, ReplicaId};
use protocol::limits::BLOB_BYTES_MAX;
use protocol::stream::{WeightPiece, WeightRequest};
use protocol::transport::TransportError;

use super::data_plane::{DataPlane, OpenError};
use crate::error::CoordinatorError;

const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct BlobStore {
    folder: PathBuf,
    data_plane: DataPlane,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    #[error("no node that holds blob {digest} is connected")]
    NoHolder { digest: String },
    #[error("node {node} does not hold blob {digest}")]
    NotHeld { node: String, digest: String },
    #[error("node {node} sent other bytes than blob {digest}: refused")]
    Corrupt { node: String, digest: String },
    #[error("node {node} did not send blob {digest} in time")]
    TimedOut { node: String, digest: String },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl BlobStore {
    pub(crate) fn open(data_dir: &Path, data_plane: DataPlane) -> Result<Self, CoordinatorError> {
        let folder = data_dir.join("blobs");
        std::fs::create_dir_all(&folder).map_err(|error| CoordinatorError::Store {
            path: folder.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self { folder, data_plane })
    }

    /// The blob's bytes, verified; kept on disk once fetched.
    pub(crate) async fn get(
        &self,
        digest: Digest,
        holders: impl Iterator<Item = NodeId>,
    ) -> Result<Bytes, BlobError> {
        let path = self.folder.join(digest.to_string());
        if let Ok(bytes) = tokio::fs::read(&path).await
            && Digest::of(&bytes) == digest
        {
            return Ok(bytes.into());
        }
        let mut last = BlobError::NoHolder { digest: digest.short() };
        for node in holders {
            match self.fetch(node, digest).await {
                Ok(bytes) => {
                    if let Err(error) = durable_file::write(&path, &bytes, durable_file::PRIVATE) {
                        tracing::warn!(path = %path.display(), %error, "a blob was not kept");
                    }
                    return Ok(bytes);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn fetch(&self, node: NodeId, digest: Digest) -> Result<Bytes, BlobError> {
        let (name, blob) = (node.short(), digest.short());
        let asking = async {
            let (mut writer, mut reader) = self.data_plane.open_weights(node).await?;
            let request = WeightRequest::Blob { digest };
            let frame = Frame::new(FrameKind::WeightRequest, ReplicaId(0), Epoch(0), &request)
                .map_err(TransportError::from)?;
            writer.send(&frame).await?;
            let not_held = || BlobError::NotHeld { node: name.clone(), digest: blob.clone() };
            let piece = reader.recv().await?.ok_or_else(not_held)?;
            writer.finish();
            match piece.open(FrameKind::WeightPiece).map_err(TransportError::from)? {
                WeightPiece::Blob if piece.body.len() as u64 <= BLOB_BYTES_MAX => Ok(piece.body),
                _ => Err(not_held()),
            }
        };
        let late = |_| BlobError::TimedOut { node: node.short(), digest: digest.short() };
        let bytes: Bytes = tokio::time::timeout(FETCH_TIMEOUT, asking).await.map_err(late)??;
        if Digest::of(&bytes) != digest {
            return Err(BlobError::Corrupt { node: node.short(), digest: digest.short() });
        }
        Ok(bytes)
    }
}
