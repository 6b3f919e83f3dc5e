//! Says with each answer how fresh it is, and makes it as fresh as the leader's where asked to.
//!
//! A coordinator answers from its own copy of the state, which may be behind. Every answer carries
//! the log index it rests on, whether this coordinator hears the leader, and for how long it may
//! have missed something. `?consistent=true` makes a read linearizable: it holds everything that
//! any coordinator acknowledged before the request.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Admin;
use super::error::AdminError;
use crate::raft::Freshness;

const APPLIED: HeaderName = HeaderName::from_static("trireme-applied-index");
const LED: HeaderName = HeaderName::from_static("trireme-led");
const AGE: HeaderName = HeaderName::from_static("trireme-age-ms");
const CONSISTENT: HeaderName = HeaderName::from_static("trireme-consistent");

pub(super) async fn stamp(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response {
    let is_consistent = match asks_for_consistency(&request) {
        Ok(asked) => asked,
        Err(error) => return error.into_response(),
    };
    if is_consistent && let Err(error) = admin.consensus.catch_up().await {
        let mut response = AdminError::from(error).into_response();
        put(response.headers_mut(), admin.consensus.freshness(), false);
        return response;
    }
    // Taken before the answer is made, so that it never says too much.
    let freshness = admin.consensus.freshness();
    let mut response = next.run(request).await;
    put(response.headers_mut(), freshness, is_consistent);
    response
}

fn asks_for_consistency(request: &Request) -> Result<bool, AdminError> {
    let parameters = request.uri().query().unwrap_or_default().split('&');
    let asked = parameters.filter_map(|p| p.split_once('=')).find(|(key, _)| *key == "consistent");
    match asked {
        None => Ok(false),
        Some((_, "true")) => Ok(true),
        Some((_, "false")) => Ok(false),
        Some((_, value)) => {
            let shown: String = value.chars().take(40).collect();
            Err(AdminError::invalid(format!("consistent is `{shown}`, expected true or false")))
        }
    }
}

fn put(headers: &mut HeaderMap, freshness: Freshness, is_consistent: bool) {
    headers.insert(APPLIED, freshness.applied_index.into());
    headers.insert(LED, word(freshness.is_led));
    if let Some(age) = freshness.age {
        let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        headers.insert(AGE, millis.into());
    }
    headers.insert(CONSISTENT, word(is_consistent));
}

fn word(value: bool) -> HeaderValue {
    HeaderValue::from_static(if value { "true" } else { "false" })
}
