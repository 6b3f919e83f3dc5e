//! What does not speak our protocols: plaintext, an old TLS, random bytes, a client that dribbles.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tests::process::Cluster;

use super::{one_worker, undisturbed, undisturbed_by};

const SEED: u64 = 6;
const PATIENCE: Duration = Duration::from_secs(30);

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// What comes back until the other side ends it.
fn answer_to(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    // Whether it ends in order or is reset is the kernel's business.
    let _ = stream.write_all(bytes).and_then(|()| stream.read_to_end(&mut answer));
    answer
}

async fn in_the_log(cluster: &Cluster, what: &str) {
    let found = async || cluster.coordinators[0].log().contains(what).then_some(());
    cluster.until(&format!("`{what}` in the log"), found).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_and_tls_1_2_get_no_answer_on_the_node_port() {
    let cluster = Cluster::with_demo(&one_worker(), 1).await;
    let node = cluster.node_address(0);
    let request = b"GET /admin/v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = tokio::task::block_in_place(|| answer_to(connect(&node), request));
    assert!(answer.len() < 16 && !answer.starts_with(b"HTTP"), "{answer:?}");
    in_the_log(&cluster, "it does not speak TLS").await;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("TLS 1.2 is there")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("trireme").expect("a name");
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = connect(&node);
    let refused = tokio::task::block_in_place(|| tls.complete_io(&mut stream));
    let refused = refused.expect_err("no TLS 1.2").to_string();
    assert!(refused.contains("ProtocolVersion"), "{refused}");
    in_the_log(&cluster, "it offers no TLS 1.3").await;
    undisturbed(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_on_every_port_disturb_nothing() {
    let cluster = Cluster::with_demo(&one_worker(), 1).await;
    let tcp = [cluster.node_address(0), cluster.api_address(0), cluster.worker_address(0)];
    let udp = [cluster.node_address(0), cluster.worker_address(0)];
    let sending = tokio::task::spawn_blocking(move || {
        let mut random = StdRng::seed_from_u64(SEED);
        for round in 0..40 {
            let mut bytes = vec![0; 1 << (round % 16)];
            random.fill_bytes(&mut bytes);
            for address in &tcp {
                let mut stream = connect(address);
                // It may be closed before all is written.
                let _ = stream.write_all(&bytes);
            }
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            for address in &udp {
                for piece in bytes.chunks(1200) {
                    socket.send_to(piece, address).expect("sent");
                }
            }
        }
    });
    undisturbed_by(&cluster, async { sending.await.expect("sends") }).await;
    in_the_log(&cluster, "it does not speak TLS").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_dribble_their_bytes_keep_nobody_out() {
    let cluster = Cluster::with_demo(&one_worker(), 1).await;
    let (node, api) = (cluster.node_address(0), cluster.api_address(0));
    let dribbling = tokio::task::spawn_blocking(move || {
        let mut slow: Vec<_> = (0..200).map(|_| connect(&node)).collect();
        slow.extend((0..200).map(|_| connect(&api)));
        // Beginnings of a TLS record and of a request, byte by byte.
        for round in 0..20 {
            for (index, stream) in slow.iter_mut().enumerate() {
                let text: &[u8] =
                    if index < 200 { &[22, 3, 1, 2] } else { b"GET / HTTP/1.1\r\nX: " };
                let byte = text.get(round).copied().unwrap_or(b'a');
                // Those that had to make room are closed.
                let _ = stream.write_all(&[byte]);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    undisturbed_by(&cluster, async { dribbling.await.expect("dribbles") }).await;
    in_the_log(&cluster, "too many unfinished connections").await;
}
