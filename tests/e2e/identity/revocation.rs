//! A removed node is out at once, and stays out everywhere.

use std::time::Duration;

use protocol::transport::{NodeTls, QuicEndpoint, QuicSettings};
use tests::process::{Cluster, ClusterOptions};

use super::{answers, clone_identity, identity_of, start_worker};

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_is_cut_off_and_no_node_shakes_its_hand_again() {
    let options = ClusterOptions { workers: 2, ..ClusterOptions::default() };
    let mut cluster = Cluster::with_demo(&options, 1).await;
    let stolen = clone_identity(&cluster, "n2", "stolen");
    let identity = identity_of(&cluster, "n2");
    let tls = NodeTls::new(&identity).expect("usable");
    let dialler = QuicEndpoint::bind(([127, 0, 0, 1], 0).into(), tls, QuicSettings::default());
    let dialler = dialler.expect("bound");
    let peer = [cluster.worker_address(0)];
    let open = dialler.dial_any(&peer, None).await.expect("a member is let in");

    cluster.api(0).delete("/admin/v1/nodes/n2").await.expect("removed");
    let removed = &mut cluster.workers[1];
    let code = tokio::task::block_in_place(|| removed.ended_within(Duration::from_secs(30)));
    assert!(code.is_some_and(|code| code != 0), "{}", removed.log());
    assert!(removed.log().contains("was removed from the cluster"), "{}", removed.log());
    let cut = tokio::time::timeout(Duration::from_secs(10), open.closed()).await;
    let cut = cut.expect("the open connection is cut").to_string();
    assert!(cut.contains("removed"), "{cut}");

    // What the other side thinks of a certificate is heard at the first read.
    let refused = async {
        let connection = dialler.dial_any(&peer, None).await.map_err(|e| e.to_string())?;
        Err::<(), _>(connection.closed().await.to_string())
    };
    let refused = tokio::time::timeout(Duration::from_secs(10), refused).await.expect("refused");
    assert!(refused.as_ref().is_err_and(|why| why.contains("evoked")), "{refused:?}");

    let mut stray = start_worker(&cluster, &stolen, "stray");
    let code = tokio::task::block_in_place(|| stray.ended_within(Duration::from_secs(30)));
    assert!(code.is_some_and(|code| code != 0), "{}", stray.log());
    assert!(stray.log().contains("was removed from the cluster"), "{}", stray.log());
    let log = cluster.coordinators[0].log();
    assert!(log.contains("this node was removed from the cluster"), "{log}");
    answers(&cluster).await;
}
