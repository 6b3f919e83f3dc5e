//! The newest lines of a process's log, kept in memory for those who ask its node for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// More lines than this push out the oldest.
pub const LINES_MAX: usize = 2000;
/// Of a line's message and fields together; what is longer is cut.
pub const LINE_BYTES_MAX: usize = 4096;
/// Of one page: it travels beside heartbeats, which must not wait for it.
const PAGE_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// One more than that of the line before; higher again after the process starts anew.
    pub sequence: u64,
    /// When, RFC 3339 UTC.
    pub ts: String,
    /// `ERROR` to `TRACE`.
    pub level: String,
    pub message: String,
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}

/// Lines in order, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    pub lines: Vec<LogLine>,
    /// Lines between the one asked from and the first of these are not kept any more.
    pub gap: bool,
}

/// A handle on the one ring of a process.
#[derive(Clone, Debug)]
pub struct LogRing(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    /// Of the line that comes next.
    sequence: u64,
    lines: VecDeque<LogLine>,
}

impl Default for LogRing {
    /// Numbers from the clock's milliseconds: who follows a process sees those of the next one as
    /// newer.
    fn default() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::starting_at(now.as_millis() as u64)
    }
}

impl LogRing {
    pub fn starting_at(sequence: u64) -> Self {
        Self(Arc::new(Mutex::new(Kept { sequence, lines: VecDeque::new() })))
    }

    /// Gives the line its number, and cuts what is too long of it.
    pub fn push(&self, line: LogLine) {
        let line = bounded(line);
        let mut kept = self.lock();
        let sequence = kept.sequence;
        kept.sequence += 1;
        if kept.lines.len() >= LINES_MAX {
            kept.lines.pop_front();
        }
        kept.lines.push_back(LogLine { sequence, ..line });
    }

    /// Up to `max` lines: the first after a number, or the newest where none is given.
    pub fn after(&self, sequence: Option<u64>, max: usize) -> LogPage {
        let kept = self.lock();
        let Some(after) = sequence else {
            let mut lines = page(kept.lines.iter().rev(), max);
            lines.reverse();
            return LogPage { lines, gap: false };
        };
        let first = kept.lines.front().map_or(kept.sequence, |line| line.sequence);
        // A number that is still to come is of a process before, whose clock was ahead.
        let known = after < kept.sequence && first <= after.saturating_add(1);
        let skipped = if known { (after + 1 - first) as usize } else { 0 };
        let lines = page(kept.lines.iter().skip(skipped), max);
        LogPage { gap: !known && !lines.is_empty(), lines }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn page<'a>(lines: impl Iterator<Item = &'a LogLine>, max: usize) -> Vec<LogLine> {
    let mut left = PAGE_BYTES_MAX;
    let fits = |line: &&LogLine| {
        let bytes = line.message.len()
            + line.fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    };
    lines.take(max).take_while(fits).cloned().collect()
}

fn bounded(line: LogLine) -> LogLine {
    let mut left = LINE_BYTES_MAX;
    let message = cut(line.message, &mut left);
    let mut fields = BTreeMap::new();
    for (name, value) in line.fields {
        if left <= name.len() {
            break;
        }
        left -= name.len();
        fields.insert(name, cut(value, &mut left));
    }
    LogLine { message, fields, ..line }
}

fn cut(mut text: String, left: &mut usize) -> String {
    if text.len() > *left {
        text.truncate(text.floor_char_boundary(*left));
        text.push('…');
        text.shrink_to_fit();
    }
    *left = left.saturating_sub(text.len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str) -> LogLine {
        LogLine { message: message.to_owned(), ..LogLine::default() }
    }

    fn ring(lines: usize) -> LogRing {
        let ring = LogRing::starting_at(100);
        (0..lines).for_each(|number| ring.push(line(&number.to_string())));
        ring
    }

    fn sequences(page: &LogPage) -> Vec<u64> {
        page.lines.iter().map(|line| line.sequence).collect()
    }

    #[test]
    fn the_newest_lines_come_in_order_and_the_next_ones_after_them() {
        let ring = ring(5);
        assert_eq!(sequences(&ring.after(None, 2)), [103, 104]);
        assert_eq!(sequences(&ring.after(Some(101), 2)), [102, 103]);
        assert_eq!(ring.after(Some(104), 9), LogPage::default());
        ring.push(line("later"));
        let next = ring.after(Some(104), 9);
        assert_eq!((sequences(&next), next.gap), (vec![105], false));
        assert_eq!(next.lines[0].message, "later");
    }

    #[test]
    fn a_follower_that_fell_behind_or_outlived_the_process_hears_of_the_gap() {
        let ring = ring(LINES_MAX + 10);
        let oldest = 110;
        let behind = ring.after(Some(oldest - 2), 1);
        assert_eq!((sequences(&behind), behind.gap), (vec![oldest], true));
        let just = ring.after(Some(oldest - 1), 1);
        assert_eq!((sequences(&just), just.gap), (vec![oldest], false));
        let of_before = ring.after(Some(1 << 60), 1);
        assert_eq!((sequences(&of_before), of_before.gap), (vec![oldest], true));
        assert_eq!(LogRing::starting_at(7).after(Some(3), 9), LogPage::default());
    }

    #[test]
    fn a_long_line_is_cut_at_a_character_and_a_page_at_its_limit() {
        let ring = LogRing::starting_at(1);
        let fields = BTreeMap::from([("reason".to_owned(), "ä".repeat(LINE_BYTES_MAX))]);
        ring.push(LogLine { fields, ..line("short") });
        let kept = ring.after(None, 1).lines.remove(0);
        let reason = &kept.fields["reason"];
        assert!(reason.len() <= LINE_BYTES_MAX && reason.ends_with("ä…"), "{}", reason.len());
        (0..LINES_MAX).for_each(|_| ring.push(line(&"x".repeat(2 * LINE_BYTES_MAX))));
        for page in [ring.after(None, LINES_MAX), ring.after(Some(2), usize::MAX)] {
            let bytes: usize = page.lines.iter().map(|line| line.message.len()).sum();
            assert!(bytes <= PAGE_BYTES_MAX && page.lines.len() > 200, "{bytes}");
        }
        assert_eq!(ring.after(None, LINES_MAX).lines.last().map(|l| l.sequence), Some(2001));
    }
}
