//! The layer of the log that keeps its newest lines for whoever asks this node for them.

use std::fmt::{self, Write};

use protocol::log_ring::{LogLine, LogRing};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer};

pub(crate) struct KeptLog(pub(crate) LogRing);

impl<S: Subscriber> Layer<S> for KeptLog {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = event.metadata().level().to_string();
        let mut kept = Kept(LogLine { level, ..LogLine::default() });
        // Writing to a string does not fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut kept.0.ts));
        event.record(&mut kept);
        self.0.push(kept.0);
    }
}

struct Kept(LogLine);

impl Visit for Kept {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => {
                let _ = write!(self.0.message, "{value:?}");
            }
            // Where a line of the `log` crate comes from.
            name if name.starts_with("log.") => {}
            name => drop(self.0.fields.insert(name.to_owned(), format!("{value:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_line_keeps_its_level_message_and_fields() {
        let ring = LogRing::starting_at(1);
        let subscriber = tracing_subscriber::registry().with(KeptLog(ring.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(node = "b2", count = 3, "it is {}", "lost");
        });
        let line = ring.after(None, 1).lines.remove(0);
        assert_eq!((line.level.as_str(), line.message.as_str()), ("WARN", "it is lost"));
        assert!(line.ts.ends_with('Z') && line.ts.starts_with("20"), "{}", line.ts);
        let fields: Vec<_> = line.fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(fields, ["count=3", "node=b2"]);
    }
}
