//! NCCL under a group: what its ranks have on GPUs is added up there, without the host.
//!
//! A group's links are there in any case: over them the ranks agree, the id travels, and logits
//! come together, which the host samples from. Each epoch has a communicator of its own. It has not
//! run between GPUs yet: none were at hand.

mod agreement;
#[cfg(any(feature = "nccl", test))]
mod calls;
#[cfg(any(all(feature = "nccl", feature = "cuda"), test))]
mod communicator;
#[cfg(all(feature = "nccl", feature = "cuda"))]
mod group;
#[cfg(any(all(feature = "nccl", feature = "cuda"), test))]
mod setup;
#[cfg(test)]
mod tests;

#[cfg(feature = "nccl")]
pub(crate) use agreement::UniqueId;
#[cfg(feature = "nccl")]
pub(crate) use calls::{Buffers, CommState, NcclCalls, NcclFault};

use super::{Collective, CollectiveError, Mesh};
use crate::stage::Place;
use agreement::Brought;

/// What a rank whose plan names NCCL computes in.
pub struct Joined {
    pub group: Box<dyn Collective>,
    /// Why it is not NCCL; the same on every rank, or a rank's own fault.
    pub instead: Option<String>,
}

/// Version of the NCCL that is installed, as it counts: 22703 is 2.27.3. The error says what is
/// missing.
pub fn nccl_version() -> Result<u32, String> {
    #[cfg(feature = "nccl")]
    return crate::kernels::NcclLibrary::of_process().map(|library| library.version());
    #[cfg(not(feature = "nccl"))]
    Err("this program was built without NCCL (feature `nccl`)".to_owned())
}

/// Sets NCCL up between the GPUs of a group, whose ranks all call this at the same time; `mesh`
/// itself where one of them cannot. `interfaces`: of this machine, that lead to the other ranks; an
/// operator's `NCCL_SOCKET_IFNAME` goes before them. An error means that the group is lost.
pub fn over_nccl(
    mut mesh: Mesh,
    place: Option<&Place>,
    interfaces: &[String],
) -> Result<Joined, CollectiveError> {
    #[cfg(all(feature = "nccl", feature = "cuda"))]
    if let Some(Place::Device(device)) = place {
        return group::open(mesh, device, interfaces);
    }
    let _ = (place, interfaces);
    let found = agreement::meet(&mut mesh, Brought::default())?;
    let instead = found.err().or_else(|| Some("it has no part in this rank".to_owned()));
    Ok(Joined { group: Box::new(mesh), instead })
}
