//! Keys and the audit chain as an operator sees them: through the command line.

use serde_json::Value;
use tests::process::{Cluster, ClusterOptions};

fn alone() -> ClusterOptions {
    ClusterOptions { workers: 0, ..ClusterOptions::default() }
}

/// Standard output of a command that must end with `code`.
fn run(cluster: &Cluster, code: i32, arguments: &[&str]) -> String {
    let output = tokio::task::block_in_place(|| cluster.cli(arguments));
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("UTF-8") + &error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_changed_rotated_and_revoked_and_all_of_it_is_in_the_chain() {
    let mut cluster = Cluster::start(&alone()).await;
    let create = ["keys", "create", "ci-bot", "--rpm", "60", "--tpm", "100k"];
    let made =
        run(&cluster, 0, &[&create[..], &["--budget", "5M/month", "--expires", "90d"]].concat());
    assert!(made.starts_with("sk-trireme-"), "{made}");
    let described = |cluster: &Cluster| -> Value {
        let text = run(cluster, 0, &["keys", "describe", "ci-bot", "-o", "json"]);
        serde_json::from_str(&text).expect("JSON")
    };
    let key = described(&cluster);
    assert_eq!(key["limits"]["requestsPerMinute"], 60, "{key}");
    assert_eq!(key["limits"]["tokensPerMonth"], 5_000_000, "{key}");
    run(&cluster, 0, &["keys", "update", "ci-bot", "--rpm", "0", "--role", "viewer"]);
    let key = described(&cluster);
    assert_eq!(
        (&key["limits"]["requestsPerMinute"], &key["role"]),
        (&Value::Null, &"viewer".into())
    );
    assert!(
        run(&cluster, 0, &["keys", "rotate", "ci-bot", "--overlap", "1d"]).contains("good until")
    );
    assert!(described(&cluster)["oldTextUntil"].is_string());
    // Standard input is no terminal: it says how to run it unasked.
    assert!(run(&cluster, 2, &["keys", "revoke", "ci-bot"]).contains("ci-bot --yes"));
    run(&cluster, 0, &["keys", "revoke", "ci-bot", "--yes"]);
    run(&cluster, 3, &["keys", "describe", "ci-bot"]);
    run(&cluster, 2, &["keys", "create", "x", "--expires", "soon"]);

    cluster.coordinators[0].kill();
    cluster.coordinators[0].restart();
    let api = cluster.api(0).clone();
    cluster.until("the coordinator", async || api.get("/admin/v1/audit").await.ok()).await;
    assert!(run(&cluster, 0, &["audit", "verify"]).contains("chain intact"));
    let exported = run(&cluster, 0, &["audit", "export", "-q"]);
    for action in ["found-cluster", "create-key", "update-key", "rotate-key", "revoke-key"] {
        assert!(exported.contains(action), "{action}: {exported}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("audit.jsonl");
    let verify = ["audit", "verify", "--file", file.to_str().expect("UTF-8")];
    std::fs::write(&file, &exported).expect("written");
    assert!(run(&cluster, 0, &verify).contains("chain intact"));
    std::fs::write(&file, exported.replace("update-key", "delete-key")).expect("written");
    let broken = run(&cluster, 1, &verify);
    assert!(broken.contains("is broken") && broken.contains("was altered"), "{broken}");
    assert!(run(&cluster, 0, &["audit", "ls", "--last", "3"]).contains("revoke-key"));
}
