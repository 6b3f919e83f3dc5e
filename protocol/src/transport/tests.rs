//! Who gets in and who does not, over real sockets on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamExt;

use super::grpc::{self, GrpcTarget, NodeStreams};
use super::knock::knock;
use super::tls::{self, ClientCertificate, GRPC_ALPN, NodeTls};
use super::{FrameReader, FrameWriter, QuicEndpoint, QuicSettings, TransportError, peer_identity};
use crate::control::Role;
use crate::error::ProtocolError;
use crate::frame::{Frame, FrameKind};
use crate::generate::GenerateEvent;
use crate::identity::{CaFingerprint, ClusterCa, Identity, NodeKey};
use crate::ids::{Epoch, NodeId, ReplicaId};

const SOON: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

fn node(ca: &ClusterCa, role: Role) -> NodeTls {
    node_valid_for(ca, role, HOUR)
}

fn node_valid_for(ca: &ClusterCa, role: Role, validity: Duration) -> NodeTls {
    let key = NodeKey::generate().expect("key");
    let csr = key.signing_request().expect("request");
    let signed = ca.sign_node_for(&csr, role, validity).expect("signed");
    let identity = Identity::new(&key, signed.certificate_pem, ca.certificate_pem().into());
    NodeTls::new(&identity.expect("fits")).expect("usable")
}

fn lab() -> ClusterCa {
    ClusterCa::create("lab").expect("valid name")
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn endpoint(tls: &NodeTls) -> QuicEndpoint {
    let settings = QuicSettings { idle_timeout: SOON, ..QuicSettings::default() };
    QuicEndpoint::bind(loopback(), tls.clone(), settings).expect("bound")
}

async fn quic_pair(
    dialler: &NodeTls,
    acceptor: &NodeTls,
    expected: Option<NodeId>,
) -> (Result<quinn::Connection, TransportError>, Result<quinn::Connection, quinn::ConnectionError>)
{
    let (from, to) = (endpoint(dialler), endpoint(acceptor));
    let address = to.local_address().expect("bound");
    let accepted = async {
        let accepted = to.accept().await.expect("open").await?;
        // The client's certificate is judged after the client thinks that it is connected.
        accepted.accept_uni().await.map(|_| accepted)
    };
    let dialled = async {
        let connection = from.dial(address, expected).await?;
        let mut greeting = connection.open_uni().await?;
        let _ = greeting.write_all(b"hello").await;
        Ok(connection)
    };
    tokio::time::timeout(SOON, async { tokio::join!(dialled, accepted) }).await.expect("no hang")
}

async fn serve_grpc(tls: &NodeTls, clients: ClientCertificate) -> (String, NodeStreams) {
    let listener = TcpListener::bind(loopback()).await.expect("bound");
    let address = listener.local_addr().expect("bound").to_string();
    (address, grpc::accept(listener, tls, clients).expect("usable"))
}

fn target(address: &str, tls: rustls::ClientConfig) -> GrpcTarget {
    GrpcTarget { address: address.into(), tls: Arc::new(tls), dial_timeout: SOON }
}

/// Whether the server lets a client say something: TLS 1.3 tells a client of its refusal only
/// when it reads.
async fn refused_after_handshake(target: &GrpcTarget) -> bool {
    let Ok(mut stream) = target.dial().await else { return true };
    let _ = stream.write_all(b"x").await;
    let read = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut [0])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn both_ends_of_a_quic_connection_know_the_node_and_role_of_the_other() {
    let ca = lab();
    let (worker, coordinator) = (node(&ca, Role::Worker), node(&ca, Role::Coordinator));
    let expected = Some(coordinator.own().node);
    let (dialled, accepted) = quic_pair(&worker, &coordinator, expected).await;
    assert_eq!(&peer_identity(&dialled.expect("in")).expect("named"), coordinator.own());
    assert_eq!(&peer_identity(&accepted.expect("in")).expect("named"), worker.own());
}

#[tokio::test]
async fn a_certificate_of_another_cluster_opens_no_quic_connection_in_either_direction() {
    // The same name, so that only the CA tells them apart.
    let (ours, theirs) = (node(&lab(), Role::Worker), node(&lab(), Role::Worker));
    let (dialled, _) = quic_pair(&ours, &theirs, None).await;
    assert!(matches!(dialled, Err(TransportError::NotTrusted { .. })), "{dialled:?}");
    // A dialler that trusts the acceptor, with a certificate that the acceptor does not trust.
    let ca = lab();
    let expired = node_valid_for(&ca, Role::Worker, Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (_, accepted) = quic_pair(&expired, &node(&ca, Role::Worker), None).await;
    let refusal = accepted.expect_err("expired").to_string();
    assert!(refusal.contains("xpired"), "{refusal}");
}

#[tokio::test]
async fn dialling_an_address_where_another_node_listens_now_fails() {
    let ca = lab();
    let (a, b) = (node(&ca, Role::Worker), node(&ca, Role::Worker));
    let (dialled, _) = quic_pair(&a, &b, Some(NodeId([9; 32]))).await;
    assert!(matches!(dialled, Err(TransportError::NotTrusted { .. })), "{dialled:?}");
}

#[tokio::test]
async fn grpc_streams_carry_their_peer_and_survive_plaintext_and_foreign_clients() {
    let ca = lab();
    let (server, client) = (node(&ca, Role::Coordinator), node(&ca, Role::Worker));
    let (address, mut streams) = serve_grpc(&server, ClientCertificate::Required).await;

    let mut plain = TcpStream::connect(&address).await.expect("connects");
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("writes");
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(SOON, plain.read_to_end(&mut answer)).await.expect("no hang");
    assert!(!answer.starts_with(b"HTTP"), "a TLS alert at most");

    let foreign = node(&lab(), Role::Worker).client(None, GRPC_ALPN).expect("usable");
    let refused = target(&address, foreign).dial().await;
    assert!(matches!(refused, Err(TransportError::NotTrusted { .. })), "{refused:?}");

    let anonymous = tls::joining_client(ca.fingerprint()).expect("usable");
    assert!(refused_after_handshake(&target(&address, anonymous)).await, "no certificate");

    let known = client.client(Some(server.own().node), GRPC_ALPN).expect("usable");
    let _open = target(&address, known).dial().await.expect("in");
    let accepted = tokio::time::timeout(SOON, streams.next()).await.expect("no hang");
    let stream = accepted.expect("serving").expect("accepted");
    let info = tonic::transport::server::Connected::connect_info(&stream);
    assert_eq!(info.peer.as_ref(), Some(client.own()));
}

#[tokio::test]
async fn a_joiner_trusts_only_the_ca_of_its_token_and_is_let_in_without_a_certificate() {
    let ca = lab();
    let (address, mut streams) =
        serve_grpc(&node(&ca, Role::Coordinator), ClientCertificate::Optional).await;

    let foreign = tls::joining_client(CaFingerprint([7; 32])).expect("usable");
    let refused = target(&address, foreign).dial().await.expect_err("another CA");
    assert!(refused.to_string().contains("another cluster"), "{refused}");

    let pinned = tls::joining_client(ca.fingerprint()).expect("usable");
    let _open = target(&address, pinned).dial().await.expect("in");
    let accepted = tokio::time::timeout(SOON, streams.next()).await.expect("no hang");
    let stream = accepted.expect("serving").expect("accepted");
    assert!(tonic::transport::server::Connected::connect_info(&stream).peer.is_none());
}

#[tokio::test]
async fn frames_of_every_size_arrive_whole_also_when_a_read_is_given_up_in_between() {
    let ca = lab();
    let (a, b) = (node(&ca, Role::Worker), node(&ca, Role::Worker));
    let (from, to) = (endpoint(&a), endpoint(&b));
    let address = to.local_address().expect("bound");
    let (dialled, accepted) = tokio::join!(from.dial(address, None), async {
        to.accept().await.expect("open").await.expect("shaken")
    });
    let sizes = [0_usize, 1, 5_000, 3 << 20];
    let dialled = dialled.expect("in");
    let frame = |bytes: usize| {
        let body = Bytes::from(vec![bytes as u8; bytes]);
        let event = GenerateEvent::Accepted;
        Frame::with_body(FrameKind::GenerateEvent, ReplicaId(1), Epoch(2), &event, body)
    };
    let sender = tokio::spawn(async move {
        let mut writer = FrameWriter::new(dialled.open_uni().await.expect("opens"));
        for bytes in sizes {
            writer.send(&frame(bytes).expect("small")).await.expect("sent");
        }
        writer.finish();
        writer.stopped().await;
    });
    let mut reader = FrameReader::new(accepted.accept_uni().await.expect("opened"));
    for bytes in sizes {
        let received = loop {
            // Give up after 50 us again and again: no byte may be lost.
            let patience = Duration::from_micros(50);
            if let Ok(received) = tokio::time::timeout(patience, reader.recv()).await {
                break received.expect("valid").expect("not the end");
            }
        };
        assert_eq!(received, frame(bytes).expect("small"));
    }
    assert!(reader.recv().await.expect("clean").is_none());
    sender.await.expect("sender");
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_frame_or_holds_rubbish_is_an_error() {
    let ca = lab();
    let (a, b) = (node(&ca, Role::Worker), node(&ca, Role::Worker));
    let (from, to) = (endpoint(&a), endpoint(&b));
    let address = to.local_address().expect("bound");
    let (dialled, accepted) = tokio::join!(from.dial(address, None), async {
        to.accept().await.expect("open").await.expect("shaken")
    });
    let dialled = dialled.expect("in");
    let event = GenerateEvent::Accepted;
    let frame = Frame::new(FrameKind::GenerateEvent, ReplicaId(1), Epoch(2), &event);
    let head = frame.expect("small").encode_head();
    let cut = head[..head.len() - 1].to_vec();
    for (bytes, truncated) in [(cut, true), (vec![0x55; 100], false)] {
        let mut stream = dialled.open_uni().await.expect("opens");
        stream.write_all(&bytes).await.expect("sent");
        stream.finish().expect("open");
        let mut reader = FrameReader::new(accepted.accept_uni().await.expect("opened"));
        let error = reader.recv().await.expect_err("damaged");
        let TransportError::Protocol(error) = error else { panic!("{error}") };
        assert_eq!(matches!(error, ProtocolError::Truncated), truncated, "{error}");
    }
}

#[tokio::test]
async fn a_removed_node_is_refused_in_both_directions_by_what_was_made_before_too() {
    let ca = lab();
    let (server, client) = (node(&ca, Role::Coordinator), node(&ca, Role::Worker));
    let (address, _streams) = serve_grpc(&server, ClientCertificate::Required).await;
    let target = target(&address, client.client(None, GRPC_ALPN).expect("usable"));
    assert!(!refused_after_handshake(&target).await, "a member");
    server.revoke([client.own().node].into());
    assert!(refused_after_handshake(&target).await, "removed");
    server.revoke([].into());
    assert!(!refused_after_handshake(&target).await, "joined again");
    client.revoke([server.own().node].into());
    let refused = target.dial().await;
    assert!(matches!(refused, Err(TransportError::NotTrusted { .. })), "{refused:?}");
}

/// A node whose certificate is of `signer` and that trusts the CAs of `trusted_pem`.
fn node_trusting(signer: &ClusterCa, trusted_pem: &str) -> (NodeKey, Identity) {
    let key = NodeKey::generate().expect("key");
    let csr = key.signing_request().expect("request");
    let signed = signer.sign_node(&csr, Role::Coordinator).expect("signed");
    let identity = Identity::new(&key, signed.certificate_pem, trusted_pem.into()).expect("fits");
    (key, identity)
}

#[tokio::test]
async fn while_the_ca_changes_nodes_and_tokens_of_both_sides_are_good_and_then_only_the_new() {
    let (old, new) = (lab(), lab());
    let vouched = new.vouched_for_by(&old).expect("signed");
    let both = [new.certificate_pem(), old.certificate_pem(), &vouched].concat();
    // One that has not heard of the change, and one that is through with it.
    let behind = NodeTls::new(&node_trusting(&old, old.certificate_pem()).1).expect("usable");
    let (_, identity) = node_trusting(&new, &both);
    let ahead = NodeTls::new(&identity).expect("usable");
    for (from, to) in [(&behind, &ahead), (&ahead, &behind)] {
        let (dialled, accepted) = quic_pair(from, to, Some(to.own().node)).await;
        assert!(dialled.is_ok() && accepted.is_ok(), "{dialled:?} {accepted:?}");
    }
    let (address, _streams) = serve_grpc(&ahead, ClientCertificate::Optional).await;
    for token in [old.fingerprint(), new.fingerprint()] {
        let joiner = tls::joining_client(token).expect("usable");
        target(&address, joiner).dial().await.expect("let in");
    }
    let facts = identity.certificate().expect("readable");
    assert_eq!(facts.ca, Some(new.fingerprint()));

    ahead.replace(&Identity { ca_pem: new.certificate_pem().into(), ..identity }).expect("usable");
    for (from, to) in [(&behind, &ahead), (&ahead, &behind)] {
        let (dialled, accepted) = quic_pair(from, to, None).await;
        assert!(dialled.is_err() || accepted.is_err(), "the old CA is gone");
    }
    let late = tls::joining_client(old.fingerprint()).expect("usable");
    let refused = target(&address, late).dial().await.expect_err("the old CA is gone");
    assert!(refused.to_string().contains("another cluster"), "{refused}");
}

#[tokio::test]
async fn a_quic_port_answers_a_knock_of_somebody_without_an_identity() {
    let endpoint = endpoint(&node(&lab(), Role::Worker));
    let address = endpoint.local_address().expect("bound");
    assert_eq!(knock(address, 5, SOON).await.expect("sent"), 5);
}
