//! Real `trireme` processes for end-to-end tests: started, killed, frozen, asked over HTTP.

mod api;
mod cluster;
mod help;
mod node;

pub use api::{Answer, Api, Failure};
pub use cluster::{Cluster, ClusterOptions, leader};
pub use help::{Leaf, leaves};
pub use node::NodeProcess;

use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;

/// The binary under test: `$TRIREME_BIN`, else the one beside the running test.
#[allow(clippy::disallowed_methods, reason = "tests have no argument parser")]
pub fn binary() -> PathBuf {
    if let Ok(path) = std::env::var("TRIREME_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test has a path");
    let path = test.parent().and_then(|deps| deps.parent()).expect("target/debug").join("trireme");
    assert!(path.exists(), "{} is missing: run `cargo build -p cli`", path.display());
    path
}

/// A file of the repository.
pub fn repository_file(path: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join(path);
    path.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// How much of a long test to run: all of it, or a tenth (`TRIREME_TEST_SHARE=tenth`).
#[allow(clippy::disallowed_methods, reason = "tests have no argument parser")]
pub fn share(full: usize) -> usize {
    match std::env::var("TRIREME_TEST_SHARE").as_deref() {
        Ok("full") => full,
        _ => full.div_ceil(10),
    }
}

/// A port that is free on TCP and UDP now.
pub fn free_port() -> u16 {
    for _ in 0..100 {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = tcp.local_addr().expect("bound").port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
