//! `trireme node cordon|uncordon|drain|undrain|label`: what is asked of a node.

use std::collections::BTreeMap;

use protocol::admin::{DrainEffect, DrainNode, LabelNode, NodeView, OnNoFit, OperationView};

use super::{confirm, operation};
use crate::args::{NodeDrain, OnNoFitArg, Wait};
use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, bytes};

/// The server ends the drain at its timeout; the wait gives it this long to say so.
const WAIT_SLACK: u64 = 30;
/// No drain may take longer, whatever the cluster's setting.
const TIMEOUT_MAX: u64 = 86_400;

pub(crate) async fn cordon(
    node: &str,
    verb: &str,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let view: NodeView = client.post(&format!("/admin/v1/nodes/{node}/{verb}"), &()).await?;
    output.one("Node", &view)
}

pub(crate) async fn drain(
    args: NodeDrain,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let NodeDrain { node, on_no_fit, timeout, no_wait, dry_run, yes } = args;
    let path = format!("/admin/v1/nodes/{node}/drain");
    let effect: DrainEffect = client.get(&path).await?;
    if dry_run {
        return output.describe("DrainEffect", &effect);
    }
    for moved in &effect.moves {
        output.note(&line(moved, on_no_fit));
    }
    confirm(&summary(&effect, on_no_fit), yes)?;
    let on_no_fit = match on_no_fit {
        OnNoFitArg::Abort => OnNoFit::Abort,
        OnNoFitArg::Stop => OnNoFit::Stop,
    };
    let body = DrainNode { on_no_fit, timeout_seconds: timeout };
    let started: OperationView = client.post(&path, &body).await?;
    let wait = Wait { no_wait, timeout: timeout.unwrap_or(TIMEOUT_MAX) + WAIT_SLACK };
    let done = operation::follow(client, output, &wait, started).await?;
    if !no_wait {
        output
            .note(&format!("{}; it stays cordoned until: trireme node undrain {node}", done.note));
    }
    Ok(())
}

pub(crate) async fn label(
    node: &str,
    labels: &[String],
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let path = format!("/admin/v1/nodes/{node}");
    let view: NodeView = if labels.is_empty() {
        client.get(&path).await?
    } else {
        client.patch(&format!("{path}/labels"), &parse(labels)?).await?
    };
    if !output.for_people() {
        return output.one("Node", &view);
    }
    view.labels.iter().for_each(|(key, value)| output.text(&format!("{key}={value}")));
    Ok(())
}

fn parse(labels: &[String]) -> Result<LabelNode, CliError> {
    let (mut set, mut remove) = (BTreeMap::new(), Vec::new());
    for label in labels {
        if let Some((key, value)) = label.split_once('=') {
            set.insert(key.to_owned(), value.to_owned());
        } else if let Some(key) = label.strip_suffix('-') {
            remove.push(key.to_owned());
        } else {
            let why = "expected KEY=VALUE to set it or KEY- to remove it".to_owned();
            return Err(CliError::usage(format!("label `{label}`"), why));
        }
    }
    Ok(LabelNode { set, remove })
}

fn summary(effect: &DrainEffect, on_no_fit: OnNoFitArg) -> String {
    let stays = effect.moves.iter().filter(|m| !m.fits).count();
    let count = effect.moves.len();
    match (count, stays, on_no_fit) {
        (0, _, _) => format!("no model runs on {}; it gets no new work", effect.node),
        (_, 0, _) => format!("{count} models leave {}", effect.node),
        (_, _, OnNoFitArg::Abort) => format!("{stays} models fit nowhere else: nothing would move"),
        (_, _, OnNoFitArg::Stop) => {
            format!("{} models leave {}, {stays} stop", count - stays, effect.node)
        }
    }
}

fn line(moved: &protocol::admin::DrainMove, on_no_fit: OnNoFitArg) -> String {
    let (model, layers) = (&moved.model, moved.layers);
    if moved.fits {
        return format!("effect  {model}: {layers} layers move; then {}", moved.summary);
    }
    let short = match moved.missing_bytes {
        0 => String::new(),
        missing => format!(" (short by {})", bytes::human(missing)),
    };
    let then = match on_no_fit {
        OnNoFitArg::Abort => "the drain is refused",
        OnNoFitArg::Stop => "it stops",
    };
    format!("effect  {model}: no plan without the node{short}: {}; {then}", moved.summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_set_removed_or_refused_by_name() {
        let strings = |items: &[&str]| items.iter().map(|i| (*i).to_owned()).collect::<Vec<_>>();
        let parsed = parse(&strings(&["rack=3", "gpu-", "note="])).expect("labels");
        assert_eq!(parsed.set["rack"], "3");
        assert_eq!((parsed.set["note"].as_str(), parsed.remove[0].as_str()), ("", "gpu"));
        let error = parse(&strings(&["rack"])).expect_err("no value").to_string();
        assert!(error.contains("`rack`") && error.contains("KEY=VALUE"), "{error}");
    }
}
