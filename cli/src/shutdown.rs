//! When a node shall stop: a signal, or the end of standard input where the parent asked for it.

use std::io::Read;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use worker::Stopping;

use crate::error::CliError;

/// For a worker: the first signal lets others take over, the second ends it at once; the end of
/// standard input means that the whole cluster of this machine stops.
pub(crate) fn watch_for_worker(
    stop_with_stdin: bool,
) -> Result<watch::Receiver<Stopping>, CliError> {
    let (stop, stopped) = watch::channel(Stopping::No);
    let tell = |stop: &watch::Sender<Stopping>, more: Stopping| {
        stop.send_if_modified(|told| {
            let raised = (*told).max(more);
            std::mem::replace(told, raised) != raised
        });
    };
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).map_err(|e| CliError::internal(&e.to_string()))?;
        let stop = stop.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let again = *stop.borrow() != Stopping::No;
                tell(&stop, if again { Stopping::Now } else { Stopping::Leave });
            }
        });
    }
    if stop_with_stdin {
        watch_stdin(move || tell(&stop, Stopping::Drain));
    }
    Ok(stopped)
}

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
        watch_stdin(move || {
            stop.send_replace(true);
        });
    }
    Ok(stopped)
}

/// On a plain thread: a blocked read must not hold up the runtime's end.
fn watch_stdin(ended: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut piece = [0; 64];
        while stdin.read(&mut piece).is_ok_and(|bytes| bytes > 0) {}
        ended();
    });
}
