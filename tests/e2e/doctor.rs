//! `trireme doctor` against real processes: healthy ones pass, each fault is named with its fix.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use protocol::control::Role;
use protocol::identity::{ClusterCa, Identity, IdentityStore};
use serde_json::Value;
use tests::process::{Cluster, ClusterOptions, free_port};
use tokio::net::{TcpListener, TcpStream};

fn doctor(cluster: &Cluster, arguments: &[&str]) -> Output {
    tokio::task::block_in_place(|| cluster.cli(&[&["doctor"], arguments].concat()))
}

/// The line of a check with this result, e.g. `FAIL net.tcp`.
fn line<'a>(text: &'a str, begin: &str) -> &'a str {
    let found = text.lines().find(|line| line.starts_with(begin));
    found.unwrap_or_else(|| panic!("no {begin} in\n{text}"))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder with the identity of a worker that `ca` signed for `validity`.
fn signed(folder: &Path, from: &Path, ca: &ClusterCa, validity: Duration) {
    let store = IdentityStore::open(folder).expect("opens");
    let key = store.node_key().expect("a key");
    let csr = key.signing_request().expect("a request");
    let signed = ca.sign_node_for(&csr, Role::Worker, validity).expect("signed");
    let trusted = ca.certificate_pem().to_owned();
    let identity = Identity::new(&key, signed.certificate_pem, trusted).expect("fits");
    let known = IdentityStore::open(from).expect("opens").coordinators().expect("a list");
    store.save_coordinators(&known).expect("written");
    store.save(&identity).expect("written");
}

/// Forwards TCP, and so no datagram: what a firewall does that lets only TCP through.
async fn tcp_only(target: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let Ok(mut to) = TcpStream::connect(&target).await else { continue };
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_machine_passes_and_each_fault_on_the_way_is_named() {
    let two = ClusterOptions { workers: 2, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&two).await;
    let own = cluster.folder().join("n1").display().to_string();
    let healthy = doctor(&cluster, &["--all", "--data-dir", &own]);
    let said = text(&healthy);
    assert_eq!(healthy.status.code(), Some(0), "{said}");
    assert!(line(&said, "PASS net.udp ").contains("20 of 20"), "{said}");
    for check in ["net.tcp", "cluster.quorum", "identity.valid", "time.skew", "data.access"] {
        line(&said, &format!("PASS {check}"));
    }
    assert!(line(&said, "WARN cluster.redundancy").contains("--role coordinator"));
    let json = doctor(&cluster, &["--data-dir", &own, "-o", "json"]);
    let report: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((&report["kind"], &report["failed"]), (&"DoctorReport".into(), &0.into()));

    let token = cluster.join_token("worker", 600, 1).await;
    let (head, address) = token.split_once('@').expect("a token");
    let through = tcp_only(address.to_owned()).await;
    let blocked = doctor(&cluster, &["--pre-join", &format!("{head}@{through}")]);
    let said = text(&blocked);
    assert_eq!(blocked.status.code(), Some(1), "{said}");
    let found = line(&said, "FAIL net.udp_blocked");
    assert!(found.contains("0 of 20") && found.contains("/udp"), "{found}");
    line(&said, "PASS net.tcp");

    let ours = IdentityStore::open(&cluster.folder().join("c1")).expect("opens");
    let ours = ours.load_ca().expect("readable").expect("a CA");
    let foreign = ClusterCa::create("test").expect("valid name");
    let year = Duration::from_secs(365 * 86_400);
    for (ca, validity, check, word) in [
        (&ours, Duration::ZERO, "FAIL identity.expired", "node join"),
        (&foreign, year, "FAIL identity.trust", "another cluster"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        signed(folder.path(), Path::new(&own), ca, validity);
        let data_dir = folder.path().display().to_string();
        let found = doctor(&cluster, &["--data-dir", &data_dir]);
        let said = text(&found);
        assert_eq!(found.status.code(), Some(1), "{said}");
        assert!(line(&said, check).contains(word), "{said}");
    }

    let coordinator = cluster.folder().join("c1").display().to_string();
    cluster.coordinators[0].kill();
    let _other = UdpSocket::bind(address).expect("free again");
    let dead = doctor(&cluster, &["--data-dir", &coordinator]);
    let said = text(&dead);
    assert_eq!(dead.status.code(), Some(1), "{said}");
    assert!(line(&said, "FAIL net.tcp").contains(address), "{said}");
    assert!(line(&said, "FAIL net.port_taken").contains("UDP"), "{said}");
    assert!(line(&said, "FAIL cluster.api").contains("--api"), "{said}");
    let error = String::from_utf8_lossy(&dead.stderr).into_owned();
    assert!(error.contains("net.port_taken") && error.lines().count() == 3, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_joining_a_closed_port_is_named_with_the_command_that_opens_it() {
    let alone = ClusterOptions { workers: 0, ..ClusterOptions::default() };
    let cluster = Cluster::start(&alone).await;
    let nowhere = format!("127.0.0.1:{}", free_port());
    let found = doctor(&cluster, &["--pre-join", &nowhere]);
    let said = text(&found);
    assert_eq!(found.status.code(), Some(1), "{said}");
    let found = line(&said, "FAIL net.tcp");
    assert!(found.contains(&nowhere) && found.contains("ufw allow"), "{found}");
}
