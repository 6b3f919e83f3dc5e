//! How much is let in: a cap on requests at once, on body bytes, and on waits for them.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::Limits;
use super::error::ApiError;
use super::router::Route;

const BODY_UNIT: usize = 1024;

/// Counts requests that run; cheap to clone.
#[derive(Clone)]
pub(super) struct Admission {
    slots: Arc<Semaphore>,
    /// In units of `BODY_UNIT` bytes.
    body_room: Arc<Semaphore>,
    limits: Limits,
}

/// A place among the running requests, given back when dropped.
pub(super) struct Admitted {
    _slot: OwnedSemaphorePermit,
}

/// A request body and its share of the room for bodies, until it is parsed and tokenised.
pub(super) struct HeldBody {
    pub(super) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        let body_units = limits.bodies_bytes_max.max(limits.body_bytes_max).div_ceil(BODY_UNIT);
        let slots = Arc::new(Semaphore::new(limits.requests_max));
        Self { slots, body_room: Arc::new(Semaphore::new(body_units)), limits }
    }

    /// Refuses at once instead of keeping the client waiting for a place.
    pub(super) fn admit(&self) -> Result<Admitted, ApiError> {
        match self.slots.clone().try_acquire_owned() {
            Ok(slot) => Ok(Admitted { _slot: slot }),
            Err(_) => Err(ApiError::rate_limited(format!(
                "This node already runs {} requests. Try again later.",
                self.limits.requests_max
            ))),
        }
    }

    /// Refuses early when every ready replica is known to have a full queue.
    pub(super) fn check_queues(&self, route: &Route) -> Result<(), ApiError> {
        let shortest = route.targets.iter().map(|t| t.waiting).min();
        match shortest {
            Some(waiting) if waiting >= self.limits.replica_waiting_max => {
                Err(ApiError::rate_limited(format!(
                    "The model's queue is full: {waiting} requests wait. Try again later."
                )))
            }
            _ => Ok(()),
        }
    }

    /// The whole body, within the limits on its size, on the bytes of all bodies at once, and on
    /// the time that may take.
    pub(super) async fn read_body(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<HeldBody, ApiError> {
        let limit = self.limits.body_bytes_max;
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        let announced = announced.and_then(|v| v.parse::<u64>().ok());
        if announced.is_some_and(|n| n > limit as u64) {
            return Err(ApiError::too_large(limit));
        }
        let cost = announced.map_or(limit, |n| n as usize).div_ceil(BODY_UNIT).max(1) as u32;
        let reading = async {
            let room = self.body_room.clone().acquire_many_owned(cost).await;
            let room = room.map_err(|_| ApiError::slow_body())?;
            Ok(HeldBody { bytes: collect(body, limit).await?, _room: room })
        };
        tokio::time::timeout(self.limits.body_wait, reading)
            .await
            .unwrap_or_else(|_| Err(ApiError::slow_body()))
    }
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| ApiError::bad_body("The request body broke off."))?;
        if bytes.len() + piece.len() > limit {
            return Err(ApiError::too_large(limit));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}
