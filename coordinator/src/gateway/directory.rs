//! What the gateway asks of the cluster: which models are served, where, and a stream to a head.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::admin::{KeyLimits, KeyRole};
use protocol::frame::Frame;
use protocol::ids::Digest;
use protocol::transport::{FrameReader, FrameWriter, TransportError};
use tokio::sync::watch;

use super::model_text::ModelText;
use super::router::{Route, Target};
use crate::state::Timestamp;

/// A read handle on the cluster, cheap to ask at every request.
pub trait Directory: Send + Sync + 'static {
    /// Every deployed model, ready or not, ordered by name.
    fn models(&self) -> Vec<Arc<ServedModel>>;

    fn model(&self, name: &str) -> Option<Arc<ServedModel>> {
        self.models().into_iter().find(|m| m.name == name)
    }

    /// The ready replicas of a deployed model, or why there are none.
    fn route(&self, model: &str) -> Route;

    /// What is wrong with this coordinator's part in the group; streams go on all the same.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    /// Changes its value whenever `models` or a `route` does.
    fn changes(&self) -> watch::Receiver<u64>;

    /// All API keys.
    fn keys(&self) -> Arc<[Arc<KeyRecord>]>;

    /// Opens a stream to the head of `target` in its epoch: greeted and welcomed, so that a
    /// `Generate` frame goes next. Ends within a deadline.
    fn open_generate(&self, target: &Target) -> BoxFuture<'static, Result<FramePipe, StreamLost>>;
}

/// A deployed model as clients see it.
pub struct ServedModel {
    pub name: String,
    pub manifest: Digest,
    /// Tokenizer and chat template; `None` until this node has fetched them.
    pub text: Option<Arc<dyn ModelText>>,
    pub vocab_size: u32,
    /// Longest sequence that the deployment promises, prompt and answer together.
    pub context_length: u32,
    /// Longest sequence that the model was trained for.
    pub context_length_trained: u32,
    pub weight_bytes: u64,
    /// Unix seconds.
    pub created: u64,
}

/// What is kept of one text of an API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    pub name: String,
    pub role: KeyRole,
    /// BLAKE3 of the key's text.
    pub hash: Digest,
    pub expires_at: Option<Timestamp>,
    pub limits: KeyLimits,
}

impl KeyRecord {
    /// Without limits.
    pub fn new(name: &str, role: KeyRole, hash: Digest) -> Self {
        let (expires_at, limits) = (None, KeyLimits::default());
        Self { name: name.to_owned(), role, hash, expires_at, limits }
    }
}

/// Both directions of one stream.
pub struct FramePipe {
    pub writer: Box<dyn FrameSink>,
    pub reader: Box<dyn FrameSource>,
}

impl FramePipe {
    pub fn new(writer: FrameWriter, reader: FrameReader) -> Self {
        Self { writer: Box::new(writer), reader: Box::new(reader) }
    }
}

pub trait FrameSink: Send {
    fn send(&mut self, frame: Frame) -> BoxFuture<'_, Result<(), StreamLost>>;
}

pub trait FrameSource: Send {
    /// The next frame; `None` when the peer has closed the stream in order.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frame>, StreamLost>>;
}

/// A stream that cannot be opened or went away, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StreamLost(pub String);

impl FrameSink for FrameWriter {
    fn send(&mut self, frame: Frame) -> BoxFuture<'_, Result<(), StreamLost>> {
        async move { Self::send(self, &frame).await.map_err(StreamLost::from) }.boxed()
    }
}

impl FrameSource for FrameReader {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frame>, StreamLost>> {
        async { self.recv().await.map_err(StreamLost::from) }.boxed()
    }
}

impl From<TransportError> for StreamLost {
    fn from(error: TransportError) -> Self {
        Self(error.to_string())
    }
}
