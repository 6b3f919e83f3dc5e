//! From the links of a group to its communicator, which all ranks have in the end, or none.

use std::sync::Arc;
use std::time::Duration;

use super::super::{CollectiveError, Mesh};
use super::agreement::{self, Brought};
use super::calls::NcclCalls;
use super::communicator::Communicator;

/// `calls`: none where the library is missing. The inner error says why NCCL is not used, the outer
/// one that the group is lost.
pub(super) fn connect<C: NcclCalls>(
    mesh: &mut Mesh,
    calls: Option<&Arc<C>>,
    patience: Duration,
) -> Result<Result<Communicator<C>, String>, CollectiveError> {
    let seat = mesh.seat();
    let made = calls.filter(|_| seat.rank == 0).and_then(|calls| calls.unique_id().ok());
    let version = calls.map(|calls| calls.version());
    let id = match (agreement::meet(mesh, Brought { version, id: made })?, calls) {
        (Ok(id), Some(calls)) => Ok((id, calls)),
        (Err(why), _) => Err(why),
        (Ok(_), None) => Err("this rank has no NCCL".to_owned()),
    };
    let (id, calls) = match id {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    let fate = mesh.fate();
    let opened = Communicator::open(calls, &id, seat, &fate, patience);
    let unready = agreement::first_unready(mesh, opened.is_ok())?;
    Ok(match (opened, unready) {
        (Ok(communicator), None) => Ok(communicator),
        (Err(error), _) => Err(error.to_string()),
        (Ok(_), Some(rank)) => Err(format!("rank {rank} could not set it up")),
    })
}
