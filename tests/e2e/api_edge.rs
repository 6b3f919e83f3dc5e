//! The API off loopback: TLS under the cluster's own CA, and nothing without a key.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use tests::process::{NodeProcess, binary, free_port};

/// A coordinator that listens to clients on every interface, and the folder of its operator.
struct Edge {
    folder: tempfile::TempDir,
    address: String,
    _coordinator: NodeProcess,
}

impl Edge {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (listen, port) = (format!("127.0.0.1:{}", free_port()), free_port());
        let address = format!("127.0.0.1:{port}");
        let data_dir = folder.path().join("c1").display().to_string();
        let init = ["cluster", "init", "--name", "edge", "--data-dir", &data_dir];
        let made = Command::new(binary())
            .args(init)
            .args(["--listen", &listen, "--api-listen", &address])
            .env("XDG_CONFIG_HOME", folder.path())
            .output()
            .expect("the binary starts");
        assert!(made.status.success(), "{made:?}");
        let everywhere = format!("0.0.0.0:{port}");
        let arguments = ["coordinator", "--data-dir", &data_dir, "--api-listen", &everywhere];
        let arguments = arguments.map(str::to_owned).to_vec();
        let _coordinator = NodeProcess::start("c1", arguments, folder.path());
        Self { folder, address, _coordinator }
    }

    /// The CLI with what `cluster init` saved: the CA and the admin key.
    fn cli(&self, arguments: &[&str]) -> Output {
        Command::new(binary())
            .args(arguments)
            .args(["--api", &format!("https://{}", self.address)])
            .env("XDG_CONFIG_HOME", self.folder.path())
            .output()
            .expect("the binary starts")
    }

    async fn get(&self, path: &str, key: Option<&str>) -> (u16, serde_json::Value) {
        let ca = std::fs::read(self.folder.path().join("c1/identity/ca.crt")).expect("a CA");
        let ca = reqwest::Certificate::from_pem(&ca).expect("PEM");
        let client = http().tls_certs_only([ca]).build().expect("a client");
        let mut request = client.get(format!("https://{}{path}", self.address));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.expect("an answer over TLS");
        let status = response.status().as_u16();
        (status, response.json().await.expect("JSON"))
    }
}

fn http() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy()
}

fn key_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn off_loopback_the_api_speaks_tls_and_asks_for_a_key() {
    let edge = Edge::start();
    for _ in 0..200 {
        if edge.cli(&["cluster", "status"]).status.success() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = edge.cli(&["cluster", "status"]);
    assert!(status.status.success(), "{status:?}");

    for key in [None, Some("sk-trireme-wrong")] {
        for path in ["/v1/models", "/admin/v1/nodes"] {
            let (status, body) = edge.get(path, key).await;
            assert_eq!(status, 401, "{path} {key:?} {body}");
            assert!(body["error"]["message"].is_string(), "{body}");
        }
    }
    let made = edge.cli(&["keys", "create", "bot", "--quiet"]);
    let key = key_of(&made);
    assert!(made.status.success() && !key.is_empty(), "{made:?}");
    assert_eq!(edge.get("/v1/models", Some(&key)).await.0, 200);
    assert_eq!(edge.get("/admin/v1/nodes", Some(&key)).await.0, 403, "a user is no admin");
    assert_eq!(edge.get("/health", None).await.0, 200, "a load balancer has no key");

    let plain = http().build().expect("a client");
    assert!(plain.get(format!("http://{}/health", edge.address)).send().await.is_err());
    let trusting_others = plain.get(format!("https://{}/health", edge.address)).send().await;
    let error = format!("{:?}", trusting_others.expect_err("an unknown CA"));
    assert!(error.contains("UnknownIssuer"), "{error}");
    assert!(Path::new(edge.folder.path()).join("trireme/contexts.toml").exists());
}
