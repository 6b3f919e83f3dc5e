//! `trireme up`: a whole cluster under one command, also when one of its nodes is killed.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::process::{Api, binary, free_port};

const PATIENCE: Duration = Duration::from_secs(60);

struct Up {
    child: Child,
    api: Api,
    folder: tempfile::TempDir,
}

impl Up {
    async fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port().to_string();
        let log = std::fs::File::create(folder.path().join("up.log")).expect("a log");
        let child = Command::new(binary())
            .args(["up", "--port", &port, "--data-dir"])
            .arg(folder.path())
            .args(arguments)
            .env("XDG_CONFIG_HOME", folder.path())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let up = Self { child, api: Api::new(format!("http://127.0.0.1:{port}")), folder };
        up.until(async || up.log().contains("The endpoint stays up")).await;
        up
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("up.log")).unwrap_or_default()
    }

    async fn ready(&self, role: &str) -> usize {
        let list = self.api.get("/admin/v1/nodes").await.unwrap_or_default();
        let of_role = |n: &&Value| n["roles"][0] == role && n["state"] == "ready";
        list["items"].as_array().map_or(0, |items| items.iter().filter(of_role).count())
    }

    async fn until(&self, holds: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            assert!(Instant::now() < deadline, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// `kill -9` of the node that keeps its data in `name`.
    fn kill(&self, name: &str) {
        let data_dir = self.folder.path().join(name);
        let pid = pid_with_argument(&data_dir).expect("a node of this name runs");
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
        assert!(killed.expect("kill").success());
    }
}

impl Drop for Up {
    /// Its nodes end with it: their standard input is its pipe.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid_with_argument(argument: &Path) -> Option<u32> {
    let argument = argument.to_str()?.as_bytes();
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        line.split(|byte| *byte == 0).any(|a| a == argument).then_some(pid)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_is_started_again_and_answers_never_stop() {
    let up = Up::start(&["--nodes", "3", "--coordinators", "3"]).await;
    up.until(async || up.ready("coordinator").await == 3).await;
    let before = up.api.ask("demo", "Hello", json!({})).await.expect("an answer");
    // Not younger than what `up` takes for a node that cannot start.
    tokio::time::sleep(Duration::from_secs(5)).await;
    up.kill("n2");
    let after = up.api.ask("demo", "Hello", json!({})).await.expect("an answer");
    assert_eq!(after.text, before.text);
    up.until(async || up.log().contains("node n2 ended by itself")).await;
    up.until(async || up.ready("worker").await == 3).await;
}

#[test]
fn a_model_that_fits_nowhere_is_refused_with_what_would_help() {
    let port = free_port().to_string();
    let arguments = ["up", "--once", "--nodes", "2", "--stages", "5", "--port", &port];
    let output = Command::new(binary()).args(arguments).output().expect("the binary starts");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(7), "{error}");
    assert!(error.contains("5 stages") && error.contains("--nodes"), "{error}");
}
