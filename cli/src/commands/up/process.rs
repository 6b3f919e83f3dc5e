//! A node as a child process that ends with its parent.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, ChildStdin, Command};

use crate::error::{CliError, Exit};

/// A child may take this long to drain and stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A node that ran for less is not started again.
const STEADY: Duration = Duration::from_secs(5);
/// Before a node is started again: long enough for the others to notice, like a reboot.
const PAUSE: Duration = Duration::from_secs(2);

/// One running node.
///
/// The child stops when its standard input ends (`--stop-with-stdin`), which the kernel does even
/// when this process is killed; it has a process group of its own, so that Ctrl-C reaches it only
/// through us.
pub(crate) struct NodeProcess {
    pub name: String,
    child: Child,
    /// Kept apart: waiting for a child closes the input that it still has.
    stdin: Option<ChildStdin>,
    arguments: Vec<String>,
    log: PathBuf,
    started: Instant,
}

impl NodeProcess {
    pub(crate) fn start(
        name: &str,
        arguments: Vec<String>,
        folder: &Path,
    ) -> Result<Self, CliError> {
        let log = folder.join(format!("{name}.log"));
        let (child, stdin) = spawn(&arguments, &log)?;
        let (name, started) = (name.to_owned(), Instant::now());
        Ok(Self { name, child, stdin, arguments, log, started })
    }

    /// Starts the node anew once it has ended; one that keeps ending is an error.
    pub(crate) async fn start_again(&mut self, ended: CliError) -> Result<(), CliError> {
        if self.started.elapsed() < STEADY {
            return Err(ended);
        }
        tokio::time::sleep(PAUSE).await;
        (self.child, self.stdin) = spawn(&self.arguments, &self.log)?;
        self.started = Instant::now();
        Ok(())
    }

    /// Returns when the process has ended by itself, with what it last logged.
    pub(crate) async fn ended(&mut self) -> CliError {
        let status = self.child.wait().await.map_or_else(|e| e.to_string(), |s| s.to_string());
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let what = format!("node {} ended by itself ({status})", self.name);
        CliError::new(Exit::Failed, what, why(&text), format!("see {}", self.log.display()))
    }

    /// Asks the node to stop by ending its standard input.
    pub(crate) fn ask_to_stop(&mut self) {
        drop(self.stdin.take());
    }

    pub(crate) async fn stop(&mut self) {
        self.ask_to_stop();
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            // Already gone is as good as killed.
            let _ = self.child.kill().await;
        }
    }
}

/// The reason of the error that a node ended with, else its last line.
fn why(log: &str) -> String {
    let last = || log.lines().last().map(str::trim);
    let told = log.lines().rev().find_map(|line| line.trim().strip_prefix("why: "));
    told.or_else(last).unwrap_or("nothing was logged").to_owned()
}

fn spawn(arguments: &[String], log: &Path) -> Result<(Child, Option<ChildStdin>), CliError> {
    let failed = |what: &str, e: std::io::Error| {
        CliError::new(Exit::Failed, format!("cannot {what}"), e.to_string(), "")
    };
    let file = OpenOptions::new().create(true).append(true).open(log);
    let file = file.map_err(|e| failed("write a log", e))?;
    let program = std::env::current_exe().map_err(|e| failed("find this program", e))?;
    let mut child = Command::new(program)
        .args(arguments)
        .arg("--stop-with-stdin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(file)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed("start a node", e))?;
    let stdin = child.stdin.take();
    Ok((child, stdin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_ends_is_told_with_the_reason_it_gave() {
        let error =
            "error: the worker stopped\n  why: no device cuda:0\n next: see the log above\n";
        assert_eq!(why(&format!("started\n{error}")), "no device cuda:0");
        assert_eq!(why("started\nKilled\n"), "Killed");
        assert_eq!(why(""), "nothing was logged");
    }
}
