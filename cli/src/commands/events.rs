//! `trireme cluster events` and `trireme model events`: what happened, and what happens.

use futures::StreamExt;
use protocol::admin::EventView;

use crate::args::Format;
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::output::Output;

pub(crate) async fn show(
    client: &Client,
    output: &Output,
    from: Option<u64>,
    subject: Option<&str>,
    follow: bool,
) -> Result<(), CliError> {
    let from = from.map(|index| format!("&from={index}")).unwrap_or_default();
    let subject = subject.map(|name| format!("&subject={}", escaped(name))).unwrap_or_default();
    let path = format!("/admin/v1/events?follow={follow}{from}{subject}");
    let mut bytes = client.watch(&path).await?.bytes_stream();
    let (mut rest, mut last) = (Vec::new(), None);
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(|e| broken(&e.to_string(), last))?;
        rest.extend_from_slice(&piece);
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") {
            let frame: Vec<u8> = rest.drain(..end + 2).collect();
            if let Some(event) = event_of(&String::from_utf8_lossy(&frame)) {
                last = event.index.or(last);
                print(&event, output)?;
            }
        }
    }
    if follow { Err(broken("the coordinator closed it", last)) } else { Ok(()) }
}

fn event_of(frame: &str) -> Option<EventView> {
    let data = frame.lines().find_map(|line| line.strip_prefix("data: "))?;
    serde_json::from_str(data).ok()
}

fn print(event: &EventView, output: &Output) -> Result<(), CliError> {
    if output.format == Format::Name {
        output.text(&event.subject);
        return Ok(());
    }
    if !output.for_people() {
        return output.describe("Event", event);
    }
    let EventView { index, at, kind, subject, text, next, .. } = event;
    let index = index.map_or_else(|| "-".to_owned(), |index| index.to_string());
    let next = if next.is_empty() { String::new() } else { format!("  (next: {next})") };
    let wide = output.format == Format::Wide && event.soft && !event.seen_by.is_empty();
    let by = match (wide, event.leads) {
        (false, _) => String::new(),
        (true, true) => format!("  [seen by {}, which leads]", event.seen_by),
        (true, false) => format!("  [seen by {}]", event.seen_by),
    };
    output.text(&format!("{at}  {index:>6}  {kind:<10}  {subject}  {text}{next}{by}"));
    Ok(())
}

fn broken(why: &str, last: Option<u64>) -> CliError {
    let next = match last {
        Some(index) => format!("go on with: trireme cluster events --from {index}"),
        None => "run it again".to_owned(),
    };
    CliError::new(Exit::Unreachable, "the stream of events ended", why, next)
}

/// Names have letters, digits and `._-:/`; anything else is sent as bytes.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-:/".contains(byte);
    text.bytes()
        .map(
            |byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alives_are_no_events_and_names_travel_safely() {
        assert_eq!(event_of(": keep-alive\n\n"), None);
        let frame = "event: node\nid: 7\ndata: {\"index\":7,\"at\":\"t\",\"topic\":\"node\",\
                     \"subject\":\"b2\",\"text\":\"lost\"}\n\n";
        let event = event_of(frame).expect("an event");
        assert_eq!((event.index, event.subject.as_str()), (Some(7), "b2"));
        assert_eq!(escaped("a/b c"), "a/b%20c");
    }
}
