//! `trireme cluster destroy`: shows what would be lost, and has the cluster's name typed.

use std::io::IsTerminal;

use protocol::admin::{
    ClusterDestroyed, ClusterStatus, CoordinatorView, DestroyCluster, KeyView, List, ModelView,
};

use super::effect::Effect;
use super::{quoted, this_command};
use crate::args::Destroy;
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::output::Output;

pub(crate) async fn run(args: &Destroy, client: &Client, output: &Output) -> Result<(), CliError> {
    let effect = effect(client).await?;
    if args.dry_run {
        return effect.tell(output);
    }
    let cluster = match (&args.name, args.yes) {
        // The coordinator refuses another one than its own.
        (Some(name), true) => name.clone(),
        _ => typed(&effect)?,
    };
    let body = DestroyCluster { cluster };
    let destroyed: ClusterDestroyed = client.post("/admin/v1/cluster/destroy", &body).await?;
    if !output.for_people() {
        return output.describe("ClusterDestroyed", &destroyed);
    }
    let ClusterDestroyed { cluster, at, coordinators } = destroyed;
    output.text(&format!("{cluster} was destroyed at {at}"));
    output.note(&format!("its coordinators stop within seconds: {}", coordinators.join(", ")));
    output.note("what is left on the machines: their data directories, with the weights");
    output.note(&format!("your own context of it: trireme context rm {cluster}"));
    Ok(())
}

async fn effect(client: &Client) -> Result<Effect, CliError> {
    let status: ClusterStatus = client.get("/admin/v1/cluster").await?;
    let models: List<ModelView> = client.get("/admin/v1/models").await?;
    let keys: List<KeyView> = client.get("/admin/v1/keys").await?;
    let members: List<CoordinatorView> = client.get("/admin/v1/cluster/members").await?;
    let name = status.name;
    let (workers, coordinators) = (status.nodes, members.items.len());
    let served = status.deployments.len();
    let mut effects = vec![
        format!(
            "the cluster {name} is gone for good: {coordinators} coordinators, {workers} workers"
        ),
        format!("{} models, {served} of them served, are forgotten", models.items.len()),
        format!("{} API keys and every join token are good for nothing", keys.items.len()),
    ];
    let silent = members.items.iter().filter(|member| member.silent_seconds.is_some());
    effects.extend(silent.map(|member| {
        format!("{} is silent and hears nothing of it: empty its data directory", member.name)
    }));
    Ok(Effect { subject: name, effects })
}

/// The cluster's name, from whoever sits at the terminal.
fn typed(effect: &Effect) -> Result<String, CliError> {
    let (cluster, sentence) = (&effect.subject, effect.sentence());
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        let why = format!("{sentence}; and there is no terminal to type the name on");
        let next = format!("run: {} --yes --name {}", this_command(), quoted(cluster));
        return Err(CliError { next, ..CliError::usage("this asks for confirmation", why) });
    }
    let typed = inquire::Text::new(&format!("{sentence}. Type the cluster's name:")).prompt();
    match typed {
        Ok(typed) if typed.trim() == cluster => Ok(cluster.clone()),
        _ => Err(CliError::new(Exit::Failed, "not confirmed", "nothing changed", "")),
    }
}
