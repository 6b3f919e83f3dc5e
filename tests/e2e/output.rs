//! What commands print: every format of `-o`, and an edge that closes what says nothing.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tests::process::{Cluster, ClusterOptions};

#[tokio::test(flavor = "multi_thread")]
async fn every_format_says_the_same_nodes() {
    let options = ClusterOptions { workers: 1, ..ClusterOptions::default() };
    let cluster = Cluster::start(&options).await;
    let run = |format: &str| {
        let output = cluster.cli(&["node", "ls", "-o", format]);
        assert!(output.status.success(), "{format}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(run("name"), "c1\nn1\n");
    for (format, columns) in [("table", &["NAME", "ROLES", "STATE"][..]), ("wide", &["SINCE"])] {
        let text = run(format);
        let header = text.lines().next().unwrap_or_default();
        assert!(columns.iter().all(|column| header.contains(column)), "{format}: {text}");
        assert_eq!(text.lines().count(), 3, "a header and two nodes: {text}");
    }
    let names = |items: &[Value]| -> Vec<String> {
        items.iter().map(|item| item["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let list: Value = serde_json::from_str(&run("json")).expect("JSON");
    assert_eq!((&list["apiVersion"], &list["kind"]), (&"trireme/v1".into(), &"NodeList".into()));
    assert_eq!(names(list["items"].as_array().expect("items")), ["c1", "n1"]);
    let lines = run("jsonl");
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(names(&lines), ["c1", "n1"]);
    let yaml = run("yaml");
    assert!(yaml.starts_with("apiVersion: trireme/v1\nkind: NodeList\nitems:\n"), "{yaml}");
    let failed = cluster.cli(&["node", "describe", "nothing", "-o", "json"]);
    let error: Value = serde_json::from_slice(&failed.stderr).expect("a JSON error");
    assert_eq!(error["error"]["code"], "not_found", "{error}");
    assert!(error["error"]["message"].as_str().is_some_and(|m| m.contains("nothing")), "{error}");
    assert!(error["error"]["hint"].is_string() && error["error"]["requestId"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: an idle connection is given a minute"]
async fn a_connection_that_says_nothing_is_closed() {
    let options = ClusterOptions { workers: 0, ..ClusterOptions::default() };
    let cluster = Cluster::start(&options).await;
    let address = cluster.api(0).base().trim_start_matches("http://").to_owned();
    let closed = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(180))).expect("a timeout");
        stream.read(&mut [0; 1])
    });
    // The end of the stream, or a reset; not our own patience.
    let read = closed.await.expect("no panic");
    assert!(read.as_ref().map_or_else(|e| e.raw_os_error() == Some(104), |n| *n == 0), "{read:?}");
}
