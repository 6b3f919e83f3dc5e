//! What a node is asked about itself: the lines of its log, and how its machine is now.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use protocol::admin::{NodeCheck, NodeLog};
use protocol::control::Role;
use protocol::ids::NodeId;
use protocol::log_ring::{LINES_MAX, LogPage};
use protocol::questions::{Answer, Question};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::error::{AdminError, Failures};
use crate::nodes::questions::{answer, ask_coordinator};
use crate::nodes::{AskError, compare_clock};
use crate::state::{self, Refusal};

const LAST_DEFAULT: u32 = 100;

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(logs)).routes(routes!(check))
}

#[derive(Deserialize)]
pub(super) struct LogQuery {
    after: Option<u64>,
    last: Option<u32>,
}

/// The newest lines of a node's log, or the first after a line.
#[utoipa::path(
    get, path = "/admin/v1/nodes/{node}/logs", tag = "nodes",
    params(
        ("node" = String, Path, description = "Its name or id."),
        ("after" = Option<u64>, Query, description = "Only lines with a higher number."),
        ("last" = Option<u32>, Query, description = "At most so many: 1 to 2000, or 100."),
    ),
    responses((status = 200, description = "A part of the log.", body = NodeLog), Failures),
)]
pub(super) async fn logs(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Json<NodeLog>, AdminError> {
    let last = query.last.unwrap_or(LAST_DEFAULT);
    if !(1..=LINES_MAX).contains(&(last as usize)) {
        return Err(AdminError::invalid(format!("last is {last}, expected 1 to {LINES_MAX}")));
    }
    let question = Question::Log { after: query.after, last };
    match ask(&admin, &name, question).await? {
        (node, Answer::Log(LogPage { lines, gap })) => Ok(Json(NodeLog { node, lines, gap })),
        (node, other) => Err(another(&node, &other)),
    }
}

/// Have a worker look at its machine anew; it takes about a second.
#[utoipa::path(
    post, path = "/admin/v1/nodes/{node}/check", tag = "nodes",
    params(("node" = String, Path, description = "Its name or id.")),
    responses((status = 200, description = "What it found.", body = NodeCheck), Failures),
)]
pub(super) async fn check(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<NodeCheck>, AdminError> {
    match ask(&admin, &name, Question::Check).await? {
        (node, Answer::Check(mut host)) => {
            compare_clock(&mut host);
            Ok(Json(NodeCheck { node, host: *host }))
        }
        (node, other) => Err(another(&node, &other)),
    }
}

/// The node's name, and what it answers.
async fn ask(
    admin: &Admin,
    name: &str,
    question: Question,
) -> Result<(String, Answer), AdminError> {
    let state = admin.state();
    let (node, member) = state.find_member(name).ok_or_else(|| Refusal::no_node(name))?;
    let name = member.name.clone();
    let answer = match member.role {
        Role::Worker => {
            let answer = admin.registry.ask(node, question).await;
            answer.map_err(|error| unanswered(admin, &state, &name, error))?
        }
        Role::Coordinator if node == admin.consensus.own() => answer(&admin.log, &question),
        Role::Coordinator => elsewhere(admin, &state, node, &name, &question).await?,
    };
    Ok((name, answer))
}

/// From another coordinator.
async fn elsewhere(
    admin: &Admin,
    state: &state::State,
    node: NodeId,
    name: &str,
    question: &Question,
) -> Result<Answer, AdminError> {
    let known = state.coordinators().into_iter().find(|c| c.node == node);
    let to = known.ok_or_else(|| Refusal::no_node(name))?;
    ask_coordinator(&admin.tls, &to, question).await.map_err(|reason| {
        let message = format!("{name} at {} does not answer: {reason}", to.address);
        AdminError::precondition(message).hint("on its machine: journalctl -u trireme-coordinator")
    })
}

fn unanswered(admin: &Admin, state: &state::State, name: &str, error: AskError) -> AdminError {
    let own = admin.consensus.own();
    let other = state.coordinators().into_iter().find(|c| c.node != own);
    let hint = match (error, other) {
        (AskError::NotAttached | AskError::Ended, Some(other)) => {
            format!("ask another coordinator, as its API at {}: --api", other.api_address)
        }
        _ => "on its machine: journalctl -u trireme-worker".to_owned(),
    };
    AdminError::precondition(format!("{name} does not answer: {error}")).hint(hint)
}

fn another(name: &str, answer: &Answer) -> AdminError {
    match answer {
        Answer::Failed { reason } => AdminError::precondition(format!("{name}: {reason}"))
            .hint("on its machine: trireme doctor"),
        _ => AdminError::precondition(format!("{name} answered what it was not asked")),
    }
}
