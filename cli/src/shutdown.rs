//! When a node shall stop: a signal, or the end of standard input where the parent asked for it.

use std::io::Read;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::error::CliError;

/// Turns true once, at the first reason to stop.
pub(crate) fn watch_for(stop_with_stdin: bool) -> Result<watch::Receiver<bool>, CliError> {
    let (stop, stopped) = watch::channel(false);
    let failed = |e: std::io::Error| CliError::internal(&e.to_string());
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).map_err(failed)?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.send_replace(true);
        });
    }
    if stop_with_stdin {
        // A plain thread: a blocked read must not hold up the runtime's end.
        std::thread::spawn(move || {
            let mut stdin = std::io::stdin().lock();
            let mut piece = [0; 64];
            while stdin.read(&mut piece).is_ok_and(|bytes| bytes > 0) {}
            stop.send_replace(true);
        });
    }
    Ok(stopped)
}
