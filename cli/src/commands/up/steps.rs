//! The steps from nothing to a model that answers: coordinator, workers, import, plan, deploy.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::select_all;
use protocol::admin::*;
use protocol::control::Role;
use tokio::time::{Instant, sleep};

use super::{demo_model, process::NodeProcess};
use crate::args::{ClusterInit, NodeJoin, RoleArg, Up, Wait};
use crate::client::Client;
use crate::commands::{cluster, node, operation, plan};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::Output;

const API_PORT: u16 = 8443;
const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
const TOKEN_SECONDS: u64 = 3600;

pub(super) struct Cluster {
    folder: PathBuf,
    api_port: u16,
    processes: Vec<NodeProcess>,
}

impl Cluster {
    pub(super) fn new(folder: PathBuf, args: &Up) -> Result<Self, CliError> {
        if args.coordinators == 2 {
            let why = "two coordinators survive no more than one does; expected 1 or 3";
            return Err(CliError::usage("--coordinators is 2", why));
        }
        let api_port = match args.port {
            Some(port) => port,
            None if TcpListener::bind(("127.0.0.1", API_PORT)).is_ok() => API_PORT,
            None => free_port()?,
        };
        Ok(Self { folder, api_port, processes: Vec::new() })
    }

    pub(super) fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }

    pub(super) fn client(&self) -> Result<Client, CliError> {
        Client::of(Context { api: self.api(), ..Context::default() })
    }

    /// Brings everything up; returns the name of the model that is served.
    pub(super) async fn start(&mut self, args: &Up, output: &Output) -> Result<String, CliError> {
        self.start_first_coordinator().await?;
        output.note(&format!("coordinator  {}", self.api()));
        for index in 1..args.coordinators {
            self.join(&format!("c{}", index + 1), RoleArg::Coordinator, args).await?;
        }
        for index in 0..args.nodes {
            self.join(&format!("n{}", index + 1), RoleArg::Worker, args).await?;
        }
        self.wait_for_nodes(args.nodes).await?;
        output.note(&format!("workers      {} ready", args.nodes));
        let model = self.import(args, output).await?;
        self.deploy(args, &model, output).await?;
        Ok(model)
    }

    async fn start_first_coordinator(&mut self) -> Result<(), CliError> {
        let data_dir = self.folder.join("c1");
        let (address, api) = (self.address()?, format!("127.0.0.1:{}", self.api_port));
        if !data_dir.join("identity").exists() {
            let init = ClusterInit {
                name: "local".to_owned(),
                node_name: Some("c1".to_owned()),
                data_dir: data_dir.clone(),
                listen: address.clone(),
                api_listen: api.clone(),
            };
            cluster::create(&init).await?;
        }
        self.spawn("c1", coordinator_arguments(&data_dir, &address, &api))?;
        let client = self.client()?;
        self.until("the coordinator to answer", async || {
            let status: Result<ClusterStatus, _> = client.get("/admin/v1/cluster").await;
            status.is_ok_and(|s| s.has_quorum)
        })
        .await
    }

    async fn join(&mut self, name: &str, role: RoleArg, args: &Up) -> Result<(), CliError> {
        let data_dir = self.folder.join(name);
        let address = self.address()?;
        let api_listen = format!("127.0.0.1:{}", free_port()?);
        if !data_dir.join("identity/node.crt").exists() {
            let token = NewJoinToken {
                role: role.resolve(),
                ttl_seconds: Some(TOKEN_SECONDS),
                uses: 1,
                rotate: false,
            };
            let created: JoinTokenCreated =
                self.client()?.post("/admin/v1/join-tokens", &token).await?;
            node::join(&NodeJoin {
                anew: false,
                token: created.token,
                name: Some(name.to_owned()),
                data_dir: data_dir.clone(),
                role,
                listen: address.clone(),
                api_listen: api_listen.clone(),
            })
            .await?;
        }
        let arguments = match role.resolve() {
            Role::Coordinator => coordinator_arguments(&data_dir, &address, &api_listen),
            Role::Worker => worker_arguments(&data_dir, &address, name, args),
        };
        self.spawn(name, arguments)
    }

    async fn wait_for_nodes(&mut self, count: u32) -> Result<(), CliError> {
        let client = self.client()?;
        self.until("the workers to be ready", async || {
            let nodes: Result<List<NodeView>, _> = client.get("/admin/v1/nodes").await;
            nodes.is_ok_and(|list| {
                let worker = |n: &&NodeView| n.roles.contains(&Role::Worker);
                let ready = list.items.iter().filter(worker);
                ready.filter(|n| n.state == NodeState::Ready).count() >= count as usize
            })
        })
        .await
    }

    async fn import(&mut self, args: &Up, output: &Output) -> Result<String, CliError> {
        let client = self.client()?;
        let (path, name) = match &args.model {
            Some(path) => (std::path::absolute(path).unwrap_or_else(|_| path.clone()), None),
            None => (demo_model::unpack(&self.folder)?, Some("demo".to_owned())),
        };
        let body =
            ImportModel { name, path: path.display().to_string(), node: Some("n1".to_owned()) };
        let started = client.post("/admin/v1/models", &body).await?;
        let done = operation::follow(&client, output, &patient(), started).await?;
        Ok(done.subject)
    }

    async fn deploy(&self, args: &Up, model: &str, output: &Output) -> Result<(), CliError> {
        let client = self.client()?;
        let stages = Some(args.stages.unwrap_or(args.nodes));
        let options = DeployOptions { stages, ..DeployOptions::default() };
        let body =
            PlanRequest { model: model.to_owned(), options: options.clone(), without: vec![] };
        let planned: PlanView = client.post("/admin/v1/plan", &body).await?;
        if !planned.fits {
            let what = format!("{model} does not fit");
            let next = "give more --nodes, a higher --memory-limit, or other --stages";
            return Err(CliError::new(Exit::DoesNotFit, what, planned.summary, next));
        }
        if !output.quiet {
            plan::show(&planned, output)?;
        }
        let body = DeployModel { model: model.to_owned(), options };
        let started = client.post("/admin/v1/deployments", &body).await?;
        operation::follow(&client, output, &patient(), started).await?;
        Ok(())
    }

    /// Starts nodes again that end by themselves; returns when one keeps ending.
    pub(super) async fn watch(&mut self, output: &Output) -> Result<(), CliError> {
        loop {
            let ended = self.processes.iter_mut().map(|p| Box::pin(p.ended()));
            let (error, index, _) = select_all(ended).await;
            output.note(&format!("{}; it is started again", error.what));
            self.processes[index].start_again(error).await?;
        }
    }

    pub(super) async fn stop(&mut self) {
        // Workers first: they say goodbye to a coordinator that still listens.
        for process in self.processes.iter_mut().rev() {
            process.ask_to_stop();
        }
        for process in self.processes.iter_mut().rev() {
            process.stop().await;
        }
    }

    /// Polls `ready` until it holds, a process ends, or the time is over.
    async fn until(&mut self, what: &str, ready: impl AsyncFn() -> bool) -> Result<(), CliError> {
        let deadline = Instant::now() + START_TIMEOUT;
        let polled = async {
            while !ready().await {
                if Instant::now() > deadline {
                    let why = format!("waited {} s for {what}", START_TIMEOUT.as_secs());
                    let next = "look into the logs in the --data-dir";
                    return Err(CliError::new(Exit::TimedOut, "the start timed out", why, next));
                }
                sleep(POLL).await;
            }
            Ok(())
        };
        let ended = self.processes.iter_mut().map(|p| Box::pin(p.ended()));
        tokio::select! {
            result = polled => result,
            (error, ..) = select_all(ended) => Err(error),
        }
    }

    fn spawn(&mut self, name: &str, arguments: Vec<String>) -> Result<(), CliError> {
        self.processes.push(NodeProcess::start(name, arguments, &self.folder)?);
        Ok(())
    }

    fn address(&self) -> Result<String, CliError> {
        Ok(format!("127.0.0.1:{}", free_port()?))
    }
}

fn coordinator_arguments(data_dir: &Path, address: &str, api: &str) -> Vec<String> {
    let data_dir = data_dir.display().to_string();
    ["coordinator", "--data-dir", &data_dir, "--listen", address, "--api-listen", api]
        .map(str::to_owned)
        .to_vec()
}

fn worker_arguments(data_dir: &Path, address: &str, name: &str, args: &Up) -> Vec<String> {
    let data_dir = data_dir.display().to_string();
    let mut arguments = ["worker", "--data-dir", &data_dir, "--listen", address, "--name", name]
        .map(str::to_owned)
        .to_vec();
    arguments.extend(["--devices".to_owned(), args.devices.clone()]);
    if let Some(limit) = &args.memory_limit {
        arguments.extend(["--memory-limit".to_owned(), limit.clone()]);
    }
    arguments
}

fn patient() -> Wait {
    Wait { no_wait: false, timeout: 3600 }
}

/// A port that is free on TCP and UDP now; somebody may take it before it is used.
fn free_port() -> Result<u16, CliError> {
    for _ in 0..100 {
        let Ok(tcp) = TcpListener::bind(("127.0.0.1", 0)) else { continue };
        let Ok(address) = tcp.local_addr() else { continue };
        if UdpSocket::bind(("127.0.0.1", address.port())).is_ok() {
            return Ok(address.port());
        }
    }
    Err(CliError::new(Exit::Failed, "no free port on 127.0.0.1", "100 tries", "name a --port"))
}
