//! Nodes as services: what systemd is told, what its units say, how a coordinator leaves.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::process::{Cluster, ClusterOptions, NodeProcess, binary, repository_file};

use crate::same_text::long_questions;

/// Stands in for systemd: hears what a node says, in order.
struct Manager {
    words: Receiver<String>,
    /// All so far.
    heard: Vec<String>,
}

impl Manager {
    /// Starts `node` anew as its service manager, with a watchdog of four seconds.
    fn restart(folder: &Path, node: &mut NodeProcess) -> Self {
        let path = folder.join(format!("{}.notify", node.name));
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let (heard, words) = sync_channel(4096);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(bytes) = socket.recv(&mut buffer) {
                let said = String::from_utf8_lossy(&buffer[..bytes]).into_owned();
                if heard.send(said).is_err() {
                    return;
                }
            }
        });
        node.kill();
        node.environment = vec![
            ("NOTIFY_SOCKET".to_owned(), path.display().to_string()),
            ("WATCHDOG_USEC".to_owned(), "4000000".to_owned()),
        ];
        node.restart();
        Self { words, heard: Vec::new() }
    }

    fn next(&mut self) -> String {
        let patience = Duration::from_secs(60);
        let word = self.words.recv_timeout(patience).expect("the node says something in time");
        self.heard.push(word.clone());
        word
    }

    /// Until something that it said holds `word`.
    fn until(&mut self, word: &str) {
        let begun = Instant::now();
        while !self.heard.iter().any(|heard| heard.contains(word)) {
            assert!(begun.elapsed() < Duration::from_secs(60), "no {word}: {:?}", self.heard);
            self.next();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_its_service_manager_when_it_serves_how_it_goes_on_and_that_it_stops() {
    let one = ClusterOptions { workers: 1, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&one).await;
    let folder = cluster.folder().to_owned();
    let mut coordinator = Manager::restart(&folder, &mut cluster.coordinators[0]);
    let first = tokio::task::block_in_place(|| coordinator.next());
    assert!(first.contains("READY=1"), "{first}");
    cluster.api(0).get("/health").await.expect("ready means that it serves");
    let mut worker = Manager::restart(&folder, &mut cluster.workers[0]);
    tokio::task::block_in_place(|| {
        assert!(worker.next().contains("READY=1"));
        for _ in 0..3 {
            assert!(worker.next().contains("WATCHDOG=1") && coordinator.next().contains("DOG=1"));
        }
        coordinator.until("1 of 1 workers ready");
        let said = &coordinator.heard;
        let ready = said.iter().filter(|word| word.contains("READY=1"));
        assert_eq!(ready.count(), 1, "said once: {said:?}");
    });
    for (node, mut manager) in
        [(&mut cluster.workers[0], worker), (&mut cluster.coordinators[0], coordinator)]
    {
        assert_eq!(node.terminate(Duration::from_secs(60)), Some(0), "{}", node.log());
        manager.until("STOPPING=1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_told_to_stop_finishes_its_streams_and_sends_others_away() {
    let mut cluster = Cluster::with_demo(&ClusterOptions::default(), 3).await;
    let (question, expected) = long_questions().swap_remove(0);
    let api = cluster.api(0).clone();
    let (seen, mut some) = tokio::sync::watch::channel(0_usize);
    let streaming = tokio::spawn(async move {
        let messages = json!([{ "role": "user", "content": question }]);
        let body = json!({ "model": "demo", "temperature": 0, "messages": messages });
        api.stream(body, |text| {
            seen.send_replace(text.len());
        })
        .await
    });
    some.wait_for(|length| *length > 0).await.expect("the stream runs");
    cluster.coordinators[0].ask_to_stop();
    let refused = cluster
        .until("a refusal", async || {
            cluster.api(0).ask("demo", "Hello", json!({ "max_tokens": 1 })).await.err()
        })
        .await;
    assert!(refused.status == 503 && refused.retry_after.is_some(), "{refused:?}");
    let answer = streaming.await.expect("no panic").expect("the stream ends in order");
    assert_eq!(answer.text.trim(), expected.trim());
    assert_eq!(cluster.coordinators[0].ended_within(Duration::from_secs(60)), Some(0));
}

/// Of `systemd-analyze security`: 0 is closed, 10 open. CUDA needs what the worker's adds.
const EXPOSURE_MAX: [(&str, f64); 2] = [("coordinator", 1.5), ("worker", 2.2)];

#[test]
fn the_units_are_valid_and_closed_as_far_as_can_be() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: systemd-analyze is not installed (Debian: apt install systemd)");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    for (role, exposure_max) in EXPOSURE_MAX {
        let name = format!("trireme-{role}.service");
        let unit = repository_file(&format!("deploy/systemd/{name}"));
        let unit = std::fs::read_to_string(unit).expect("a unit");
        let installed = unit.replace("/usr/bin/trireme", &binary().display().to_string());
        assert_ne!(unit, installed);
        let path = folder.path().join(&name);
        std::fs::write(&path, installed).expect("written");
        let analyze = |arguments: &[&str]| {
            let done = Command::new("systemd-analyze").args(arguments).arg(&path).output();
            let done = done.expect("it runs");
            let said = [done.stdout, done.stderr].concat();
            (done.status.success(), String::from_utf8_lossy(&said).into_owned())
        };
        let (good, said) = analyze(&["verify", "--man=no"]);
        assert!(good && said.trim().is_empty(), "{name}: {said}");
        let (_, said) = analyze(&["security", "--offline=yes", "--no-pager"]);
        let score = said.split("exposure level for").nth(1).and_then(|s| s.split(": ").nth(1));
        let score = score.and_then(|s| s.split_whitespace().next()?.parse::<f64>().ok());
        assert!(score.is_some_and(|score| score <= exposure_max), "{name}: {said}");
    }
}
