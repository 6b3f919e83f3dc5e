//! Certificates are renewed before they expire, and no process notices.

use std::time::Duration;

use protocol::identity::CertificateFacts;
use tests::process::{Cluster, ClusterOptions};

use super::{answers, identity_of};

const SECONDS: u64 = 12;

fn facts(cluster: &Cluster, node: &str) -> CertificateFacts {
    identity_of(cluster, node).certificate().expect("readable")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_outlives_its_certificate_without_a_restart() {
    let options = ClusterOptions {
        workers: 1,
        coordinator_arguments: vec!["--certificate-validity".into(), SECONDS.to_string()],
        ..ClusterOptions::default()
    };
    let mut cluster = Cluster::with_demo(&options, 1).await;
    let (worker, attached) = (facts(&cluster, "n1"), attachments(&cluster));
    assert!(worker.expires_at - worker.issued_at <= SECONDS);
    tokio::time::sleep(Duration::from_secs(SECONDS + 3)).await;
    cluster
        .until("a third certificate", async || {
            (facts(&cluster, "n1").issued_at > worker.expires_at).then_some(())
        })
        .await;
    answers(&cluster).await;
    assert_eq!(attachments(&cluster), attached, "{}", cluster.logs());
    // A handshake long after the first certificate expired.
    cluster.workers[0].kill();
    cluster.workers[0].restart();
    cluster
        .until("the worker back", async || (attachments(&cluster) > attached).then_some(()))
        .await;
    let status = cluster.api(0).get("/admin/v1/cluster/ca").await.expect("a status");
    assert!(status["members"].to_string().contains("current"), "{status:#}");
}

fn attachments(cluster: &Cluster) -> usize {
    cluster.coordinators[0].log().matches("worker attached").count()
}
