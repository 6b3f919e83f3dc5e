//! A gRPC client's way to another coordinator: a real channel, or calls that a simulated network
//! carries, late, twice or not at all.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body as _, Bytes, Frame};
use openraft::raft::VoteResponse;
use openraft::vote::RaftLeaderId;
use protocol::ids::NodeId;
use serde::de::DeserializeOwned;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::Channel;

use super::world::Future;
use crate::raft::{TypeConfig, VoteCall};

/// A whole call as it would travel.
#[derive(Clone, Debug)]
pub struct Call {
    path: String,
    body: Bytes,
}

/// A whole answer as it would travel.
#[derive(Clone, Debug)]
pub struct Answer {
    headers: http::HeaderMap,
    body: Bytes,
    trailers: Option<http::HeaderMap>,
}

/// The simulated network, as one coordinator sees it.
pub trait Wire: Send + Sync {
    /// Never ends where nobody will ever answer; the error says why the node was not reached.
    fn call(&self, to: NodeId, call: Call) -> Future<Result<Answer, String>>;
}

#[derive(Clone)]
pub(crate) enum Link {
    Channel(Channel),
    Simulated { wire: Arc<dyn Wire>, to: NodeId },
}

impl Service<http::Request<Body>> for Link {
    type Response = http::Response<Body>;
    type Error = tonic::codegen::StdError;
    type Future = Future<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::Channel(channel) => channel.poll_ready(context).map_err(Into::into),
            Self::Simulated { .. } => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self {
            Self::Channel(channel) => {
                let answered = channel.call(request);
                Box::pin(async move { Ok(answered.await?) })
            }
            Self::Simulated { wire, to } => {
                let (wire, to) = (Arc::clone(wire), *to);
                Box::pin(async move {
                    let path = request.uri().path().to_owned();
                    let (body, _) = whole(request.into_body()).await?;
                    let answered = wire.call(to, Call { path, body }).await;
                    Ok(answered.map_err(Status::unavailable)?.into_response())
                })
            }
        }
    }
}

impl Call {
    /// The procedure's name.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    pub(super) fn into_request(self) -> http::Request<Body> {
        let mut request = http::Request::new(Body::new(Whole::new(self.body, None)));
        *request.method_mut() = http::Method::POST;
        if let Ok(uri) = self.path.parse() {
            *request.uri_mut() = uri;
        }
        let grpc = http::HeaderValue::from_static("application/grpc");
        request.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
        request
    }
}

impl Answer {
    pub(super) async fn of(response: http::Response<Body>) -> Result<Self, Status> {
        let (head, body) = response.into_parts();
        let (body, trailers) = whole(body).await?;
        Ok(Self { headers: head.headers, body, trailers })
    }

    fn into_response(self) -> http::Response<Body> {
        let mut response = http::Response::new(Body::new(Whole::new(self.body, self.trailers)));
        *response.headers_mut() = self.headers;
        response
    }

    /// The vote that this answer to `call` gives away: its term and candidate.
    pub fn granted(&self, call: &Call) -> Option<(u64, NodeId)> {
        if call.name() != "Vote" || payload::<VoteCall>(&call.body)?.pre {
            return None;
        }
        let answer: VoteResponse<TypeConfig> = payload(&self.body)?;
        let candidate = answer.vote.leader_id();
        answer.vote_granted.then(|| (candidate.term(), candidate.node_id().0))
    }
}

/// What the envelope of a message carries, as `protocol::rpc` packs it.
fn payload<T: DeserializeOwned>(message: &[u8]) -> Option<T> {
    // Five bytes of gRPC, the field's tag, then its length in groups of seven bits.
    let field = message.get(6..)?;
    let length = field.iter().position(|byte| byte & 0x80 == 0)? + 1;
    serde_json::from_slice(&field[length..]).ok()
}

async fn whole(mut body: Body) -> Result<(Bytes, Option<http::HeaderMap>), Status> {
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame?.into_data() {
            Ok(bytes) => data.extend_from_slice(&bytes),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((data.into(), trailers))
}

/// A body that is all there.
struct Whole {
    frames: std::vec::IntoIter<Frame<Bytes>>,
}

impl Whole {
    fn new(data: Bytes, trailers: Option<http::HeaderMap>) -> Self {
        let mut frames = Vec::new();
        if !data.is_empty() {
            frames.push(Frame::data(data));
        }
        frames.extend(trailers.map(Frame::trailers));
        Self { frames: frames.into_iter() }
    }
}

impl hyper::body::Body for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.frames.next().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.as_slice().is_empty()
    }
}
