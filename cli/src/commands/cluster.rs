//! `trireme cluster`: init, status, and what has a file of its own.

use protocol::admin::ClusterStatus;
use protocol::control::Role;

use super::node::default_name;
use super::{ca, destroy, events, join_token, members, settings, snapshot};
use crate::args::{ClusterCommand, ClusterInit, Global, RoleArg};
use crate::client::Client;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::terminal::note_line;

pub(crate) async fn run(
    command: ClusterCommand,
    global: &Global,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        ClusterCommand::Init(args) => init(&args, output).await,
        ClusterCommand::Status => {
            let status: ClusterStatus = Client::new(global)?.get("/admin/v1/cluster").await?;
            if output.for_people() {
                show(&status, output);
                return Ok(());
            }
            output.describe("Cluster", &status)
        }
        ClusterCommand::Snapshot(command) => snapshot::run(command, global, output).await,
        ClusterCommand::JoinToken(args) => {
            join_token::run(args, &Client::new(global)?, output).await
        }
        ClusterCommand::Config(command) => {
            settings::run(command, &Client::new(global)?, output).await
        }
        ClusterCommand::Destroy(args) => destroy::run(&args, &Client::new(global)?, output).await,
        ClusterCommand::Ca(command) => ca::run(command, global, output).await,
        ClusterCommand::Members(command) => members::run(command, global, output).await,
        ClusterCommand::Events(args) => {
            let client = Client::new(global)?;
            events::show(&client, output, args.from, None, !args.no_follow).await
        }
    }
}

async fn init(args: &ClusterInit, output: &Output) -> Result<(), CliError> {
    let made = create(args).await?;
    output.note(&format!("cluster {} created, node {}", args.name, made.node.short()));
    let scheme = if is_loopback(&args.api_listen) { "http" } else { "https" };
    let context = Context {
        api: format!("{scheme}://{}", args.api_listen),
        ca_pem: Some(made.ca_pem),
        key: Some(made.admin_key.clone()),
    };
    let path = context.save(&args.name)?;
    output.note(&format!("admin key saved in {}, and shown once:", path.display()));
    output.text(&made.admin_key);
    output
        .note("recovery key, shown once; keep it on paper: without it no snapshot can be restored");
    output.note("and no lost CA be opened on another machine:");
    // Also with `--quiet`: it is never shown again.
    note_line(&made.recovery_key);
    let data_dir = args.data_dir.display();
    output.note(&format!("start it:  trireme coordinator --data-dir {data_dir}"));
    output.note("then:      trireme cluster join-token");
    Ok(())
}

/// Makes the first coordinator's state; fails where there is one already.
pub(crate) async fn create(args: &ClusterInit) -> Result<coordinator::Initialised, CliError> {
    let options = coordinator::InitOptions {
        data_dir: args.data_dir.clone(),
        cluster: args.name.clone(),
        name: args.node_name.clone().unwrap_or_else(|| default_name(Role::Coordinator)),
        address: args.listen.clone(),
        api_address: args.api_listen.clone(),
    };
    coordinator::init(options).await.map_err(|e| {
        let what = format!("cannot create a cluster in {}", args.data_dir.display());
        CliError::new(Exit::Precondition, what, e.to_string(), "name another --data-dir")
    })
}

pub(crate) fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn show(status: &ClusterStatus, output: &Output) {
    let leader = status.leader.map_or("none".to_owned(), |id| id.short());
    let quorum = if status.has_quorum { "quorum" } else { "NO QUORUM: changes are refused" };
    output.text(&format!(
        "{}  leader {leader}  term {}  commit {}  {quorum}",
        status.name, status.term, status.commit_index
    ));
    for problem in &status.problems {
        output.text(&format!("PROBLEM      this coordinator: {problem}"));
    }
    for coordinator in &status.coordinators {
        let (id, address) = (coordinator.node.short(), &coordinator.address);
        output.text(&format!("coordinator  {id}  {address}  api {}", coordinator.api_address));
    }
    output.text(&format!("nodes        {} ready of {}", status.nodes_ready, status.nodes));
    for deployment in &status.deployments {
        let state = format!("{:?}", deployment.state).to_lowercase();
        output.text(&format!("deployment   {}  {state}  {}", deployment.model, deployment.reason));
    }
}

impl RoleArg {
    pub(crate) fn resolve(self) -> Role {
        match self {
            Self::Worker => Role::Worker,
            Self::Coordinator => Role::Coordinator,
        }
    }
}
