//! Many connections that say nothing: they make room for those that do.

use std::net::TcpStream;

use tests::process::{Cluster, share};

use super::{one_worker, undisturbed_by};

/// Files that this process may have open.
fn files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("procfs");
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1024)
}

async fn half_open(count: usize) {
    let cluster = Cluster::with_demo(&one_worker(), 1).await;
    let count = count.min(files_max().saturating_sub(400));
    let addresses = [cluster.node_address(0), cluster.api_address(0), cluster.worker_address(0)];
    let opening = tokio::task::spawn_blocking(move || {
        let connect = |address| TcpStream::connect(address).expect("connects");
        let open: Vec<_> = addresses.iter().cycle().take(count).map(connect).collect();
        std::thread::sleep(std::time::Duration::from_secs(2));
        drop(open);
    });
    undisturbed_by(&cluster, async { opening.await.expect("opens") }).await;
    let said = async || {
        let log = cluster.coordinators[0].log();
        log.contains("too many unfinished connections").then_some(())
    };
    cluster.until("the reason in the log", said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_half_open_connections_keep_nobody_out() {
    half_open(1000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "ten thousand sockets"]
async fn ten_thousand_half_open_connections_keep_nobody_out() {
    half_open(share(10_000)).await;
}
