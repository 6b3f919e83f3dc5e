//! The store against openraft's own suite; groups of one and three voters over real TLS.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use protocol::control::LOG_LEVEL;
use tempfile::TempDir;

use super::log_store::LogStore;
use super::snapshot::SnapshotFile;
use super::state_machine::StateMachine;
use super::type_config::TypeConfig;

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().expect("a folder");
        let log = LogStore::open(&folder.path().join("raft.redb")).expect("a log");
        let file = SnapshotFile::at(&folder.path().join("snapshot.json"));
        let (machine, _) = StateMachine::open(file, LOG_LEVEL).expect("a state machine");
        Ok((folder, log, machine))
    }
}

#[tokio::test]
async fn the_store_passes_the_suite_of_openraft() {
    let passed: Result<(), StorageError<TypeConfig>> = Suite::test_all(Builder).await;
    passed.expect("the suite");
}

mod lost_writes;
mod torn_files;

mod group {
    use std::sync::Arc;
    use std::time::Duration;

    use protocol::control::{JoinRequest, JoinResponse, Role};
    use protocol::identity::{ClusterCa, Identity, IdentityStore, JoinSecret};
    use protocol::rpc::Envelope;
    use protocol::rpc::join_client::JoinClient;
    use protocol::transport::GrpcTarget;
    use protocol::transport::tls::joining_client;
    use tokio::sync::watch;
    use tokio::task::JoinHandle;

    use crate::state::{Change, State};
    use crate::{Config, CoordinatorError, InitOptions, Listeners};

    /// A coordinator in this process, on loopback ports of its own.
    struct Running {
        stop: watch::Sender<bool>,
        task: JoinHandle<Result<(), CoordinatorError>>,
        node_port: u16,
        api_port: u16,
    }

    async fn start(folder: &std::path::Path, ports: Option<(u16, u16)>) -> Running {
        bind(folder, ports).await.run()
    }

    /// Sockets before there is an identity: a joiner says where it will be reached.
    struct Bound {
        config: Config,
        listeners: Listeners,
    }

    async fn bind(folder: &std::path::Path, ports: Option<(u16, u16)>) -> Bound {
        let mut config = Config::new(folder.to_owned());
        let (node_port, api_port) = ports.unwrap_or((0, 0));
        config.listen = ([127, 0, 0, 1], node_port).into();
        config.api_listen = ([127, 0, 0, 1], api_port).into();
        let listeners = Listeners::bind(&config).await.expect("ports");
        Bound { config, listeners }
    }

    impl Bound {
        fn node_port(&self) -> u16 {
            self.listeners.node_address().expect("bound").port()
        }

        fn run(self) -> Running {
            let node_port = self.node_port();
            let api_port = self.listeners.api_address().expect("bound").port();
            let (stop, stopped) = watch::channel(false);
            let task = tokio::spawn(crate::run_on(self.config, self.listeners, stopped));
            Running { stop, task, node_port, api_port }
        }
    }

    impl Running {
        async fn stop(self) -> (u16, u16) {
            self.stop.send_replace(true);
            let ended = tokio::time::timeout(Duration::from_secs(15), self.task).await;
            ended.expect("it ends").expect("no panic").expect("no error");
            (self.node_port, self.api_port)
        }

        /// A body of the admin API; small enough to read until the connection closes.
        async fn admin(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let address = ("127.0.0.1", self.api_port);
            let mut stream = tokio::net::TcpStream::connect(address).await.expect("API");
            let request = format!(
                "{method} /admin/v1/{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await.expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("answered");
            let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
            let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
            (status, serde_json::from_str(body).unwrap_or_default())
        }

        async fn until(&self, what: &str, holds: impl Fn(&serde_json::Value) -> bool) {
            for _ in 0..400 {
                let (_, status) = self.admin("GET", "cluster", "").await;
                if holds(&status) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            panic!("never: {what}");
        }
    }

    async fn found(folder: &std::path::Path) -> String {
        let made = crate::init(InitOptions {
            name: "c0".into(),
            data_dir: folder.to_owned(),
            cluster: "lab".into(),
            address: "127.0.0.1:1".into(),
            api_address: "127.0.0.1:1".into(),
        });
        made.await.expect("a cluster").admin_key
    }

    /// Asks for membership with a token's secret, as a joiner does.
    async fn ask(
        ca: &ClusterCa,
        (port, own): (u16, u16),
        secret: &str,
        folder: &std::path::Path,
        name: &str,
        role: Role,
    ) -> Result<JoinResponse, tonic::Status> {
        let store = IdentityStore::open(folder).expect("a folder");
        let key = store.node_key().expect("a key");
        let address = format!("127.0.0.1:{own}");
        let endpoint = protocol::control::CoordinatorEndpoint::new(address, "127.0.0.1:1");
        let request = JoinRequest {
            secret: secret.into(),
            name: name.into(),
            role,
            csr_pem: key.signing_request().expect("a request"),
            coordinator: (role == Role::Coordinator).then_some(endpoint),
        };
        let tls = joining_client(ca.fingerprint()).expect("TLS").into();
        let address = format!("127.0.0.1:{port}");
        let target = GrpcTarget { address, tls, dial_timeout: Duration::from_secs(3) };
        let channel = target.connect().await.expect("reachable");
        let envelope = Envelope::pack("JoinRequest", &request).expect("packs");
        let response = JoinClient::new(channel).join(envelope).await?.into_inner();
        let response: JoinResponse = response.unpack("JoinResponse").expect("unpacks");
        if let Some(ca_key) = &response.ca_key_pem {
            let ca = ClusterCa::from_pem(&response.ca_pem, ca_key).expect("the CA");
            store.save_ca(&ca).expect("saved");
        }
        let pem = response.certificate_pem.clone();
        let identity = Identity::new(&key, pem, response.ca_pem.clone()).expect("an identity");
        store.save(&identity).expect("saved");
        Ok(response)
    }

    async fn token(running: &Running, role: &str, uses: u32) -> String {
        let body = format!(r#"{{"role":"{role}","ttlSeconds":60,"uses":{uses}}}"#);
        let (status, made) = running.admin("POST", "join-tokens", &body).await;
        assert_eq!(status, 200, "{made}");
        let token = made["token"].as_str().expect("a token");
        token.split('.').nth(2).and_then(|rest| rest.split('@').next()).expect("a secret").into()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_joiner_without_a_good_token_learns_why_and_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        found(folder.path()).await;
        let running = start(folder.path(), None).await;
        running.until("a leader", |s| s["hasQuorum"] == true).await;
        let store = IdentityStore::open(folder.path()).expect("a folder");
        let ca = store.load_ca().expect("readable").expect("a CA");
        let secret = token(&running, "worker", 1).await;
        let joiner = tempfile::tempdir().expect("a folder");
        let other = tempfile::tempdir().expect("a folder");
        let try_join = |secret: String, to: std::path::PathBuf, name: &'static str, role| {
            let ca = &ca;
            let port = running.node_port;
            async move { ask(ca, (port, 1), &secret, &to, name, role).await }
        };
        let wrong = JoinSecret::generate().expect("random").expose().to_owned();
        let says = |refused: Result<JoinResponse, tonic::Status>, what: &str| {
            let status = refused.expect_err("refused");
            assert!(status.message().contains(what), "{}", status.message());
        };
        let at = joiner.path().to_owned();
        says(try_join(wrong, at.clone(), "w1", Role::Worker).await, "does not know");
        let refused = try_join(secret.clone(), at.clone(), "c9", Role::Coordinator).await;
        says(refused, "for a worker");
        let joined = try_join(secret.clone(), at, "w1", Role::Worker).await.expect("joined");
        assert!(joined.ca_key_pem.is_none(), "a worker gets no CA key");
        let refused = try_join(secret, other.path().to_owned(), "w2", Role::Worker).await;
        says(refused, "used up");
        let (_, nodes) = running.admin("GET", "nodes", "").await;
        assert_eq!(nodes["items"].as_array().map(Vec::len), Some(2), "{nodes}");
        let (status, error) = running.admin("GET", "nodes/nobody", "").await;
        assert_eq!((status, error["error"]["code"].as_str()), (404, Some("not_found")));
        running.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn three_coordinators_survive_their_leader_and_a_restart_of_all() {
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a folder")).collect();
        found(folders[0].path()).await;
        let first = start(folders[0].path(), None).await;
        first.until("a leader", |s| s["hasQuorum"] == true).await;
        let store = IdentityStore::open(folders[0].path()).expect("a folder");
        let ca = store.load_ca().expect("readable").expect("a CA");
        let secret = token(&first, "coordinator", 2).await;
        let mut running = vec![Some(first)];
        for (i, folder) in folders.iter().enumerate().skip(1) {
            let port = running[0].as_ref().expect("up").node_port;
            let name = format!("c{i}");
            let bound = bind(folder.path(), None).await;
            let ports = (port, bound.node_port());
            ask(&ca, ports, &secret, folder.path(), &name, Role::Coordinator)
                .await
                .expect("joined");
            running.push(Some(bound.run()));
        }
        for node in running.iter().flatten() {
            node.until("three voters", |s| {
                s["coordinators"].as_array().map(Vec::len) == Some(3) && s["hasQuorum"] == true
            })
            .await;
        }
        // A change through a follower, then through what is left after the leader is gone.
        let key = |name: &str| format!(r#"{{"name":"{name}","role":"user"}}"#);
        let second = running[1].as_ref().expect("up");
        assert_eq!(second.admin("POST", "keys", &key("before")).await.0, 200);
        second.until("voters", |s| s["commitIndex"].as_u64() > Some(8)).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut ports = vec![running[0].take().expect("up").stop().await];
        let second = running[1].as_ref().expect("up");
        let (status, made) = second.admin("POST", "keys", &key("after")).await;
        assert_eq!(status, 200, "{made}");
        for node in running.iter_mut().skip(1) {
            ports.push(node.take().expect("up").stop().await);
        }
        let mut again = Vec::new();
        for (folder, ports) in folders.iter().zip(ports) {
            again.push(start(folder.path(), Some(ports)).await);
        }
        for node in &again {
            node.until("a leader again", |s| s["hasQuorum"] == true).await;
        }
        let (_, keys) = again[2].admin("GET", "keys", "").await;
        let names = keys.to_string();
        assert!(names.contains("before") && names.contains("after"), "{names}");
        for node in again {
            node.stop().await;
        }
    }

    /// The log it would need from its beginning is gone by then.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "long: thousands of changes before it joins"]
    async fn a_coordinator_that_joins_late_catches_up_by_snapshot() {
        const CHANGES: usize = 2700;
        let folders: Vec<_> = (0..2).map(|_| tempfile::tempdir().expect("a folder")).collect();
        found(folders[0].path()).await;
        let first = Arc::new(start(folders[0].path(), None).await);
        first.until("a leader", |s| s["hasQuorum"] == true).await;
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..16 {
            let first = Arc::clone(&first);
            writers.spawn(async move {
                for number in (writer..CHANGES).step_by(16) {
                    let body = format!(r#"{{"name":"key-{number}","role":"user"}}"#);
                    assert_eq!(first.admin("POST", "keys", &body).await.0, 200);
                }
            });
        }
        while let Some(written) = writers.join_next().await {
            written.expect("no panic");
        }
        let store = IdentityStore::open(folders[0].path()).expect("a folder");
        let ca = store.load_ca().expect("readable").expect("a CA");
        let secret = token(&first, "coordinator", 1).await;
        let bound = bind(folders[1].path(), None).await;
        let ports = (first.node_port, bound.node_port());
        ask(&ca, ports, &secret, folders[1].path(), "c1", Role::Coordinator).await.expect("joined");
        let second = bound.run();
        second.until("a quorum", |s| s["hasQuorum"] == true).await;
        let (status, keys) = second.admin("GET", "keys?consistent=true", "").await;
        assert_eq!(status, 200, "{keys}");
        // The founder's key is one of them.
        assert_eq!(keys["items"].as_array().map(Vec::len), Some(CHANGES + 1));
        let snapshot = folders[1].path().join("snapshot.json");
        assert!(snapshot.exists(), "it was sent entries, not a snapshot");
        second.stop().await;
        Arc::into_inner(first).expect("the last one").stop().await;
    }

    #[test]
    fn a_proposal_names_its_change_and_no_content() {
        let change = Change::AddKey {
            name: "secret-name".into(),
            role: protocol::admin::KeyRole::User,
            hash: protocol::ids::Digest::of(b"k"),
            prefix: "sk".into(),
        };
        let command = crate::state::Command::new(State::default().clock, change);
        assert!(!command.to_string().contains("secret-name"));
    }
}
