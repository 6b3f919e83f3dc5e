//! Nodes are asked about themselves: for their log, and to look at their machine anew.

use std::fs::File;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use protocol::control::{Heartbeat, Registration, Role, WorkerMessage};
use protocol::identity::IdentityStore;
use protocol::node_profile::NodeProfile;
use protocol::rpc::Envelope;
use protocol::rpc::control_client::ControlClient;
use protocol::transport::tls::GRPC_ALPN;
use protocol::transport::{GrpcTarget, NodeTls};
use serde_json::Value;
use tests::process::{Cluster, ClusterOptions, binary};
use tokio::sync::mpsc;
use worker::join::{JoinOptions, join};

fn run(cluster: &Cluster, arguments: &[&str], code: i32) -> Output {
    let output = tokio::task::block_in_place(|| cluster.cli(arguments));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}\n{}", text(&output));
    output
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_shows_the_end_of_its_log_through_any_coordinator() {
    let options = ClusterOptions { coordinators: 2, workers: 1, ..ClusterOptions::default() };
    let cluster = Cluster::start(&options).await;
    let started = text(&run(&cluster, &["node", "logs", "n1"], 0));
    assert!(started.contains("INFO worker started"), "{started}");
    assert!(started.contains(&cluster.worker_address(0)), "{started}");
    for (index, name) in ["c1", "c2"].iter().enumerate() {
        let log = text(&run(&cluster, &["node", "logs", name, "--last", "2000"], 0));
        let own = format!("serving the API address={}", cluster.api_address(index));
        assert!(log.contains(&own), "{name}: {log}");
    }

    assert_eq!(text(&run(&cluster, &["node", "logs", "n1", "--last", "2"], 0)).lines().count(), 2);
    for wrong in ["0", "2001"] {
        let refused = said(&run(&cluster, &["node", "logs", "n1", "--last", wrong], 2));
        assert!(refused.contains("1 to 2000"), "{refused}");
    }
    run(&cluster, &["node", "logs", "nobody"], 3);

    let json = run(&cluster, &["node", "logs", "n1", "-o", "json"], 0);
    let log: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((&log["kind"], &log["gap"]), (&"NodeLog".into(), &false.into()));
    let lines = log["lines"].as_array().expect("lines");
    let sequences: Vec<_> = lines.iter().filter_map(|line| line["sequence"].as_u64()).collect();
    let path = format!("/admin/v1/nodes/n1/logs?after={}&last=1", sequences[0]);
    let next = cluster.api(0).get(&path).await.expect("a log");
    assert_eq!(next["lines"][0]["sequence"], sequences[1], "{next:#}");
    assert_eq!((next["lines"].as_array().map(Vec::len), &next["gap"]), (Some(1), &false.into()));
}

/// Ends with the test.
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_a_log_sees_the_node_start_anew() {
    let options = ClusterOptions { workers: 1, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options).await;
    let path = cluster.folder().join("followed");
    let _following = Following(
        Command::new(binary())
            .args(["node", "logs", "n1", "--follow"])
            .env("TRIREME_API", cluster.api(0).base())
            .env("XDG_CONFIG_HOME", cluster.folder())
            .stdin(Stdio::null())
            .stdout(File::create(&path).expect("a file"))
            .stderr(Stdio::null())
            .spawn()
            .expect("starts"),
    );
    let starts = || {
        let followed = std::fs::read_to_string(&path).unwrap_or_default();
        followed.matches("worker started").count()
    };
    cluster.until("its start in the log", async || (starts() == 1).then_some(())).await;
    cluster.workers[0].kill();
    cluster.workers[0].restart();
    cluster.until("its second start", async || (starts() == 2).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_looks_at_its_machine_when_it_is_asked_to() {
    let options = ClusterOptions { workers: 1, ..ClusterOptions::default() };
    let mut cluster = Cluster::with_demo(&options, 1).await;
    let found = text(&run(&cluster, &["node", "exec-check", "n1"], 0));
    for part in [" n1: ", "a safe small write", "a thread copies", "PASS time.skew", " 0 fail"] {
        assert!(found.contains(part), "`{part}` in\n{found}");
    }
    assert!(!found.contains("workers:") && !found.contains("cluster.redundancy"), "{found}");
    let json = run(&cluster, &["node", "exec-check", "n1", "-o", "json"], 0);
    let report: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((&report["kind"], &report["failed"]), (&"DoctorReport".into(), &0.into()));
    let folder = cluster.folder().join("n1");
    let left = std::fs::read_dir(folder).expect("readable").filter_map(Result::ok);
    assert!(left.into_iter().all(|file| file.file_name() != ".doctor-speed"));

    let refused = said(&run(&cluster, &["node", "exec-check", "c1"], 6));
    assert!(refused.contains("trireme doctor"), "{refused}");
    run(&cluster, &["node", "exec-check", "nobody"], 3);
    cluster.workers[0].kill();
    cluster
        .until("the end of its stream", async || {
            let output = tokio::task::block_in_place(|| cluster.cli(&["node", "logs", "n1"]));
            let refused = output.status.code() == Some(6) && said(&output).contains("not attached");
            refused.then_some(())
        })
        .await;
}

/// What its data plane is does not matter here.
fn registration(name: &str) -> Registration {
    let profile = NodeProfile {
        hostname: name.to_owned(),
        os: "linux".to_owned(),
        version: "0.0.1".to_owned(),
        cpu: "none".to_owned(),
        cores: 1,
        devices: Vec::new(),
        links: Default::default(),
        host: Default::default(),
    };
    Registration {
        name: name.to_owned(),
        profile,
        data_addresses: Vec::new(),
        held_manifests: Vec::new(),
        shards: Vec::new(),
        instance: String::new(),
        certificate: None,
        answers: false,
    }
}

fn pack(message: &WorkerMessage) -> Envelope {
    Envelope::pack("WorkerMessage", message).expect("packs")
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_other_versions_are_neither_cut_nor_asked_what_they_do_not_know() {
    let options = ClusterOptions { workers: 0, ..ClusterOptions::default() };
    let cluster = Cluster::start(&options).await;
    let data_dir = cluster.folder().join("other");
    let joining = JoinOptions {
        data_dir: data_dir.clone(),
        token: cluster.join_token("worker", 600, 1).await,
        name: "other".to_owned(),
        role: Role::Worker,
        coordinator: None,
        anew: false,
    };
    let identity = join(joining).await.expect("joined");
    let store = IdentityStore::open(&data_dir).expect("opens");
    let coordinator = store.coordinators().expect("a list").swap_remove(0);
    let tls = NodeTls::new(&identity).expect("usable");
    let tls = Arc::new(tls.client(Some(coordinator.node), GRPC_ALPN).expect("usable"));
    let dial_timeout = Duration::from_secs(20);
    let target = GrpcTarget { address: coordinator.address.clone(), tls, dial_timeout };
    let channel = target.connect().await.expect("dialled");
    let (out, queue) = mpsc::channel(64);
    let unknown = Envelope { payload: br#"{"type":"of_a_later_version"}"#.to_vec() };
    let register = pack(&WorkerMessage::Register(Box::new(registration("other"))));
    for message in [register, unknown] {
        out.send(message).await.expect("room");
    }
    let queue = futures::stream::unfold(queue, async |mut queue| {
        queue.recv().await.map(|envelope| (envelope, queue))
    });
    let _inbound = ControlClient::new(channel).attach(queue).await.expect("attached");
    let beat = Heartbeat { memory_used_bytes: 4242, ..Heartbeat::default() };
    let heard = cluster.until("what it says afterwards", async || {
        let message = WorkerMessage::Heartbeat(beat.clone());
        // Full only where nobody reads.
        let _ = out.try_send(pack(&message));
        let view = cluster.api(0).get("/admin/v1/nodes/other").await.ok()?;
        (view["memoryUsedBytes"] == 4242).then_some(())
    });
    heard.await;
    assert!(cluster.coordinators[0].log().contains("passed over a message"));
    let refused = said(&run(&cluster, &["node", "logs", "other"], 6));
    assert!(refused.contains("earlier version"), "{refused}");
}
