//! A cluster of processes on loopback, driven through the CLI and the API like an operator's.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::Api;
use super::node::NodeProcess;

/// Promised times are given three times their length in process tests; this is far beyond them.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Clone, Debug)]
pub struct ClusterOptions {
    pub coordinators: usize,
    pub workers: usize,
    /// As `--memory-limit` takes it.
    pub memory_limit: Option<String>,
    /// More arguments of every coordinator.
    pub coordinator_arguments: Vec<String>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { coordinators: 1, workers: 3, memory_limit: None, coordinator_arguments: Vec::new() }
    }
}

pub struct Cluster {
    pub coordinators: Vec<NodeProcess>,
    pub workers: Vec<NodeProcess>,
    apis: Vec<Api>,
    coordinator_arguments: Vec<String>,
    /// As `cluster init` showed it.
    pub recovery_key: String,
    folder: tempfile::TempDir,
}

impl Cluster {
    pub async fn start(options: &ClusterOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let coordinator_arguments = options.coordinator_arguments.clone();
        let mut cluster = Self {
            coordinators: vec![],
            workers: vec![],
            apis: vec![],
            coordinator_arguments,
            recovery_key: String::new(),
            folder,
        };
        cluster.first_coordinator().await;
        for _ in 1..options.coordinators {
            cluster.add_coordinator().await;
        }
        for _ in 0..options.workers {
            cluster.add_worker(options.memory_limit.as_deref()).await;
        }
        cluster.nodes_ready(options.workers).await;
        cluster.all_vote().await;
        cluster
    }

    /// As many coordinators as may: one, three or five.
    async fn all_vote(&self) {
        let may = (self.coordinators.len() - 1) / 2 * 2 + 1;
        self.until("the voters", async || {
            let list = self.api(0).get("/admin/v1/cluster/members").await.ok()?;
            let votes = |m: &&Value| m["part"] == "leader" || m["part"] == "voter";
            (list["items"].as_array()?.iter().filter(votes).count() == may.min(5)).then_some(())
        })
        .await;
    }

    /// A cluster that serves the demo model, split into `stages`.
    pub async fn with_demo(options: &ClusterOptions, stages: usize) -> Self {
        let cluster = Self::start(options).await;
        cluster.import(&super::repository_file("models/demo/demo.gguf"), "demo").await;
        cluster.deploy("demo", json!({ "stages": stages })).await;
        cluster
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The API of the coordinator with this index.
    pub fn api(&self, coordinator: usize) -> &Api {
        &self.apis[coordinator]
    }

    /// Where the coordinator with this index listens to nodes, on TCP and UDP.
    pub fn node_address(&self, coordinator: usize) -> String {
        self.coordinators[coordinator].option("--listen")
    }

    pub fn api_address(&self, coordinator: usize) -> String {
        self.coordinators[coordinator].option("--api-listen")
    }

    /// Where the worker with this index listens to nodes, on UDP and TCP.
    pub fn worker_address(&self, worker: usize) -> String {
        self.workers[worker].option("--listen")
    }

    pub async fn add_worker(&mut self, memory_limit: Option<&str>) {
        let name = format!("n{}", self.workers.len() + 1);
        self.add_worker_called(&name, memory_limit).await;
    }

    pub async fn add_worker_called(&mut self, name: &str, memory_limit: Option<&str>) {
        let data_dir = self.path(name);
        self.join(name, "worker", &["--data-dir", &data_dir]).await;
        let address = format!("127.0.0.1:{}", super::free_port());
        let mut arguments = strings(&["worker", "--data-dir", &data_dir, "--name", name]);
        arguments.extend(strings(&["--listen", &address]));
        arguments.extend(memory_limit.iter().flat_map(|l| strings(&["--memory-limit", l])));
        self.workers.push(NodeProcess::start(name, arguments, self.folder.path()));
    }

    /// On two workers, where there are two: any one node may die, also one that holds all of it.
    pub async fn import(&self, path: &Path, name: &str) {
        for worker in self.workers.iter().take(2) {
            let body = json!({ "name": name, "path": path, "node": worker.name });
            let started = self.api(0).post("/admin/v1/models", body).await.expect("import starts");
            let view = self.operation(&started).await;
            assert_eq!(view["state"], "done", "{view:#}");
        }
    }

    pub async fn deploy(&self, model: &str, options: Value) {
        let view = self.try_deploy(model, options).await;
        assert_eq!(view["state"], "done", "{view:#}");
    }

    /// The operation's last view, whatever came of it.
    pub async fn try_deploy(&self, model: &str, options: Value) -> Value {
        let body = json!({ "model": model, "options": options });
        match self.api(0).post("/admin/v1/deployments", body).await {
            Ok(operation) => self.operation(&operation).await,
            Err(failure) => failure.body,
        }
    }

    pub async fn undeploy(&self, model: &str) {
        let path = format!("/admin/v1/deployments/{model}");
        let operation = self.api(0).delete(&path).await.expect("undeploy starts");
        self.operation(&operation).await;
    }

    /// Names of the nodes that hold the stages of `model`, in order.
    pub async fn placement(&self, model: &str) -> Vec<String> {
        let view = self.api(0).get(&format!("/admin/v1/models/{model}")).await.expect("a model");
        let stages = view["deployment"]["stages"].as_array().cloned().unwrap_or_default();
        stages.iter().filter_map(|s| s["name"].as_str().map(str::to_owned)).collect()
    }

    /// Names of the nodes of each stage's ranks, in order.
    pub async fn ranks(&self, model: &str) -> Vec<Vec<String>> {
        let view = self.api(0).get(&format!("/admin/v1/models/{model}")).await.expect("a model");
        let stages = view["deployment"]["stages"].as_array().cloned().unwrap_or_default();
        let name = |rank: &Value| rank["name"].as_str().map(str::to_owned);
        let ranks = |stage: &Value| stage["ranks"].as_array().cloned().unwrap_or_default();
        stages.iter().map(|stage| ranks(stage).iter().filter_map(name).collect()).collect()
    }

    pub fn worker(&mut self, name: &str) -> &mut NodeProcess {
        self.workers.iter_mut().find(|w| w.name == name).expect("a worker of this name")
    }

    pub async fn nodes_ready(&self, count: usize) {
        self.nodes_ready_by(0, count).await;
    }

    /// As the coordinator with this index sees it.
    pub async fn nodes_ready_by(&self, coordinator: usize, count: usize) {
        self.until("nodes ready", async || {
            let list = self.api(coordinator).get("/admin/v1/nodes").await.ok()?;
            let ready = list["items"].as_array()?.iter();
            let worker = |n: &&Value| n["roles"][0] == "worker" && n["state"] == "ready";
            (ready.filter(worker).count() >= count).then_some(())
        })
        .await
    }

    pub async fn deployment_state(&self, model: &str, state: &str) {
        self.until(&format!("{model} {state}"), async || {
            let view = self.api(0).get(&format!("/admin/v1/models/{model}")).await.ok()?;
            (view["deployment"]["state"] == state).then_some(())
        })
        .await
    }

    /// Polls until `ready` gives a value.
    pub async fn until<T>(&self, what: &str, ready: impl AsyncFn() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = ready().await {
                return value;
            }
            assert!(Instant::now() < deadline, "waited for {what}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The last lines of every node's log.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for node in self.coordinators.iter().chain(&self.workers) {
            let log = node.log();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(25)..];
            text.push_str(&format!("--- {}\n{}\n", node.name, last.join("\n")));
        }
        text
    }

    /// Runs the CLI against this cluster.
    pub fn cli(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(super::binary())
            .args(arguments)
            .env("TRIREME_API", self.api(0).base())
            .env("XDG_CONFIG_HOME", self.folder.path())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("the binary starts")
    }

    async fn first_coordinator(&mut self) {
        let data_dir = self.path("c1");
        let (listen, api) = (loopback(), loopback());
        let init = ["cluster", "init", "--name", "test", "--data-dir", &data_dir];
        let init = [&init[..], &["--node-name", "c1"]].concat();
        let output = Command::new(super::binary())
            .args(init)
            .args(["--listen", &listen, "--api-listen", &api])
            .env("XDG_CONFIG_HOME", self.folder.path())
            .output()
            .expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let key = said.lines().find(|line| line.starts_with("trr1-"));
        self.recovery_key = key.expect("the recovery key is shown").to_owned();
        self.start_coordinator("c1", &data_dir, &listen, &api).await;
    }

    pub async fn add_coordinator(&mut self) {
        let name = format!("c{}", self.coordinators.len() + 1);
        let data_dir = self.path(&name);
        let (listen, api) = (loopback(), loopback());
        let arguments = ["--data-dir", &data_dir, "--listen", &listen, "--api-listen", &api];
        self.join(&name, "coordinator", &arguments).await;
        self.start_coordinator(&name, &data_dir, &listen, &api).await;
    }

    async fn start_coordinator(&mut self, name: &str, data_dir: &str, listen: &str, api: &str) {
        let arguments = ["coordinator", "--data-dir", data_dir, "--listen", listen];
        let mut arguments = strings(&arguments);
        arguments.extend(strings(&["--api-listen", api]));
        arguments.extend(self.coordinator_arguments.clone());
        self.coordinators.push(NodeProcess::start(name, arguments, self.folder.path()));
        self.apis.push(Api::new(format!("http://{api}")));
        let api = self.apis[self.apis.len() - 1].clone();
        self.until(&format!("{name} has a quorum"), async || {
            let status = api.get("/admin/v1/cluster").await.ok()?;
            (status["hasQuorum"] == true).then_some(())
        })
        .await;
    }

    pub async fn join_token(&self, role: &str, seconds: u64, uses: u32) -> String {
        let body = json!({ "role": role, "ttlSeconds": seconds, "uses": uses });
        let token = self.api(0).post("/admin/v1/join-tokens", body).await.expect("a token");
        token["token"].as_str().expect("a token").to_owned()
    }

    async fn join(&self, name: &str, role: &str, arguments: &[&str]) {
        let token = self.join_token(role, 600, 1).await;
        let join = ["node", "join", &token, "--name", name, "--role", role];
        let output = tokio::task::block_in_place(|| self.cli(&[&join, arguments].concat()));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    async fn operation(&self, started: &Value) -> Value {
        let id = started["id"].as_str().expect("an operation id").to_owned();
        self.until("an operation", async || {
            let view = self.api(0).get(&format!("/admin/v1/operations/{id}")).await.ok()?;
            (view["state"] != "running").then_some(view)
        })
        .await
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// Index of the coordinator that leads, as one that answers sees it.
pub async fn leader(cluster: &Cluster) -> usize {
    cluster
        .until("a leader", async || {
            for (index, node) in cluster.coordinators.iter().enumerate() {
                if !node.is_running() {
                    continue;
                }
                let status = cluster.api(index).get("/admin/v1/cluster").await.ok()?;
                if status["leader"] == status["thisNode"] && status["hasQuorum"] == true {
                    return Some(index);
                }
            }
            None
        })
        .await
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|&s| s.to_owned()).collect()
}

fn loopback() -> String {
    format!("127.0.0.1:{}", super::free_port())
}
