//! What the service manager (systemd) is told of a node: that it serves, how it stands, that it
//! makes progress, that it stops. Without `NOTIFY_SOCKET` nothing is told.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::error::CliError;

/// Between two words of a node that is not watched for its pings.
const PAUSE: Duration = Duration::from_secs(1);

/// `pulse` gets a line after each lap of the node's loops: no lap, no ping. A thread of its own, as
/// a manager that does not read must hold up nobody else.
pub(crate) fn tell(
    pulse: watch::Receiver<String>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Result<(), CliError> {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return Ok(());
    }
    let runtime = Handle::current();
    let telling = move || runtime.block_on(telling(pulse, stopped, notify));
    let started = std::thread::Builder::new().name("service".to_owned()).spawn(telling);
    started.map(drop).map_err(|error| CliError::internal(&error.to_string()))
}

async fn telling(
    mut pulse: watch::Receiver<String>,
    stopped: impl Future<Output = ()>,
    notify: impl Fn(&[NotifyState<'_>]),
) {
    let pause = sd_notify::watchdog_enabled().map_or(PAUSE, |limit| PAUSE.min(limit / 4));
    let mut said = None;
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            changed = pulse.changed() => if changed.is_err() { break },
        }
        let line = pulse.borrow_and_update().clone();
        let mut words = vec![NotifyState::Watchdog];
        if said.is_none() {
            words.push(NotifyState::Ready);
        }
        if said.as_ref() != Some(&line) {
            words.push(NotifyState::Status(&line));
        }
        notify(&words);
        said = Some(line);
        tokio::select! {
            () = &mut stopped => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    notify(&[NotifyState::Stopping, NotifyState::Status("draining: what runs may end")]);
}

fn notify(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::warn!(%error, "the service manager was not told");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn a_node_is_ready_with_its_first_lap_and_pings_only_while_laps_come() {
        let (pulse, laps) = watch::channel(String::new());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&told);
        let note = move |words: &[NotifyState<'_>]| {
            let words: Vec<_> = words.iter().map(ToString::to_string).collect();
            kept.lock().expect("whole").push(words.join(" "));
        };
        let telling = tokio::spawn(telling(laps, stopped, note));
        let so_far = || told.lock().expect("whole").clone();
        tokio::task::yield_now().await;
        assert!(so_far().is_empty(), "not ready before it serves");
        for lap in 1..=3 {
            pulse.send_replace("leader".to_owned());
            while so_far().len() < lap {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        tokio::time::sleep(2 * PAUSE).await;
        let silent = so_far();
        assert_eq!(silent, ["WATCHDOG=1 READY=1 STATUS=leader", "WATCHDOG=1", "WATCHDOG=1"]);
        drop(stop);
        telling.await.expect("no panic");
        assert!(so_far()[3].starts_with("STOPPING=1"));
    }
}
