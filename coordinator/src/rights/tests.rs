//! Every line of the table, with every role and with none, against a running coordinator.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::*;
use crate::{Config, InitOptions, Listeners};

struct Api {
    address: std::net::SocketAddr,
}

impl Api {
    async fn status(&self, method: &str, path: &str, key: &str, body: &str) -> u16 {
        let mut stream = self.send(method, path, key, body).await;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.expect("a status line");
        let status = std::str::from_utf8(&head[9..]).expect("text");
        status.parse().expect("a status")
    }

    async fn json(&self, method: &str, path: &str, key: &str, body: &str) -> Value {
        let mut stream = self.send(method, path, key, body).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).unwrap_or_default()
    }

    async fn send(&self, method: &str, path: &str, key: &str, body: &str) -> tokio::net::TcpStream {
        let mut stream = tokio::net::TcpStream::connect(self.address).await.expect("the API");
        let key = if key.is_empty() { String::new() } else { format!("x-api-key: {key}\r\n") };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{key}\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream
    }
}

/// The path of a line as a client may write it: of a thing that is not there.
fn example(path: &str) -> String {
    let part =
        |part: &str| if part.starts_with('{') { "nobody".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

async fn check(api: &Api, keys: &[(KeyRole, String)]) {
    let mut wrong = Vec::new();
    for right in RIGHTS {
        let prefix = if right.path.starts_with("/admin/") { [""].as_slice() } else { &["", "/v1"] };
        for prefix in prefix {
            let path = format!("{prefix}{}", example(right.path));
            if path == "/v1/metrics" {
                continue;
            }
            let nobody = api.status(right.method, &path, "", "{}").await;
            if nobody != 401 {
                wrong.push(format!("{} {path} without a key: {nobody}", right.method));
            }
            for (role, key) in keys {
                let status = api.status(right.method, &path, key, "{}").await;
                let passed = !matches!(status, 401 | 403);
                if passed != right.roles.contains(role) {
                    wrong.push(format!("{} {path} as {}: {status}", right.method, role.name()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_running_api_lets_in_whom_the_table_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let founded = crate::init(InitOptions {
        name: "c0".into(),
        data_dir: folder.path().to_owned(),
        cluster: "lab".into(),
        address: "127.0.0.1:1".into(),
        api_address: "127.0.0.1:1".into(),
    });
    let admin = founded.await.expect("a cluster").admin_key;
    let mut config = Config::new(folder.path().to_owned());
    config.listen = ([127, 0, 0, 1], 0).into();
    config.api_listen = ([127, 0, 0, 1], 0).into();
    config.require_keys = true;
    let listeners = Listeners::bind(&config).await.expect("ports");
    let api = Api { address: listeners.api_address().expect("bound") };
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(crate::run_on(config, listeners, stopped));
    let mut keys = Vec::new();
    for role in KeyRole::ALL {
        let body = json!({ "name": role.name(), "role": role.name() }).to_string();
        let made = api.json("POST", "/admin/v1/keys", &admin, &body).await;
        keys.push((role, made["key"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()));
    }
    check(&api, &keys).await;
    let served = api.json("GET", "/admin/v1/openapi.json", &admin, "").await;
    let mut described = BTreeSet::new();
    for (path, item) in served["paths"].as_object().expect("paths") {
        let methods = item.as_object().expect("an item").keys();
        described.extend(methods.map(|m| format!("{} {path}", m.to_uppercase())));
    }
    let line = |r: &Right| format!("{} {}", r.method, r.path.replace("{*", "{"));
    let lines: BTreeSet<_> =
        RIGHTS.iter().filter(|r| r.path.starts_with("/admin/")).map(line).collect();
    let missing: Vec<_> = described.difference(&lines).collect();
    assert!(missing.is_empty(), "routes without a line in the table of rights: {missing:?}");
    let gone: Vec<_> = lines.difference(&described).collect();
    assert_eq!(gone, ["GET /admin/v1/openapi.json"], "lines without a route");
    stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(20), running)
        .await
        .expect("it ends")
        .expect("no panic")
        .expect("no error");
}
