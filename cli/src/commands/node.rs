//! `trireme node`: join, ls, describe, rm; the rest of it in `duty`, `logs` and `doctor`.

use protocol::admin::{List, NodeView, OperationView};
use protocol::control::{CoordinatorEndpoint, Role};
use worker::join::JoinError;

use super::effect::Effect;
use super::{doctor, duty, logs, operation};
use crate::args::{Global, NodeCommand, NodeJoin};
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::output::Output;

pub(crate) async fn run(
    command: NodeCommand,
    global: &Global,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        NodeCommand::Join(args) => {
            let joined = join(&args).await?;
            let (id, cluster) = (joined.peer.node.short(), &joined.peer.cluster);
            output.note(&format!("joined {cluster} as node {id}"));
            let (role, data_dir) = (args.role.resolve().name(), args.data_dir.display());
            output.note(&format!("start it:  trireme {role} --data-dir {data_dir}"));
            Ok(())
        }
        NodeCommand::Ls => {
            let nodes: List<NodeView> = Client::new(global)?.get("/admin/v1/nodes").await?;
            output.list(&nodes)
        }
        NodeCommand::Describe { node } => {
            let path = format!("/admin/v1/nodes/{node}");
            let view: NodeView = Client::new(global)?.get(&path).await?;
            output.describe("Node", &view)
        }
        NodeCommand::Cordon { node } => {
            duty::cordon(&node, "cordon", &Client::new(global)?, output).await
        }
        NodeCommand::Uncordon { node } | NodeCommand::Undrain { node } => {
            duty::cordon(&node, "uncordon", &Client::new(global)?, output).await
        }
        NodeCommand::Drain(args) => duty::drain(args, &Client::new(global)?, output).await,
        NodeCommand::Label { node, labels } => {
            duty::label(&node, &labels, &Client::new(global)?, output).await
        }
        NodeCommand::Logs(args) => logs::run(args, &Client::new(global)?, output).await,
        NodeCommand::ExecCheck { node } => doctor::exec_check(&node, global, output).await,
        NodeCommand::Rm { node, wait, yes, dry_run } => {
            let client = Client::new(global)?;
            if !Effect::of_node_rm(&client, &node).await?.agreed(dry_run, yes, output)? {
                return Ok(());
            }
            let path = format!("/admin/v1/nodes/{node}");
            let started: OperationView = client.delete(&path).await?;
            operation::follow(&client, output, &wait, started).await?;
            output.note(&format!("{node} removed"));
            Ok(())
        }
    }
}

/// Proves the token, gets a certificate, writes the identity.
pub(crate) async fn join(args: &NodeJoin) -> Result<protocol::identity::Identity, CliError> {
    let role = args.role.resolve();
    let coordinator = (role == Role::Coordinator)
        .then(|| CoordinatorEndpoint::new(&args.listen, &args.api_listen));
    let name = args.name.clone().unwrap_or_else(|| default_name(role));
    if args.anew && role == Role::Coordinator {
        let why = "what it holds of the log is of before; it joins from an empty folder";
        return Err(CliError::usage("--anew is not for coordinators", why));
    }
    let request = worker::join::JoinOptions {
        data_dir: args.data_dir.clone(),
        token: args.token.clone(),
        name,
        role,
        coordinator,
        anew: args.anew,
    };
    worker::join::join(request).await.map_err(refused)
}

fn refused(error: JoinError) -> CliError {
    const NEW_TOKEN: &str = "make a new token with `trireme cluster join-token`";
    let (exit, next) = match &error {
        JoinError::BadToken(_) => (Exit::Usage, "give the whole line of `cluster join-token`"),
        JoinError::Unreachable { .. } => {
            (Exit::Unreachable, "see that a coordinator runs there and its TCP port is open")
        }
        JoinError::OtherRole { .. } | JoinError::OtherMembership { .. } => {
            (Exit::Precondition, "name another --data-dir")
        }
        JoinError::Refused { .. } => {
            (Exit::Precondition, "do what the reason says; another name is given with --name")
        }
        _ => (Exit::Forbidden, NEW_TOKEN),
    };
    CliError::new(exit, "this machine could not join", error.to_string(), next)
}

/// A machine may be a worker and a coordinator, and names are unique.
pub(crate) fn default_name(role: Role) -> String {
    match role {
        Role::Worker => host_name(),
        Role::Coordinator => format!("{}-coordinator", host_name()),
    }
}

pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "node".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_may_be_worker_and_coordinator_under_its_own_name() {
        let (worker, coordinator) = (default_name(Role::Worker), default_name(Role::Coordinator));
        assert!(!worker.is_empty() && worker == host_name());
        assert_eq!(coordinator, format!("{worker}-coordinator"));
    }
}
