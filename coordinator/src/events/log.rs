//! The last events from the log, and a queue per subscriber that never grows beyond its bound.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::admin::EventView;
use tokio::sync::broadcast;

/// Events from the log that can be asked for again.
const KEPT_MAX: usize = 4096;
/// Events that wait for one slow subscriber.
const WAITING_MAX: usize = 512;

pub(crate) struct EventLog {
    kept: Mutex<Kept>,
    live: broadcast::Sender<Arc<EventView>>,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<Arc<EventView>>,
    /// All changes behind this index are in `events`, or changed nothing worth telling.
    complete_after: Option<u64>,
}

/// What a subscriber gets first, and where the rest comes from.
pub(crate) struct Subscription {
    /// Indices that he asked for and that are not kept any more: (asked after, kept after).
    pub(crate) missed: Option<(u64, u64)>,
    pub(crate) kept: Vec<Arc<EventView>>,
    pub(crate) live: broadcast::Receiver<Arc<EventView>>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { kept: Mutex::default(), live: broadcast::channel(WAITING_MAX).0 }
    }
}

impl EventLog {
    /// Notes the entry at `index`, and what is to be told of it, if anything.
    pub(crate) fn record(&self, index: u64, event: Option<EventView>) {
        let mut kept = self.kept();
        kept.complete_after.get_or_insert(index.saturating_sub(1));
        let Some(event) = event.map(Arc::new) else { return };
        // Applied a second time, after a new start of the state machine.
        if kept.events.back().is_some_and(|last| last.index >= Some(index)) {
            return;
        }
        kept.events.push_back(Arc::clone(&event));
        if kept.events.len() > KEPT_MAX {
            kept.complete_after = kept.events.pop_front().and_then(|event| event.index);
        }
        // Under the lock, so that a subscriber gets each event once. Nobody may listen.
        let _ = self.live.send(event);
    }

    /// The state jumped to `index` by a snapshot: what lay between is not known here.
    pub(crate) fn jumped(&self, index: u64) {
        let mut kept = self.kept();
        kept.events.clear();
        kept.complete_after = Some(index);
    }

    pub(crate) fn tell(&self, soft: EventView) {
        let _ = self.live.send(Arc::new(soft));
    }

    /// The events after `from`, and all that come.
    pub(crate) fn subscribe(&self, from: Option<u64>) -> Subscription {
        let kept = self.kept();
        let live = self.live.subscribe();
        let Some(from) = from else {
            return Subscription { missed: None, kept: Vec::new(), live };
        };
        let complete = kept.complete_after.unwrap_or(0);
        let missed = (from < complete).then_some((from, complete));
        let after = |event: &&Arc<EventView>| event.index.is_some_and(|index| index > from);
        let events = kept.events.iter().filter(after).cloned().collect();
        Subscription { missed, kept: events, live }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(index: u64) -> EventView {
        EventView { index: Some(index), ..EventView::default() }
    }

    fn indices(subscription: &Subscription) -> Vec<u64> {
        subscription.kept.iter().filter_map(|e| e.index).collect()
    }

    #[test]
    fn who_comes_back_gets_what_is_behind_his_index_and_each_event_once() {
        let log = EventLog::default();
        (1..=5).for_each(|index| log.record(index, Some(event(index))));
        let mut subscription = log.subscribe(Some(3));
        assert_eq!((indices(&subscription), subscription.missed), (vec![4, 5], None));
        log.record(6, Some(event(6)));
        assert_eq!(subscription.live.try_recv().expect("live").index, Some(6));
        assert!(subscription.live.try_recv().is_err());
    }

    #[test]
    fn what_is_kept_is_bounded_and_who_asks_for_older_ones_is_told() {
        let log = EventLog::default();
        let last = KEPT_MAX as u64 + 10;
        (1..=last).for_each(|index| log.record(index, Some(event(index))));
        let subscription = log.subscribe(Some(4));
        assert_eq!(subscription.missed, Some((4, 10)));
        assert_eq!(subscription.kept.len(), KEPT_MAX);
        assert_eq!(log.subscribe(Some(10)).missed, None);
    }

    #[test]
    fn after_a_restart_or_a_snapshot_the_beginning_is_missing() {
        let log = EventLog::default();
        log.record(100, Some(event(100)));
        assert_eq!(log.subscribe(Some(0)).missed, Some((0, 99)));
        log.jumped(200);
        let subscription = log.subscribe(Some(100));
        assert_eq!((indices(&subscription), subscription.missed), (vec![], Some((100, 200))));
    }

    #[test]
    fn a_slow_subscriber_costs_no_memory() {
        let log = EventLog::default();
        let mut slow = log.subscribe(None).live;
        (1..=2 * WAITING_MAX as u64).for_each(|index| log.record(index, Some(event(index))));
        let lagged = slow.try_recv().expect_err("it fell behind");
        assert_eq!(lagged, broadcast::error::TryRecvError::Lagged(WAITING_MAX as u64));
    }
}
