//! `trireme version`: of this binary, and of every node.

use std::collections::BTreeMap;

use protocol::admin::{API_VERSION, List, NodeState, NodeView};
use serde::Serialize;
use utoipa::ToSchema;

use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// What this binary is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Version {
    version: &'static str,
    /// What this build has beyond the CPU.
    features: Vec<&'static str>,
    frame_version: u16,
}

/// What a node says that it runs.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct NodeVersion {
    pub name: String,
    pub roles: Vec<String>,
    pub state: NodeState,
    /// Empty where the node has not said it: it runs a version from before it did.
    pub version: String,
}

pub(crate) fn run(output: &Output) -> Result<(), CliError> {
    let version = protocol::VERSION;
    let built = [("cuda", cfg!(feature = "cuda")), ("nccl", cfg!(feature = "nccl"))];
    let features: Vec<_> =
        built.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
    if output.for_people() {
        let with = features.join(" and ");
        let with = if with.is_empty() { with } else { format!(" with {with}") };
        output.text(&format!("trireme {version}{with}"));
        return Ok(());
    }
    let frame_version = protocol::frame::FRAME_VERSION;
    output.describe("Version", &Version { version, features, frame_version })
}

pub(crate) async fn of_nodes(client: &Client, output: &Output) -> Result<(), CliError> {
    let nodes: List<NodeView> = client.get("/admin/v1/nodes").await?;
    let items: Vec<NodeVersion> = nodes.items.into_iter().map(told).collect();
    let mixed = mixed(&items);
    let (api_version, kind) = (API_VERSION.to_owned(), "NodeVersionList".to_owned());
    output.list(&List { api_version, kind, items })?;
    mixed.iter().for_each(|mixed| output.note(mixed));
    Ok(())
}

fn told(node: NodeView) -> NodeVersion {
    let roles = node.roles.iter().map(|role| role.name().to_owned()).collect();
    NodeVersion { name: node.name, roles, state: node.state, version: node.version }
}

/// Names who runs what, where it is not all the same.
fn mixed(nodes: &[NodeVersion]) -> Option<String> {
    let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in nodes {
        by_version.entry(&node.version).or_default().push(&node.name);
    }
    let group = |(version, names): (&&str, &Vec<&str>)| {
        let version = if version.is_empty() { "an unknown version" } else { version };
        format!("{version} on {}", names.join(", "))
    };
    let groups: Vec<_> = by_version.iter().map(group).collect();
    (groups.len() > 1).then(|| format!("mixed versions: {}", groups.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, version: &str) -> NodeVersion {
        let roles = vec!["worker".to_owned()];
        NodeVersion { name: name.into(), roles, state: NodeState::Ready, version: version.into() }
    }

    #[test]
    fn mixed_versions_are_named_with_who_runs_them() {
        assert_eq!(mixed(&[node("a1", "0.1.0"), node("b2", "0.1.0")]), None);
        let told = mixed(&[node("a1", "0.1.0"), node("b2", ""), node("c3", "0.1.0")]);
        let expected = "mixed versions: an unknown version on b2; 0.1.0 on a1, c3";
        assert_eq!(told.as_deref(), Some(expected));
    }
}
