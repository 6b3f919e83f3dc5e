//! Messages over their bound: refused by it, before they take memory.

use std::sync::Arc;
use std::time::Duration;

use protocol::control::{JoinRequest, Role};
use protocol::identity::{IdentityStore, JoinToken, NodeKey};
use protocol::rpc::Envelope;
use protocol::rpc::identity_client::IdentityClient;
use protocol::rpc::join_client::JoinClient;
use protocol::transport::tls::{GRPC_ALPN, joining_client};
use protocol::transport::{GrpcTarget, NodeTls};
use tests::process::Cluster;

use super::{one_worker, undisturbed_by};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_its_bound_is_refused_from_a_stranger_and_from_a_member() {
    let cluster = Cluster::with_demo(&one_worker(), 1).await;
    let token = cluster.join_token("worker", 600, 1).await;
    let token: JoinToken = token.parse().expect("a token");
    let address = cluster.node_address(0);
    let large = Envelope { payload: vec![b' '; 8 << 20] };
    let asking = async {
        let tls = Arc::new(joining_client(token.ca).expect("usable"));
        let target = GrpcTarget { address: address.clone(), tls, dial_timeout: PATIENCE };
        let mut join = JoinClient::new(target.connect().await.expect("in"));
        let refused = join.join(large.clone()).await.expect_err("too large");
        assert!(refused.message().contains("too large"), "{refused}");

        let store = IdentityStore::open(&cluster.folder().join("n1")).expect("opens");
        let identity = store.load().expect("readable").expect("a member");
        let tls = NodeTls::new(&identity).expect("usable");
        let tls = Arc::new(tls.client(None, GRPC_ALPN).expect("usable"));
        let target = GrpcTarget { address: address.clone(), tls, dial_timeout: PATIENCE };
        let mut member = IdentityClient::new(target.connect().await.expect("in"));
        let refused = member.renew(large).await.expect_err("too large");
        assert!(refused.message().contains("too large"), "{refused}");

        // Within the bound, and still not what the secret opens.
        let tls = Arc::new(joining_client(token.ca).expect("usable"));
        let target = GrpcTarget { address: address.clone(), tls, dial_timeout: PATIENCE };
        let key = NodeKey::generate().expect("a key");
        let request = JoinRequest {
            secret: "x".repeat(1000),
            name: "x".into(),
            role: Role::Worker,
            csr_pem: key.signing_request().expect("a request"),
            coordinator: None,
        };
        let envelope = Envelope::pack("JoinRequest", &request).expect("packs");
        let mut join = JoinClient::new(target.connect().await.expect("in"));
        let refused = join.join(envelope).await.expect_err("a wrong secret");
        assert!(refused.message().contains("does not know"), "{refused}");
    };
    undisturbed_by(&cluster, asking).await;
}
