//! Exit codes: each code for each family of commands that can end with it, in three lines or JSON.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::process::{Cluster, ClusterOptions, NodeProcess, binary, free_port, leaves};

/// What is run, and what it ends with.
type Case<'a> = (&'a [&'a str], i32);

const NOBODY: &str = "http://127.0.0.1:1";

const CASES: [Case<'_>; 41] = [
    (&["cluster", "status"], 0),
    (&["node", "ls"], 0),
    (&["model", "ls", "-o", "json"], 0),
    (&["plan", "demo"], 0),
    (&["keys", "create", "bot"], 0),
    (&["keys", "ls", "-o", "yaml"], 0),
    (&["chat", "demo", "-m", "Hello"], 0),
    (&["node", "logs", "n1"], 0),
    (&["node", "exec-check", "n1"], 0),
    (&["context", "ls"], 0),
    (&["config", "show"], 0),
    (&["version", "--all-nodes"], 0),
    (&["completion", "bash"], 0),
    (&["model", "import", "/nothing.gguf"], 1),
    (&["model", "inspect", "/nothing.gguf"], 1),
    (&["generate", "--device", "gpu", "Hello"], 2),
    (&["generate", "--device", "cuda:0", "Hello"], 2),
    (&["node", "rm", "n1"], 2),
    (&["model", "undeploy", "demo"], 2),
    (&["cluster", "join-token", "--ttl", "0"], 2),
    (&["context", "add", "lab", "--api", "lab"], 2),
    (&["node", "describe", "nobody"], 3),
    (&["node", "logs", "nobody"], 3),
    (&["node", "exec-check", "nobody"], 3),
    (&["node", "rm", "nobody", "--yes"], 3),
    (&["model", "describe", "nothing"], 3),
    (&["model", "undeploy", "nothing", "--yes"], 3),
    (&["model", "deploy", "nothing"], 3),
    (&["plan", "nothing"], 3),
    (&["chat", "nothing", "-m", "Hello"], 3),
    (&["context", "use", "nothing"], 3),
    (&["cluster", "status", "--context", "nothing"], 3),
    (&["cluster", "status", "--api", NOBODY], 5),
    (&["node", "ls", "--api", NOBODY], 5),
    (&["model", "ls", "--api", NOBODY], 5),
    (&["plan", "demo", "--api", NOBODY], 5),
    (&["keys", "ls", "--api", NOBODY], 5),
    (&["chat", "demo", "-m", "Hello", "--api", NOBODY], 5),
    (&["version", "--all-nodes", "--api", NOBODY], 5),
    (&["plan", "demo", "--pp", "3"], 7),
    (&["model", "deploy", "demo", "--pp", "3", "--dry-run"], 7),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_family_ends_with_the_code_that_says_why() {
    let options = ClusterOptions { workers: 1, ..ClusterOptions::default() };
    let mut cluster = Cluster::with_demo(&options, 1).await;
    for (arguments, code) in CASES {
        check(&cluster, arguments, code);
    }
    // What is founded already, and what was never founded.
    let (taken, empty) = (cluster.folder().join("c1"), cluster.folder().join("none"));
    let (taken, empty) = (taken.display().to_string(), empty.display().to_string());
    check(&cluster, &["cluster", "init", "--data-dir", &taken], 6);
    check(&cluster, &["coordinator", "--data-dir", &empty], 6);
    check(&cluster, &["worker", "--data-dir", &empty], 6);
    cluster.undeploy("demo").await;
    check(&cluster, &["model", "deploy", "demo", "--timeout", "0"], 8);
    cluster.deployment_state("demo", "ready").await;
    cluster.undeploy("demo").await;
    interrupted(&mut cluster);
}

/// Ctrl-C leaves the work to the cluster, and says so.
fn interrupted(cluster: &mut Cluster) {
    cluster.workers[0].freeze();
    let waiting = Command::new(binary())
        .args(["model", "deploy", "demo"])
        .env("TRIREME_API", cluster.api(0).base())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    std::thread::sleep(Duration::from_millis(600));
    let id = waiting.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
    let output = waiting.wait_with_output().expect("it ends");
    cluster.workers[0].thaw();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{error}");
    assert!(error.contains("continues"), "{error}");
}

fn check(cluster: &Cluster, arguments: &[&str], code: i32) {
    let output = cluster.cli(arguments);
    let [out, error] = [&output.stdout, &output.stderr].map(|b| String::from_utf8_lossy(b));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{error}");
    assert!(!out.contains('\u{1b}') && !error.contains('\u{1b}'), "{arguments:?}: colours");
    let service = ["coordinator", "worker"].contains(&arguments[0]);
    if code != 0 && !service {
        assert_eq!(error.lines().count(), 3, "{arguments:?}: what, why, next: {error}");
    }
}

#[test]
fn a_flag_that_no_command_has_is_a_usage_error_everywhere() {
    for leaf in leaves() {
        let run = |extra: &[&str]| {
            let mut command = Command::new(binary());
            let words = leaf.name.split(' ').chain(["--no-such-flag"]);
            let output = command.args(words).args(extra).stdin(Stdio::null()).output();
            let output = output.expect("it starts");
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (code, error) = run(&[]);
        assert_eq!((code, error.lines().count()), (Some(2), 3), "{}: {error}", leaf.name);
        assert!(error.contains(&format!("see: trireme {} --help", leaf.name)), "{error}");
        let (code, error) = run(&["-o", "json"]);
        let error: Value = serde_json::from_str(&error).expect("JSON");
        assert_eq!((code, &error["error"]["code"]), (Some(2), &"usage".into()), "{error}");
    }
}

/// Off loopback a key is needed; without one every family is turned away.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_every_family_is_forbidden() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("c1").display().to_string();
    let [listen, api] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).stdin(Stdio::null()).env("XDG_CONFIG_HOME", folder.path());
        command.output().expect("it starts")
    };
    let init = ["cluster", "init", "--name", "lab", "--data-dir", &data_dir, "--listen", &listen];
    let made = run(&[&init[..], &["--api-listen", &api]].concat());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let everywhere = api.replace("127.0.0.1", "0.0.0.0");
    let arguments =
        ["coordinator", "--data-dir", &data_dir, "--listen", &listen, "--insecure-http"];
    let arguments = [&arguments[..], &["--api-listen", &everywhere]].concat();
    let arguments = arguments.iter().map(|&a| a.to_owned()).collect();
    let _coordinator = NodeProcess::start("c1", arguments, folder.path());
    let url = format!("http://{api}");
    let status = ["cluster", "status", "--api", &url];
    for _ in 0..200 {
        if run(&status).status.success() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(run(&status).status.success(), "the saved context has the key");
    let wrong = folder.path().join("wrong.key");
    std::fs::write(&wrong, "trk-nobody").expect("written");
    let wrong = wrong.display().to_string();
    for family in [
        &["cluster", "status"][..],
        &["node", "ls"],
        &["model", "ls"],
        &["plan", "demo"],
        &["keys", "ls"],
        &["chat", "demo", "-m", "Hello"],
        &["version", "--all-nodes"],
    ] {
        let output = run(&[family, &["--api", &url, "--key-file", &wrong]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{family:?}: {error}");
        assert_eq!(error.lines().count(), 3, "{family:?}: {error}");
    }
}
