//! Fetching over real QUIC on loopback: whole, cut, corrupt, not held, changed.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use checkpoint::testing::{RandomModel, write_random_gguf};
use checkpoint::{Manifest, WeightType};
use engine::WeightSource;
use protocol::control::Role;
use protocol::frame::{Frame, FrameKind};
use protocol::identity::{ClusterCa, Identity, NodeKey};
use protocol::ids::NodeId;
use protocol::model_spec::{Architecture, LayerRange};
use protocol::stream::{StreamAnswer, StreamHello, WeightPiece, WeightRequest};
use protocol::transport::{FrameReader, FrameWriter, NodeTls, QuicEndpoint, QuicSettings};
use tempfile::TempDir;

use super::*;

/// What a holder does wrong.
#[derive(Clone, Copy)]
enum Fault {
    None,
    /// The connection is closed after that many chunks, once.
    CutAfter(usize),
    /// This chunk comes with a flipped bit, that many times.
    Corrupt {
        index: u32,
        times: usize,
    },
}

/// A holder behind a real endpoint, and what it was asked for.
struct Holder {
    store: Arc<WeightStore>,
    fault: Fault,
    faults_left: AtomicUsize,
    sent: Mutex<Vec<u32>>,
}

struct Bench {
    folder: TempDir,
    endpoint: QuicEndpoint,
    node: NodeId,
    address: String,
    holder: Arc<Holder>,
    holder_endpoint: QuicEndpoint,
}

impl Peers for Bench {
    async fn connect(&self, node: NodeId) -> Result<quinn::Connection, String> {
        let addresses = [self.address.clone()];
        self.endpoint.dial_any(&addresses, Some(node)).await.map_err(|error| error.to_string())
    }
}

fn endpoint(ca: &ClusterCa) -> (QuicEndpoint, NodeId) {
    let key = NodeKey::generate().expect("key");
    let csr = key.signing_request().expect("request");
    let signed = ca.sign_node(&csr, Role::Worker).expect("signed");
    let identity = Identity::new(&key, signed.certificate_pem, ca.certificate_pem().into());
    let tls = NodeTls::new(&identity.expect("fits")).expect("usable");
    let idle_timeout = Duration::from_secs(10);
    let settings = QuicSettings { idle_timeout, ..QuicSettings::default() };
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    (QuicEndpoint::bind(address, tls, settings).expect("bound"), key.node_id())
}

impl Bench {
    /// A holder that has nothing yet, and a node that will ask it.
    fn new(fault: Fault) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let ca = ClusterCa::create("lab").expect("valid name");
        let (holder_endpoint, node) = endpoint(&ca);
        let (endpoint, _) = endpoint(&ca);
        let faults_left = AtomicUsize::new(match fault {
            Fault::Corrupt { times, .. } => times,
            Fault::None | Fault::CutAfter(_) => 1,
        });
        let store = WeightStore::open(&folder.path().join("holder")).expect("opens");
        let (store, sent) = (Arc::new(store), Mutex::default());
        let holder = Arc::new(Holder { store, fault, faults_left, sent });
        let address = holder_endpoint.local_address().expect("bound").to_string();
        tokio::spawn(Arc::clone(&holder).accept(holder_endpoint.clone()));
        Self { folder, endpoint, node, address, holder, holder_endpoint }
    }

    fn model_path(&self) -> PathBuf {
        self.folder.path().join("model.gguf")
    }

    fn import(&self) -> Arc<Manifest> {
        let model = RandomModel::tiny(Architecture::Llama, WeightType::Q8_0, 7);
        write_random_gguf(&self.model_path(), &model).expect("written");
        let mut reports = 0;
        let manifest = self.holder.store.import(&self.model_path(), &mut |_, _| reports += 1);
        assert!(reports > 0);
        manifest.expect("imported")
    }

    fn empty_store(&self) -> WeightStore {
        WeightStore::open(&self.folder.path().join("asker")).expect("opens")
    }

    async fn fetch(
        &self,
        store: &WeightStore,
        manifest: &Manifest,
    ) -> Result<(), WeightStoreError> {
        let digest = manifest.digest().expect("digest");
        let manifest = store.ensure_manifest(digest, &[self.node], self).await?;
        let all: Vec<u32> = (0..manifest.chunks.len() as u32).collect();
        let mut last = (0, 0);
        let ended = store
            .ensure(&manifest, &all, &[self.node], self, &mut |done, total| last = (done, total))
            .await;
        if ended.is_ok() {
            let bytes = manifest.chunks.iter().map(|chunk| chunk.bytes).sum::<u64>();
            assert_eq!(last, (bytes, bytes));
        }
        ended
    }

    fn take_sent(&self) -> Vec<u32> {
        std::mem::take(&mut self.holder.sent.lock().expect("sound"))
    }
}

impl Holder {
    async fn accept(self: Arc<Self>, endpoint: QuicEndpoint) {
        while let Some(incoming) = endpoint.accept().await {
            let Ok(connection) = incoming.await else { continue };
            let holder = Arc::clone(&self);
            tokio::spawn(async move {
                while let Ok((send, receive)) = connection.accept_bi().await {
                    let (writer, reader) = (FrameWriter::new(send), FrameReader::new(receive));
                    let connection = connection.clone();
                    tokio::spawn(Arc::clone(&holder).stream(connection, writer, reader));
                }
            });
        }
    }

    async fn stream(
        self: Arc<Self>,
        connection: quinn::Connection,
        mut writer: FrameWriter,
        mut reader: FrameReader,
    ) {
        let hello = reader.recv().await.expect("valid").expect("a hello");
        assert_eq!(hello.open::<StreamHello>(FrameKind::Hello).ok(), Some(StreamHello::Weights));
        let ok = holder_stream::frame(FrameKind::Answer, &StreamAnswer::Ok).expect("small");
        writer.send(&ok).await.expect("sent");
        if let Fault::None = self.fault {
            let _ = serve(writer, reader, Arc::clone(&self.store)).await;
            return;
        }
        while let Ok(Some(frame)) = reader.recv().await {
            let request = frame.open::<WeightRequest>(FrameKind::WeightRequest).expect("valid");
            let pieces = match request {
                WeightRequest::Blob { digest } => {
                    let blob = self.store.blob(digest).expect("sound").expect("held");
                    vec![(WeightPiece::Blob, blob)]
                }
                WeightRequest::Chunks { manifest, first, count } => {
                    let model = self.store.model(manifest).expect("held");
                    let piece = |index| {
                        (WeightPiece::Chunk { index }, model.read_chunk(index).expect("held"))
                    };
                    (first..first + count).map(piece).collect()
                }
            };
            for (piece, body) in pieces {
                let Some(body) = self.harm(&piece, body) else {
                    // What was sent before the cut has arrived, or nothing could be resumed.
                    writer.finish();
                    writer.stopped().await;
                    return connection.close(quinn::VarInt::from_u32(1), b"cut");
                };
                let frame = holder_stream::frame(FrameKind::WeightPiece, &piece).expect("small");
                if writer.send(&Frame { body, ..frame }).await.is_err() {
                    return;
                }
            }
        }
    }

    /// `None` is a cut.
    fn harm(&self, piece: &WeightPiece, body: Bytes) -> Option<Bytes> {
        let WeightPiece::Chunk { index } = piece else { return Some(body) };
        let mut sent = self.sent.lock().expect("sound");
        let armed = || {
            let left = self.faults_left.load(Ordering::SeqCst);
            self.faults_left.store(left.saturating_sub(1), Ordering::SeqCst);
            left > 0
        };
        match self.fault {
            Fault::CutAfter(chunks) if sent.len() == chunks && armed() => return None,
            Fault::Corrupt { index: bad, .. } if bad == *index && armed() => {
                let mut bytes = body.to_vec();
                bytes[0] ^= 1;
                return Some(bytes.into());
            }
            _ => sent.push(*index),
        }
        Some(body)
    }
}

/// Every tensor reads the same from `store` as from the original file.
fn assert_same_weights(bench: &Bench, store: &WeightStore, manifest: &Manifest) {
    let original = fs::read(bench.model_path()).expect("readable");
    let source = store.source(manifest).expect("opens");
    for tensor in &manifest.tensors {
        let mut bytes = vec![0; tensor.bytes as usize];
        source.read_at(tensor.file, tensor.offset, &mut bytes).expect("sound");
        let at = tensor.offset as usize;
        assert!(bytes == original[at..at + bytes.len()], "{}", tensor.name);
    }
}

#[tokio::test]
async fn a_fetched_model_is_the_imported_one_and_is_still_there_after_a_restart() {
    let bench = Bench::new(Fault::None);
    let manifest = bench.import();
    let digest = manifest.digest().expect("digest");
    assert_eq!(bench.holder.store.held_manifests(), [digest]);
    let store = bench.empty_store();
    assert!(store.held_manifests().is_empty());
    bench.fetch(&store, &manifest).await.expect("fetched");
    assert_same_weights(&bench, &store, &manifest);
    drop(store);
    let again = bench.empty_store();
    assert_eq!(again.held_manifests(), [digest]);
    bench.holder_endpoint.close("gone");
    bench.fetch(&again, &manifest).await.expect("nothing to fetch");
    again.forget(digest).expect("forgotten");
    assert!(bench.empty_store().held_manifests().is_empty());
}

#[tokio::test]
async fn a_stage_fetches_only_the_chunks_of_its_own_layers() {
    let bench = Bench::new(Fault::None);
    let manifest = bench.import();
    let store = bench.empty_store();
    let digest = manifest.digest().expect("digest");
    let manifest = store.ensure_manifest(digest, &[bench.node], &bench).await.expect("manifest");
    let middle = manifest.chunks_of(LayerRange::new(1, 2));
    let ensured = store.ensure(&manifest, &middle, &[bench.node], &bench, &mut |_, _| {}).await;
    ensured.expect("fetched");
    assert!(store.held_manifests().is_empty(), "a part is not the model");
    let source = store.source(&manifest).expect("opens");
    let elsewhere = manifest.tensors_of(LayerRange::new(0, 1)).next().expect("the embedding");
    let read = source.read_at(elsewhere.file, elsewhere.offset, &mut [0; 32]);
    assert!(read.expect_err("not here").to_string().contains("not held"));
}

#[tokio::test]
async fn a_transfer_cut_in_the_middle_goes_on_where_it_was() {
    let bench = Bench::new(Fault::CutAfter(5));
    let manifest = bench.import();
    let chunks = manifest.chunks.len();
    assert!(chunks > 8, "{chunks} chunks: too few to cut between");
    let store = bench.empty_store();
    bench.fetch(&store, &manifest).await.expect("resumed");
    assert_same_weights(&bench, &store, &manifest);
    let mut sent = bench.take_sent();
    sent.sort_unstable();
    assert_eq!(sent, (0..chunks as u32).collect::<Vec<_>>(), "each chunk once");
    let restarted = bench.empty_store();
    bench.fetch(&restarted, &manifest).await.expect("all here");
    assert!(bench.take_sent().is_empty());
}

#[tokio::test]
async fn a_corrupt_chunk_is_fetched_again_and_a_lying_holder_is_named() {
    let bench = Bench::new(Fault::Corrupt { index: 3, times: 2 });
    let manifest = bench.import();
    let store = bench.empty_store();
    bench.fetch(&store, &manifest).await.expect("third time lucky");
    assert_same_weights(&bench, &store, &manifest);

    let bench = Bench::new(Fault::Corrupt { index: 3, times: 100 });
    let manifest = bench.import();
    let error = bench.fetch(&bench.empty_store(), &manifest).await.expect_err("always corrupt");
    assert!(matches!(&error, WeightStoreError::CorruptAtHolder { offset, .. }
        if *offset == manifest.chunks[3].offset));
    let text = error.to_string();
    assert!(text.contains("model.gguf") && text.contains(&bench.node.short()), "{text}");
}

#[tokio::test]
async fn what_nobody_holds_and_who_cannot_be_reached_are_told_apart() {
    let bench = Bench::new(Fault::None);
    let manifest = bench.import();
    let digest = manifest.digest().expect("digest");
    let store = bench.empty_store();
    bench.fetch(&store, &manifest).await.expect("fetched");
    store.forget(digest).expect("forgotten");
    bench.holder.store.forget(digest).expect("forgotten");
    let error = bench.fetch(&store, &manifest).await.expect_err("nobody holds it");
    assert!(matches!(error, WeightStoreError::NotHeld { .. }), "{error}");
    bench.holder_endpoint.close("gone");
    let error = bench.fetch(&store, &manifest).await.expect_err("nobody answers");
    assert!(matches!(error, WeightStoreError::Interrupted { .. }), "{error}");
}

#[tokio::test]
async fn a_model_file_changed_after_its_import_is_neither_served_nor_loaded() {
    let bench = Bench::new(Fault::None);
    let manifest = bench.import();
    let store = bench.empty_store();
    let mut bytes = fs::read(bench.model_path()).expect("readable");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(bench.model_path(), &bytes).expect("writable");
    let error = bench.holder.store.source(&manifest).expect_err("changed").to_string();
    assert!(error.contains("model.gguf") && error.contains("import the model again"), "{error}");
    let error = bench.fetch(&store, &manifest).await.expect_err("not served");
    assert!(matches!(error, WeightStoreError::NotHeld { .. }), "{error}");
}

#[tokio::test]
async fn a_chunk_that_decayed_on_disk_is_noticed_at_loading_and_fetched_again() {
    let bench = Bench::new(Fault::None);
    let manifest = bench.import();
    let store = bench.empty_store();
    bench.fetch(&store, &manifest).await.expect("fetched");
    let tensor = manifest.tensors.last().expect("tensors");
    let digest = manifest.digest().expect("digest").to_string();
    let path = bench.folder.path().join("asker/models").join(digest).join("0.weights");
    let mut bytes = fs::read(&path).expect("readable");
    bytes[tensor.offset as usize] ^= 1;
    fs::write(&path, &bytes).expect("writable");
    let source = store.source(&manifest).expect("opens");
    let read = source.read_at(tensor.file, tensor.offset, &mut vec![0; tensor.bytes as usize]);
    assert!(read.expect_err("decayed").to_string().contains(&tensor.offset.to_string()));
    bench.fetch(&store, &manifest).await.expect("fetched again");
    assert_same_weights(&bench, &store, &manifest);
}
