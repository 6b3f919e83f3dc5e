//! Certificates that open nothing: of another cluster.

use tests::process::{Cluster, NodeProcess};

use super::{one_worker, parts, undisturbed};

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_cluster_opens_nothing() {
    let cluster = Cluster::with_demo(&one_worker(), 1).await;
    let other = Cluster::start(&one_worker()).await;
    let (here, there) =
        (cluster.join_token("worker", 600, 1).await, other.join_token("worker", 600, 1).await);
    // A member of the other cluster that was told to find its coordinator here.
    let folder = other.folder().join("n1");
    let list = folder.join("identity/coordinators.json");
    let text = std::fs::read_to_string(&list).expect("a list of coordinators");
    let moved = text.replace(parts(&there).2, parts(&here).2);
    assert_ne!(text, moved);
    let stray = tempfile::tempdir().expect("a folder");
    let identity = stray.path().join("identity");
    std::fs::create_dir(&identity).expect("a folder");
    for file in ["node.key", "node.crt", "ca.crt"] {
        std::fs::copy(folder.join("identity").join(file), identity.join(file)).expect("copied");
    }
    std::fs::write(identity.join("coordinators.json"), moved).expect("written");
    let data_dir = stray.path().display().to_string();
    let arguments = ["worker", "--data-dir", &data_dir, "--listen", "127.0.0.1:0"];
    let arguments = arguments.map(str::to_owned).to_vec();
    let process = NodeProcess::start("stray", arguments, stray.path());
    let said = cluster
        .until("both sides to say why", async || {
            let coordinator = cluster.coordinators[0].log();
            let refused = coordinator.contains("node connection refused");
            let worker = process.log();
            (refused && worker.contains("another cluster")).then_some(worker)
        })
        .await;
    assert!(said.contains(parts(&here).2), "the reason names the address: {said}");
    undisturbed(&cluster).await;
}
