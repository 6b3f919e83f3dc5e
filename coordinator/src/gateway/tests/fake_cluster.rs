//! Heads without models behind the gateway's `Directory`: what they answer is a function of the
//! request alone, and they break when told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::frame::{Frame, FrameKind};
use protocol::generate::{EmittedToken, FinishReason, GenerateEvent, GenerateRequest, Refusal};
use protocol::ids::{Digest, Epoch, NodeId, ReplicaId, TokenId};
use protocol::model_spec::KvType;
use protocol::plan::{ActivationType, Sharing};
use protocol::step_batch::TokenLogprobs;
use tokio::sync::{mpsc, watch};

use super::fake_text::{ByteText, VOCAB_SIZE};
use crate::gateway::directory::{
    Directory, FramePipe, FrameSink, FrameSource, KeyRecord, ServedModel, StreamLost,
};
use crate::gateway::router::{ReplicaForm, Route, Shortage, ShortageKind, Target};

pub(in crate::gateway) const CONTEXT: u32 = 1000;

/// Cheap to clone: all clones are one cluster.
#[derive(Clone)]
pub(in crate::gateway) struct FakeCluster {
    inner: Arc<Mutex<Inner>>,
    changes: watch::Sender<u64>,
}

struct Inner {
    answer: Answer,
    route: Route,
    keys: Arc<[Arc<KeyRecord>]>,
    /// What the next streams do; then they all behave.
    faults: VecDeque<Fault>,
    /// Requests as the heads got them.
    seen: Vec<GenerateRequest>,
    cancelled: u32,
    submissions: u32,
}

#[derive(Clone)]
pub(in crate::gateway) enum Answer {
    Text(String),
    /// Letters drawn from the choice seed and the position, without an end.
    Letters,
}

#[derive(Clone)]
pub(in crate::gateway) enum Fault {
    /// The stream breaks after that many tokens, and the next epoch takes over.
    DieAfter(usize),
    /// Tokens stop coming after that many, for ever.
    SilentAfter(usize),
    Refuse(Refusal),
    Unreachable,
}

impl FakeCluster {
    pub(in crate::gateway) fn answering(answer: &str) -> Arc<Self> {
        Self::new(Answer::Text(answer.into()))
    }

    pub(in crate::gateway) fn new(answer: Answer) -> Arc<Self> {
        let inner = Inner {
            answer,
            route: Route { targets: vec![target(1, 1)], shortage: None },
            keys: Arc::new([]),
            faults: VecDeque::new(),
            seen: Vec::new(),
            cancelled: 0,
            submissions: 0,
        };
        Arc::new(Self { inner: Arc::new(Mutex::new(inner)), changes: watch::channel(0).0 })
    }

    pub(in crate::gateway) fn plan_fault(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    pub(in crate::gateway) fn set_route(&self, route: Route) {
        self.lock().route = route;
        self.changes.send_modify(|n| *n += 1);
    }

    pub(in crate::gateway) fn set_keys(&self, keys: Vec<KeyRecord>) {
        self.lock().keys = keys.into_iter().map(Arc::new).collect();
    }

    pub(in crate::gateway) fn seen(&self) -> Vec<GenerateRequest> {
        self.lock().seen.clone()
    }

    pub(in crate::gateway) fn submissions(&self) -> u32 {
        self.lock().submissions
    }

    pub(in crate::gateway) fn cancelled(&self) -> u32 {
        self.lock().cancelled
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics with the lock")
    }
}

pub(in crate::gateway) fn target(replica: u64, epoch: u64) -> Target {
    Target {
        replica: ReplicaId(replica),
        epoch: Epoch(epoch),
        node: NodeId([replica as u8; 32]),
        form: ReplicaForm {
            manifest: Digest([7; 32]),
            kv_type: KvType::F16,
            activation: ActivationType::F32,
        },
        sharing: Sharing::default(),
        waiting: 0,
        running: 0,
    }
}

pub(in crate::gateway) fn no_capacity(reason: &str) -> Route {
    let shortage = Shortage { kind: ShortageKind::NoCapacity, reason: reason.into() };
    Route { targets: Vec::new(), shortage: Some(shortage) }
}

impl Directory for FakeCluster {
    fn models(&self) -> Vec<Arc<ServedModel>> {
        let model = |name: &str| {
            Arc::new(ServedModel {
                name: name.into(),
                manifest: Digest([7; 32]),
                text: Some(Arc::new(ByteText)),
                vocab_size: VOCAB_SIZE,
                context_length: CONTEXT,
                context_length_trained: 2 * CONTEXT,
                weight_bytes: 13_400_000,
                created: 1_700_000_000,
            })
        };
        vec![model("demo"), model("org/other")]
    }

    fn route(&self, _model: &str) -> Route {
        self.lock().route.clone()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn keys(&self) -> Arc<[Arc<KeyRecord>]> {
        self.lock().keys.clone()
    }

    fn open_generate(&self, _: &Target) -> BoxFuture<'static, Result<FramePipe, StreamLost>> {
        let mut inner = self.lock();
        let fault = inner.faults.pop_front();
        if let Some(Fault::Unreachable) = fault {
            return async { Err(StreamLost("no connection".into())) }.boxed();
        }
        inner.submissions += 1;
        let answer = inner.answer.clone();
        drop(inner);
        let (to_head, from_gateway) = mpsc::channel(8);
        let (to_gateway, from_head) = mpsc::channel(8);
        let head =
            Head { cluster: self.clone(), answer, fault, input: from_gateway, output: to_gateway };
        tokio::spawn(head.run());
        let pipe =
            FramePipe { writer: Box::new(Sink(to_head)), reader: Box::new(Source(from_head)) };
        async { Ok(pipe) }.boxed()
    }
}

struct Sink(mpsc::Sender<Frame>);

impl FrameSink for Sink {
    fn send(&mut self, frame: Frame) -> BoxFuture<'_, Result<(), StreamLost>> {
        let sent = self.0.send(frame);
        async { sent.await.map_err(|_| StreamLost("the head is gone".into())) }.boxed()
    }
}

struct Source(mpsc::Receiver<Result<Frame, StreamLost>>);

impl FrameSource for Source {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frame>, StreamLost>> {
        async { self.0.recv().await.transpose() }.boxed()
    }
}

/// One stream as the head sees it.
struct Head {
    cluster: FakeCluster,
    answer: Answer,
    fault: Option<Fault>,
    input: mpsc::Receiver<Frame>,
    output: mpsc::Sender<Result<Frame, StreamLost>>,
}

impl Head {
    async fn run(mut self) {
        let Some(frame) = self.input.recv().await else { return };
        let request: GenerateRequest = frame.open(FrameKind::Generate).expect("a submission");
        self.cluster.lock().seen.push(request.clone());
        if let Some(Fault::Refuse(refusal)) = self.fault.clone() {
            self.say(&frame, GenerateEvent::Refused(refusal)).await;
            return;
        }
        self.say(&frame, GenerateEvent::Accepted).await;
        self.generate(&frame, &request).await;
        // The end of the stream from the other side, or a word before it.
        if let Some(frame) = self.input.recv().await
            && frame.kind == FrameKind::Cancel
        {
            self.cluster.lock().cancelled += 1;
        }
    }

    async fn generate(&mut self, frame: &Frame, request: &GenerateRequest) {
        for position in request.emitted.len().. {
            match self.fault {
                Some(Fault::DieAfter(n)) if position == request.emitted.len() + n => {
                    return self.die(frame).await;
                }
                Some(Fault::SilentAfter(n)) if position == request.emitted.len() + n => return,
                _ => {}
            }
            if position == request.tokens_max as usize {
                self.say(frame, GenerateEvent::Finished(FinishReason::Length)).await;
                return;
            }
            let Some(token) = self.answer.token(request, position) else {
                self.say(frame, GenerateEvent::Finished(FinishReason::Stop)).await;
                return;
            };
            if !self.say(frame, GenerateEvent::Token(emitted(request, token))).await {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The head takes its epoch with it; the next one is ready at once.
    async fn die(&mut self, frame: &Frame) {
        let next = target(frame.replica.0, frame.epoch.0 + 1);
        self.cluster.set_route(Route { targets: vec![next], shortage: None });
        let _ = self.output.send(Err(StreamLost("connection reset".into()))).await;
    }

    async fn say(&self, frame: &Frame, event: GenerateEvent) -> bool {
        let frame = Frame::new(FrameKind::GenerateEvent, frame.replica, frame.epoch, &event);
        self.output.send(Ok(frame.expect("encodes"))).await.is_ok()
    }
}

impl Answer {
    fn token(&self, request: &GenerateRequest, position: usize) -> Option<TokenId> {
        match self {
            Self::Text(text) => text.as_bytes().get(position).map(|&b| TokenId(b.into())),
            Self::Letters => {
                let mut bytes = request.choice_seed.to_le_bytes().to_vec();
                bytes.extend((position as u64).to_le_bytes());
                let letter = blake3::hash(&bytes).as_bytes()[0] % 26;
                Some(TokenId(u32::from(b'a' + letter)))
            }
        }
    }
}

fn emitted(request: &GenerateRequest, token: TokenId) -> EmittedToken {
    let logprobs = request.sampling.logprobs.map(|n| TokenLogprobs {
        chosen: -0.5,
        top: (0..u32::from(n)).map(|i| (TokenId(u32::from(b'A') + i), -1.0 - i as f32)).collect(),
    });
    EmittedToken { token, logprobs }
}
