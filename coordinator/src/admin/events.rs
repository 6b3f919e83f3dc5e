//! `GET /admin/v1/events`: what happened and what happens, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt};
use protocol::admin::EventView;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::error::{AdminError, Failures};
use crate::events::{self, Wanted};

const KEEP_ALIVE: Duration = Duration::from_secs(10);

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(follow))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventQuery {
    /// Only what comes after this log index; `Last-Event-ID` goes before it.
    from: Option<u64>,
    /// Only what is about this node, model, key or operation.
    subject: Option<String>,
    /// False: end once all that is known was sent.
    follow: Option<bool>,
}

/// What happens, as server-sent events; resumable by log index.
#[utoipa::path(
    get, path = "/admin/v1/events", tag = "events",
    params(
        ("from" = Option<u64>, Query, description = "Only what comes after this log index."),
        ("subject" = Option<String>, Query, description = "Only what is about this thing."),
        ("follow" = Option<bool>, Query, description = "False: end once all known was sent."),
    ),
    responses(
        (status = 200, description = "One event each.", content_type = "text/event-stream",
         body = EventView),
        Failures
    ),
)]
pub(super) async fn follow(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<EventQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, AdminError> {
    let last = match headers.get("last-event-id") {
        None => None,
        Some(id) => {
            let index = id.to_str().ok().and_then(|id| id.parse().ok());
            let shown = String::from_utf8_lossy(id.as_bytes()).into_owned();
            let bad = || AdminError::invalid(format!("Last-Event-ID `{shown}` is no log index"));
            Some(index.ok_or_else(bad)?)
        }
    };
    let EventQuery { from, subject, follow } = query;
    let wanted = Wanted { from: last.or(from), subject, follow: follow.unwrap_or(true) };
    // First the queue, then how things are: nothing falls between the two.
    let subscription = admin.consensus.events().subscribe(wanted.from);
    let current = events::current(&admin.consensus, &admin.live());
    let told = events::stream(subscription, wanted, current);
    Ok(Sse::new(told.map(|event| Ok(sent(&event))))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive")))
}

fn sent(event: &EventView) -> Event {
    let frame = Event::default().event(&event.kind);
    let frame = match event.index {
        Some(index) => frame.id(index.to_string()),
        None => frame,
    };
    // An event is text and numbers: it always has a JSON form.
    frame.json_data(event).unwrap_or_default()
}
