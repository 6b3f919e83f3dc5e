//! One subscriber: what he missed, what is, what comes; nothing that is not about his subject.

use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use protocol::admin::EventView;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::log::Subscription;
use crate::raft::wall_clock;

/// What a subscriber asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// The last index that he knows; without one, only what is now and what comes.
    pub(crate) from: Option<u64>,
    pub(crate) subject: Option<String>,
    /// Until he goes, instead of until all that is known was told.
    pub(crate) follow: bool,
}

/// `current` says how things are now, for who does not know it from the events before.
pub(crate) fn stream(
    subscription: Subscription,
    wanted: Wanted,
    current: Vec<EventView>,
) -> impl Stream<Item = Arc<EventView>> {
    let Subscription { missed, kept, live } = subscription;
    let Wanted { from, subject, follow } = wanted;
    let needs_current = from.is_none() || missed.is_some() || !follow;
    let mut first: Vec<_> = missed.map(missing).into_iter().map(Arc::new).collect();
    first.extend(kept);
    first.extend(current.into_iter().filter(|_| needs_current).map(Arc::new));
    let live = follow.then_some(live);
    let live = stream::unfold(live, async |live| next(live?).await);
    let about = move |event: &Arc<EventView>| {
        let wanted = event.kind == "gap" || subject.as_ref().is_none_or(|s| *s == event.subject);
        std::future::ready(wanted)
    };
    stream::iter(first).chain(live).filter(about)
}

type Live = Receiver<Arc<EventView>>;

async fn next(mut live: Live) -> Option<(Arc<EventView>, Option<Live>)> {
    match live.recv().await {
        Ok(event) => Some((event, Some(live))),
        Err(RecvError::Lagged(count)) => {
            let text = format!("{count} events were not sent: this reader was too slow");
            Some((Arc::new(gap(text)), Some(live)))
        }
        Err(RecvError::Closed) => None,
    }
}

fn missing((asked, kept): (u64, u64)) -> EventView {
    gap(format!("changes {} to {kept} are not kept here any more", asked + 1))
}

fn gap(text: String) -> EventView {
    EventView {
        at: wall_clock().to_string(),
        kind: "gap".to_owned(),
        text,
        next: "what follows goes on from the present state".to_owned(),
        soft: true,
        ..EventView::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::EventLog;
    use super::*;

    fn event(index: u64, subject: &str) -> EventView {
        EventView { index: Some(index), subject: subject.into(), ..EventView::default() }
    }

    fn now() -> Vec<EventView> {
        vec![EventView { text: "as it is".into(), subject: "a".into(), ..EventView::default() }]
    }

    async fn all(events: &EventLog, wanted: Wanted) -> Vec<(Option<u64>, String)> {
        let told = stream(events.subscribe(wanted.from), wanted, now());
        told.map(|e| (e.index, if e.kind.is_empty() { e.text.clone() } else { e.kind.clone() }))
            .collect()
            .await
    }

    #[tokio::test]
    async fn a_reader_gets_his_subject_and_how_it_is_now() {
        let events = EventLog::default();
        events.record(1, Some(event(1, "a")));
        events.record(2, Some(event(2, "b")));
        let wanted = Wanted { from: Some(0), subject: Some("a".into()), follow: false };
        let told = all(&events, wanted).await;
        assert_eq!(told, [(Some(1), String::new()), (None, "as it is".into())]);
    }

    #[tokio::test]
    async fn who_asks_for_what_is_gone_hears_of_the_gap_first() {
        let events = EventLog::default();
        events.record(7, Some(event(7, "a")));
        let wanted = Wanted { from: Some(2), subject: None, follow: false };
        let told = all(&events, wanted).await;
        assert_eq!(told[0].1, "gap");
        assert_eq!(told[1].0, Some(7));
    }

    #[tokio::test]
    async fn who_is_too_slow_hears_of_the_gap_and_goes_on() {
        let events = EventLog::default();
        let wanted = Wanted { from: Some(0), subject: None, follow: true };
        let mut told = Box::pin(stream(events.subscribe(Some(0)), wanted, Vec::new()));
        (1..=2000).for_each(|index| events.record(index, Some(event(index, "a"))));
        let first = told.next().await.expect("an event");
        assert!(first.kind == "gap" && first.text.contains("too slow"), "{first:?}");
        assert!(told.next().await.expect("the rest").index > Some(1000));
    }
}
