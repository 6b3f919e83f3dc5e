//! Collects the facts: this machine, the ways to the coordinators, what the cluster tells.

mod cluster;
mod machine;
mod ways;

use std::time::SystemTime;

use protocol::admin::NodeCheck;

use super::facts::Facts;
use crate::args::{Doctor, Global};
use crate::error::CliError;

pub(super) async fn facts(args: &Doctor, global: &Global) -> Facts {
    let machine = machine::look(args.data_dir.as_deref()).await;
    let ways = ways::walk(args.pre_join.as_deref(), machine.identity.as_ref()).await;
    let mut here = machine.here;
    // A port that this very node holds is no fault.
    here.ports_taken.retain(|address| !ways.own.iter().any(|own| address.ends_with(own.as_str())));
    let mut facts = Facts { here: Some(here), ways: ways.found, ..of_program() };
    if args.pre_join.is_none() {
        match cluster::ask(global).await {
            Ok(cluster) => {
                let here = facts.here.iter_mut().filter_map(|h| Some((h.own.as_ref()?.node, h)));
                for (node, here) in here {
                    let known = cluster.nodes.iter().find(|known| known.id == node);
                    here.name = known.map_or(here.name.clone(), |known| known.name.clone());
                }
                facts.cluster = Some(cluster);
            }
            Err(error) => facts.no_answer = Some(format!("{}: {}", error.what, error.why)),
        }
    }
    facts
}

/// The cluster as it is told, with what one node has just found instead of what it knew at its
/// start. Nothing of this machine.
pub(super) async fn anew(check: NodeCheck, global: &Global) -> Result<Facts, CliError> {
    let mut cluster = cluster::ask(global).await?;
    let node = cluster.nodes.iter_mut().find(|node| node.name == check.node);
    if let Some(profile) = node.and_then(|node| node.profile.as_mut()) {
        profile.host = check.host;
    }
    Ok(Facts { cluster: Some(cluster), ..of_program() })
}

fn of_program() -> Facts {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let version = protocol::VERSION.to_owned();
    Facts { version, now_ms: now.as_millis() as u64, ..Facts::default() }
}
