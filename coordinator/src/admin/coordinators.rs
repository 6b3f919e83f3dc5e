//! The coordinators as members of the Raft group: listed, promoted, removed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use protocol::admin::{CoordinatorPart, CoordinatorView, List, OperationView};
use protocol::control::Role;
use protocol::ids::NodeId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asker::Asker;
use super::error::{AdminError, Failures};
use super::{Admin, nodes, views};
use crate::raft::ConsensusStatus;
use crate::state::{Change, Member, Refusal, State as Replicated, VoterChange};

pub(super) fn routes() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(remove)).routes(routes!(promote))
}

/// The coordinators with their part in the Raft group.
#[utoipa::path(
    get, path = "/admin/v1/cluster/members", tag = "members",
    responses(
        (status = 200, description = "As it stands.", body = List<CoordinatorView>),
        Failures,
    ),
)]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<List<CoordinatorView>> {
    let (state, raft) = (admin.state(), admin.consensus.status());
    let coordinators = state.members.iter().filter(|(_, m)| m.role == Role::Coordinator);
    let mut items: Vec<_> =
        coordinators.map(|(id, member)| view(&admin, &raft, &state, *id, member)).collect();
    items.sort_by(|a, b| a.name.cmp(&b.name));
    Json(views::list("CoordinatorList", items))
}

/// Let a coordinator vote, if need be in another's place.
#[utoipa::path(
    put, path = "/admin/v1/cluster/members/{node}/vote", tag = "members",
    params(("node" = String, Path, description = "Its name or id.")),
    responses(
        (status = 200, description = "It votes once caught up.", body = CoordinatorView),
        Failures,
    ),
)]
pub(super) async fn promote(
    State(admin): State<Arc<Admin>>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<Json<CoordinatorView>, AdminError> {
    let (node, _) = find(&admin.state(), &name)?;
    admin.propose(&asker, Change::Voters(VoterChange::Promote { node })).await?;
    let (state, raft) = (admin.state(), admin.consensus.status());
    let member = state.members.get(&node).ok_or_else(|| Refusal::no_node(&name))?;
    Ok(Json(view(&admin, &raft, &state, node, member)))
}

/// Remove a coordinator for good: the same removal as that of any node.
#[utoipa::path(
    delete, path = "/admin/v1/cluster/members/{node}", tag = "members",
    params(("node" = String, Path, description = "Its name or id.")),
    responses(
        (status = 200, description = "Accepted; follow the operation.", body = OperationView),
        Failures,
    ),
)]
pub(super) async fn remove(
    admin: State<Arc<Admin>>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<Json<OperationView>, AdminError> {
    find(&admin.state(), &name)?;
    nodes::remove(admin, asker, Path(name)).await
}

fn find(state: &Replicated, name: &str) -> Result<(NodeId, Member), AdminError> {
    let (node, member) = state.find_member(name).ok_or_else(|| Refusal::no_node(name))?;
    if member.role == Role::Coordinator {
        return Ok((node, member.clone()));
    }
    let what = format!("`{}` is a {}, not a coordinator", member.name, member.role.name());
    Err(AdminError::precondition(what).hint("list them: trireme cluster members ls"))
}

fn view(
    admin: &Admin,
    raft: &ConsensusStatus,
    state: &Replicated,
    id: NodeId,
    member: &Member,
) -> CoordinatorView {
    let part = if raft.leader == Some(id) {
        CoordinatorPart::Leader
    } else if raft.voters.contains(&id) {
        CoordinatorPart::Voter
    } else if raft.learners.contains(&id) {
        CoordinatorPart::Learner
    } else {
        CoordinatorPart::Joining
    };
    let silence = admin.consensus.silence_of(id);
    let reason = match (part, silence) {
        (_, Some(silence)) => format!("silent for {:.0} s", silence.as_secs_f64()),
        (CoordinatorPart::Joining, None) => "not in the Raft group yet".to_owned(),
        (CoordinatorPart::Learner, None) if state.promoted(id) > 0 => {
            "promoted: votes once it is caught up and the number of voters stays odd".to_owned()
        }
        (CoordinatorPart::Learner, None) => {
            "stands by: an odd number votes, five at most".to_owned()
        }
        (CoordinatorPart::Leader | CoordinatorPart::Voter, None) => String::new(),
    };
    let endpoint = member.endpoint.as_ref();
    CoordinatorView {
        id,
        name: member.name.clone(),
        address: endpoint.map(|e| e.address.clone()).unwrap_or_default(),
        api_address: endpoint.map(|e| e.api_address.clone()).unwrap_or_default(),
        part,
        reason,
        entries_behind: admin.consensus.entries_behind(id),
        silent_seconds: silence.map(|s| s.as_secs_f64()),
    }
}
