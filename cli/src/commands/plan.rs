//! `trireme plan`: where a model would run, how fast, and what else was looked at.

use protocol::admin::{PlanRequest, PlanView, PlannedRank, PlannedStage};
use protocol::model_spec::LayerRange;
use serde::Serialize;

use crate::args::Plan;
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::output::Output;

pub(crate) async fn run(args: Plan, client: &Client, output: &Output) -> Result<(), CliError> {
    let options = args.options.resolve();
    let body = PlanRequest { model: args.model.clone(), options, without: args.without };
    let plan: PlanView = client.post("/admin/v1/plan", &body).await?;
    if output.for_people() && plan.fits {
        show(&plan, output)?;
    } else if !output.for_people() {
        output.describe("Plan", &plan)?;
    }
    if plan.fits {
        return Ok(());
    }
    let what = format!("{} does not fit", plan.model);
    let next = "add a node, or lower --context-length or --sequences";
    Err(CliError::new(Exit::DoesNotFit, what, plan.summary, next))
}

/// A line of the table for each rank; times and the next hop stand with the first of a stage.
fn ranks(stage: &PlannedStage) -> Vec<PlannedRow> {
    let row = |(index, rank): (usize, &PlannedRank)| PlannedRow {
        rank: rank.clone(),
        layers: stage.layers,
        seconds: (index == 0).then_some((stage.seconds_per_token, stage.hop_seconds)),
    };
    stage.ranks.iter().enumerate().map(row).collect()
}

/// One rank of a plan, as people see it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PlannedRow {
    pub(crate) rank: PlannedRank,
    pub(crate) layers: LayerRange,
    /// Of the stage: computing, and to the next one.
    pub(crate) seconds: Option<(f64, f64)>,
}

pub(crate) fn show(plan: &PlanView, output: &Output) -> Result<(), CliError> {
    output.text(&plan.summary);
    output.list(&protocol::admin::List {
        api_version: protocol::admin::API_VERSION.to_owned(),
        kind: "StageList".to_owned(),
        items: plan.stages.iter().flat_map(ranks).collect(),
    })?;
    for (index, stage) in plan.stages.iter().enumerate().filter(|(_, s)| s.ranks.len() > 1) {
        output.text(&format!("stage {index}    {}", stage.collective));
    }
    output.text(&format!(
        "predicted  {:.1} tok/s (1 stream); TTFT {:.0} ms at 512 prompt tokens; context {} x {} \
         sequences in {} blocks of {} tokens",
        plan.predicted_tokens_per_second,
        plan.predicted_ttft_seconds * 1e3,
        plan.context_length,
        plan.sequences_max,
        plan.kv_blocks,
        plan.block_size,
    ));
    for alternative in &plan.alternatives {
        output.text(&format!("instead    {alternative}"));
    }
    Ok(())
}
