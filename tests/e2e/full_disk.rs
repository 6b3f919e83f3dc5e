//! A coordinator whose disk is full: changes are refused with the numbers, streams go on, and with
//! room again everything goes on by itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tests::process::{Cluster, ClusterOptions, repository_file};

use crate::same_text::long_questions;

const MIB: u64 = 1 << 20;
/// Of the small disk that a coordinator's data lies on.
const DISK: u64 = 160 * MIB;

/// Whether this user may mount in a namespace of his own; `flags` of `unshare` if so.
#[allow(clippy::print_stdout, reason = "a skipped test says so")]
fn may_mount() -> Option<&'static str> {
    let tries = |flags: &'static str| {
        let mount = ["sh", "-c", "mount -t tmpfs tmpfs /tmp"];
        let tried = Command::new("unshare").arg(flags).args(mount).output();
        tried.is_ok_and(|output| output.status.success()).then_some(flags)
    };
    let flags = tries("-m").or_else(|| tries("-rm"));
    if flags.is_none() {
        println!("skipped: no mount namespaces for this user");
    }
    flags
}

/// Starts a coordinator again with its data on a disk of its own.
fn onto_small_disk(cluster: &mut Cluster, coordinator: usize, flags: &str) -> PathBuf {
    let node = &mut cluster.coordinators[coordinator];
    assert_eq!(node.terminate(Duration::from_secs(20)), Some(0));
    let name = node.name.clone();
    let data = cluster.folder().join(&name);
    let saved = cluster.folder().join(format!("{name}.saved"));
    fs::rename(&data, &saved).expect("moved");
    fs::create_dir(&data).expect("an empty folder");
    let script = r#"mount -t tmpfs -o mode=700,size="$1" tmpfs "$2" && cp -a "$3/." "$2" \
        && shift 3 && exec "$@""#;
    let (data_text, saved) = (data.display().to_string(), saved.display().to_string());
    let size = DISK.to_string();
    let wrapper = ["unshare", flags, "sh", "-c", script, "sh", &size, &data_text, &saved];
    let wrapper = wrapper.iter().map(|&part| part.to_owned()).collect();
    cluster.coordinators[coordinator].restart_inside(wrapper);
    data
}

struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// Takes the disk but for about `left` bytes.
    fn fill(cluster: &Cluster, coordinator: usize, data: &Path, left: u64) -> Self {
        use std::io::Write;
        let path = cluster.coordinators[coordinator].inside(data).join("ballast");
        let mut file = File::options().create(true).append(true).open(&path).expect("a file");
        for piece in [vec![1_u8; 64 << 10], vec![1; 4 << 10]] {
            while free(&path) > left && file.write_all(&piece).is_ok() {}
        }
        Self { path }
    }

    fn remove(self) {
        fs::remove_file(self.path).expect("removed");
    }
}

fn free(path: &Path) -> u64 {
    let found = rustix::fs::statvfs(path).expect("a file system");
    found.f_bavail * found.f_frsize
}

async fn create_key(cluster: &Cluster, through: usize, name: &str) -> Result<(), (u16, String)> {
    let body = json!({ "name": name, "role": "user" });
    let made = cluster.api(through).post("/admin/v1/keys", body).await;
    made.map(drop).map_err(|failure| (failure.status, failure.body.to_string()))
}

async fn key_names(cluster: &Cluster, through: usize) -> Option<Vec<String>> {
    let list = cluster.api(through).get("/admin/v1/keys?consistent=true").await.ok()?;
    let items = list["items"].as_array()?.clone();
    Some(items.iter().filter_map(|k| k["name"].as_str().map(str::to_owned)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_little_room_left_changes_are_refused_with_the_numbers_and_streams_go_on() {
    let Some(flags) = may_mount() else { return };
    let options = ClusterOptions { workers: 1, ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options).await;
    let data = onto_small_disk(&mut cluster, 0, flags);
    cluster.nodes_ready(1).await;
    cluster.import(&repository_file("models/demo/demo.gguf"), "demo").await;
    cluster.deploy("demo", json!({})).await;
    create_key(&cluster, 0, "before").await.expect("there is room");
    let ballast = Ballast::fill(&cluster, 0, &data, 40 * MIB);
    let (status, said) = create_key(&cluster, 0, "refused").await.expect_err("too little room");
    assert_eq!(status, 507, "{said}");
    for part in ["disk_full", "64 MiB must be left", "MiB are free", "c1"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let shown = cluster.cli(&["cluster", "status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("MiB are free"), "{shown}");
    let (question, expected) = long_questions().swap_remove(0);
    let answer = cluster.api(0).ask("demo", &question, json!({ "stream": true })).await;
    assert_eq!(answer.expect("an answer").text.trim(), expected.trim());
    ballast.remove();
    create_key(&cluster, 0, "after").await.expect("there is room again");
    let names = key_names(&cluster, 0).await.expect("keys");
    let has = |name: &str| names.iter().any(|n| n == name);
    assert!(has("before") && has("after") && !has("refused"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_cannot_write_says_so_and_comes_back_with_room() {
    let Some(flags) = may_mount() else { return };
    let options = ClusterOptions { coordinators: 3, workers: 1, ..ClusterOptions::default() };
    let mut cluster = Cluster::with_demo(&options, 1).await;
    let data = onto_small_disk(&mut cluster, 2, flags);
    cluster.until("c3 back", async || key_names(&cluster, 2).await).await;
    cluster.nodes_ready_by(2, 1).await;
    let ballast = Ballast::fill(&cluster, 2, &data, 0);
    // Its log has some room of its own: changes until that is used up.
    let mut acknowledged = Vec::new();
    loop {
        let name = format!("key-{}", acknowledged.len());
        create_key(&cluster, 0, &name).await.expect("the others have room");
        acknowledged.push(name);
        let status = cluster.api(2).get("/admin/v1/cluster").await.expect("it answers");
        if status["problems"].to_string().contains("log") {
            break;
        }
        assert!(acknowledged.len() < 3000, "its log never failed\n{}", cluster.logs());
    }
    let ready = cluster.api(2).get("/readyz?verbose").await;
    let ready = ready.map_or_else(|f| f.body.to_string(), |v| v.to_string());
    assert!(ready.contains("[-]log"), "{ready}");
    let (question, expected) = long_questions().swap_remove(0);
    let answer = cluster.api(2).ask("demo", &question, json!({ "stream": true })).await;
    assert_eq!(answer.expect("its streams go on").text.trim(), expected.trim());
    create_key(&cluster, 2, "through-it").await.expect("it forwards changes all the same");
    acknowledged.push("through-it".to_owned());
    ballast.remove();
    cluster
        .until("c3 to go on by itself", async || {
            let names = key_names(&cluster, 2).await?;
            let status = cluster.api(2).get("/admin/v1/cluster").await.ok()?;
            let whole = acknowledged.iter().all(|name| names.contains(name));
            (whole && status["problems"] == json!([])).then_some(())
        })
        .await;
}
