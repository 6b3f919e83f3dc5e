//! A cluster whose nodes are hosts of their own.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::netns::{Host, Network};
use tests::process::{Api, NodeProcess, binary, repository_file};
use tests::relay::{Relay, Weather};

const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Lab {
    pub(crate) coordinators: Vec<Machine>,
    pub(crate) workers: Vec<Machine>,
    folder: tempfile::TempDir,
    key: String,
    weather: Option<Weather>,
    relays: Vec<Relay>,
    // Last, as the processes go before their hosts.
    network: Network,
}

pub(crate) struct Machine {
    pub(crate) host: Host,
    pub(crate) process: NodeProcess,
    /// Of a coordinator.
    pub(crate) api: Api,
}

impl Lab {
    /// `None`, and a line that says why, where hosts cannot be had.
    pub(crate) async fn start(coordinators: usize, workers: usize) -> Option<Self> {
        Self::in_weather(coordinators, workers, None).await
    }

    /// Where `weather` is given, all that goes to a coordinator goes through it.
    pub(crate) async fn in_weather(
        coordinators: usize,
        workers: usize,
        weather: Option<Weather>,
    ) -> Option<Self> {
        let network = match Network::new() {
            Ok(network) => network,
            Err(why) => {
                skipped(&why);
                return None;
            }
        };
        let folder = tempfile::tempdir().expect("a folder");
        let mut lab = Self {
            coordinators: Vec::new(),
            workers: Vec::new(),
            folder,
            key: String::new(),
            weather,
            relays: Vec::new(),
            network,
        };
        for _ in 0..coordinators {
            lab.add_coordinator().await;
        }
        lab.until("every coordinator votes", async |lab| {
            let nodes = lab.coordinators[0].api.get("/admin/v1/nodes").await.ok()?;
            let votes = |n: &&Value| n["reason"] == "voter" || n["reason"] == "leader";
            (nodes["items"].as_array()?.iter().filter(votes).count() == coordinators).then_some(())
        })
        .await;
        for _ in 0..workers {
            lab.add_worker().await;
        }
        lab.workers_ready(workers).await;
        Some(lab)
    }

    pub(crate) async fn deploy_demo(&self, stages: usize) {
        let path = repository_file("models/demo/demo.gguf");
        for worker in &self.workers {
            let body = json!({ "name": "demo", "path": path, "node": worker.process.name });
            self.operation(self.coordinators[0].api.post("/admin/v1/models", body).await).await;
        }
        let body = json!({ "model": "demo", "options": { "stages": stages } });
        self.operation(self.coordinators[0].api.post("/admin/v1/deployments", body).await).await;
    }

    pub(crate) async fn deployment(&self) -> Value {
        let model = self.coordinators[0].api.get("/admin/v1/models/demo").await.expect("a model");
        model["deployment"].clone()
    }

    pub(crate) async fn workers_ready(&self, count: usize) {
        self.until("the workers are ready", async |lab| {
            (lab.states().await?.iter().filter(|s| *s == "ready").count() == count).then_some(())
        })
        .await;
    }

    /// Of the workers, as the first coordinator sees them.
    pub(crate) async fn states(&self) -> Option<Vec<String>> {
        let nodes = self.coordinators[0].api.get("/admin/v1/nodes").await.ok()?;
        let workers = nodes["items"].as_array()?.iter().filter(|n| n["roles"][0] == "worker");
        Some(workers.filter_map(|n| n["state"].as_str().map(str::to_owned)).collect())
    }

    /// Index of the coordinator that leads with a quorum.
    pub(crate) async fn leader(&self) -> usize {
        self.until("a leader", async |lab| {
            for (index, coordinator) in lab.coordinators.iter().enumerate() {
                let status = coordinator.api.get("/admin/v1/cluster").await;
                let leads = |s: &Value| s["leader"] == s["thisNode"] && s["hasQuorum"] == true;
                if status.is_ok_and(|status| leads(&status)) {
                    return Some(index);
                }
            }
            None
        })
        .await
    }

    /// Nothing passes between `some` coordinators and the others.
    pub(crate) fn split(&self, some: &[usize]) {
        for (index, one) in self.coordinators.iter().enumerate() {
            for (other_index, other) in self.coordinators.iter().enumerate() {
                if some.contains(&index) != some.contains(&other_index) {
                    one.host.drop_from(&other.host);
                }
            }
        }
    }

    /// Nothing passes between a coordinator and any other node.
    pub(crate) fn isolate(&self, index: usize) {
        self.split(&[index]);
        let cut = &self.coordinators[index].host;
        for worker in &self.workers {
            worker.host.drop_from(cut);
            cut.drop_from(&worker.host);
        }
    }

    pub(crate) fn heal(&self) {
        self.coordinators.iter().chain(&self.workers).for_each(|machine| machine.host.heal());
    }

    pub(crate) async fn until<T>(&self, what: &str, ready: impl AsyncFn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = ready(self).await {
                return value;
            }
            assert!(Instant::now() < deadline, "waited until {what}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for machine in self.coordinators.iter().chain(&self.workers) {
            let log = machine.process.log();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(20)..];
            text.push_str(&format!("--- {}\n{}\n", machine.process.name, last.join("\n")));
        }
        text
    }

    async fn operation(&self, started: Result<Value, tests::process::Failure>) {
        let id = started.expect("it starts")["id"].as_str().expect("an id").to_owned();
        let view = self
            .until("an operation ends", async |lab| {
                let path = format!("/admin/v1/operations/{id}");
                let view = lab.coordinators[0].api.get(&path).await.ok()?;
                (view["state"] != "running").then_some(view)
            })
            .await;
        assert_eq!(view["state"], "done", "{view:#}");
    }

    async fn add_coordinator(&mut self) {
        let host = self.network.host().expect("a host");
        let name = format!("c{}", self.coordinators.len() + 1);
        let data = self.path(&name);
        let own = format!("{}:7443", host.address);
        let (node, api) = (self.reached_at(&own).await, format!("{}:8443", host.address));
        let addresses = ["--data-dir", &data, "--listen", &node, "--api-listen", &api];
        if self.coordinators.is_empty() {
            let init = ["cluster", "init", "--name", "lab", "--node-name", &name];
            let output = self.trireme(&host, &[&init[..], &addresses].concat());
            let key = output.lines().find(|line| line.starts_with("sk-"));
            self.key = key.expect("the admin key").to_owned();
        } else {
            self.join(&host, &name, "coordinator", &addresses).await;
        }
        let run = ["coordinator", "--data-dir", &data, "--insecure-http", "--listen", &own];
        let process = self.process(&host, &name, &run);
        let api = Api::with_key(format!("http://{api}"), &self.key);
        self.coordinators.push(Machine { host, process, api });
        let index = self.coordinators.len() - 1;
        self.until("it has a quorum", async |lab| {
            let status = lab.coordinators[index].api.get("/admin/v1/cluster").await.ok()?;
            (status["hasQuorum"] == true).then_some(())
        })
        .await;
    }

    /// Where others reach the coordinator that listens on `own`.
    async fn reached_at(&mut self, own: &str) -> String {
        let Some(weather) = self.weather else { return own.to_owned() };
        let on = format!("{}:0", self.network.own_address()).parse().expect("an address");
        let (to, seed) = (own.parse().expect("an address"), self.relays.len() as u64);
        let relay = Relay::start(on, to, weather, seed).await;
        let address = relay.address.to_string();
        self.relays.push(relay);
        address
    }

    async fn add_worker(&mut self) {
        let host = self.network.host().expect("a host");
        let name = format!("w{}", self.workers.len() + 1);
        let data = self.path(&name);
        self.join(&host, &name, "worker", &["--data-dir", &data]).await;
        let listen = format!("{}:7443", host.address);
        let run = ["worker", "--data-dir", &data, "--name", &name, "--listen", &listen];
        let process = self.process(&host, &name, &[&run[..], &["--threads", "1"]].concat());
        let api = self.coordinators[0].api.clone();
        self.workers.push(Machine { host, process, api });
    }

    async fn join(&self, host: &Host, name: &str, role: &str, arguments: &[&str]) {
        let body = json!({ "role": role, "ttlSeconds": 600, "uses": 1 });
        let token = self.coordinators[0].api.post("/admin/v1/join-tokens", body).await;
        let token = token.expect("a token")["token"].as_str().expect("a token").to_owned();
        let join = ["node", "join", &token, "--name", name, "--role", role];
        self.trireme(host, &[&join[..], arguments].concat());
    }

    /// Standard output and error of a command on `host` that must succeed.
    fn trireme(&self, host: &Host, arguments: &[&str]) -> String {
        let program = binary().display().to_string();
        let config = self.folder.path().display().to_string();
        let command = [&[program.as_str()], arguments].concat();
        let output =
            tokio::task::block_in_place(|| host.output(&command, ("XDG_CONFIG_HOME", &config)));
        let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{command:?}: {}", told(&output.stderr));
        told(&output.stdout) + &told(&output.stderr)
    }

    fn process(&self, host: &Host, name: &str, arguments: &[&str]) -> NodeProcess {
        let arguments = arguments.iter().map(|&a| a.to_owned()).collect();
        NodeProcess::start_on(host.prefix(), name, arguments, self.folder.path())
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
fn skipped(why: &str) {
    eprintln!("skipped: no hosts in network namespaces on this machine: {why}");
}
