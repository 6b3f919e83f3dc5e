//! What depends on whether a person watches: colours, bars, logging.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use protocol::log_ring::LogRing;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::args::{Cli, Command};
use crate::kept_log::KeptLog;

/// How often progress is said where no bar can be drawn.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Progress of one long thing: a bar on a terminal, else a line every ten seconds.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    said: Instant,
    quiet: bool,
    label: String,
}

impl Progress {
    pub(crate) fn new(label: &str, quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{prefix} {bar:30} {percent:>3} % {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style).with_prefix(label.to_owned())
        });
        Self { bar, said: Instant::now(), quiet, label: label.to_owned() }
    }

    pub(crate) fn update(&mut self, done: u64, total: u64, note: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(total.max(1));
            bar.set_position(done);
            bar.set_message(note.to_owned());
        } else if !self.quiet && self.said.elapsed() >= LINE_INTERVAL {
            self.said = Instant::now();
            note_line(&format!("{} {done}/{total} {note}", self.label));
        }
    }

    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A line for people, on standard error.
#[allow(clippy::print_stderr, reason = "this is where notes are written")]
pub(crate) fn note_line(text: &str) {
    eprintln!("{text}");
}

/// Logs go to standard error: one line each for people, JSON where nobody watches. The newest lines
/// are kept beside. Prompts have colours where logs have them.
pub(crate) fn start_logging(cli: &Cli) -> LogRing {
    let service = matches!(cli.command, Command::Coordinator(_) | Command::Worker(_));
    let default = if service { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("TRIREME_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colours = !cli.global.no_color && colours_wanted();
    if !colours {
        inquire::set_global_render_config(inquire::ui::RenderConfig::empty());
    }
    let written = fmt::layer().with_writer(std::io::stderr);
    let written = match std::io::stderr().is_terminal() {
        true => written.with_ansi(colours).boxed(),
        false => written.json().flatten_event(true).boxed(),
    };
    let log = LogRing::default();
    tracing_subscriber::registry().with(filter).with(written).with(KeptLog(log.clone())).init();
    log
}

/// <https://no-color.org>, and terminals that cannot.
pub(crate) fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}
