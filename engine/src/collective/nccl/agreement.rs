//! How ranks come to one mind about NCCL, over the links that their group has in any case: all use
//! it, or none does.
//!
//! Values travel as the `f32`s that the group adds up: a rank fills its own places of a list of
//! zeros, so that each sum is what one rank wrote. Versions and bytes are whole numbers below 2^24,
//! which an `f32` holds exactly.

use super::super::{Collective, CollectiveError, Mesh};

/// What rank 0 makes and every rank of the group is given.
pub(crate) type UniqueId = [u8; ID_BYTES];
const ID_BYTES: usize = 128;

/// What a rank brings: the version of its library, and on rank 0 an id; none where it has neither.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Brought {
    pub(crate) version: Option<u32>,
    pub(crate) id: Option<UniqueId>,
}

/// The id of rank 0, where every rank has the same library; else why NCCL is not used.
pub(crate) fn meet(
    group: &mut Mesh,
    brought: Brought,
) -> Result<Result<UniqueId, String>, CollectiveError> {
    let seat = group.seat();
    let mut values = vec![0.0_f32; seat.ranks + 1 + ID_BYTES];
    values[seat.rank] = brought.version.unwrap_or(0) as f32;
    if let (0, Some(id)) = (seat.rank, brought.id) {
        values[seat.ranks] = 1.0;
        let places = &mut values[seat.ranks + 1..];
        places.iter_mut().zip(id).for_each(|(place, byte)| *place = byte.into());
    }
    group.all_reduce(&mut values)?;
    let (versions, id) = values.split_at(seat.ranks);
    if let Some(rank) = versions.iter().position(|version| *version < 1.0) {
        return Ok(Err(format!("rank {rank} of the group has no NCCL")));
    }
    if let Some(rank) = versions.iter().position(|version| *version != versions[0]) {
        let [first, other] = [versions[0], versions[rank]];
        return Ok(Err(format!("rank 0 has NCCL {first}, rank {rank} has {other}")));
    }
    if id[0] < 1.0 {
        return Ok(Err("rank 0 could not make an id".to_owned()));
    }
    let mut bytes = [0; ID_BYTES];
    bytes.iter_mut().zip(&id[1..]).for_each(|(byte, value)| *byte = *value as u8);
    Ok(Ok(bytes))
}

/// None where every rank is `ready`, else the first that is not.
#[cfg(any(all(feature = "nccl", feature = "cuda"), test))]
pub(crate) fn first_unready(
    group: &mut Mesh,
    ready: bool,
) -> Result<Option<usize>, CollectiveError> {
    let seat = group.seat();
    let mut values = vec![0.0_f32; seat.ranks];
    values[seat.rank] = f32::from(u8::from(ready));
    group.all_reduce(&mut values)?;
    Ok(values.iter().position(|value| *value < 1.0))
}

#[cfg(test)]
mod tests {
    use super::super::tests::on_all;
    use super::*;

    fn check(brought: [Brought; 3], expected: &Result<UniqueId, String>) {
        let found = on_all(3, |rank, group| meet(group, brought[rank]).expect("all are there"));
        assert!(found.iter().all(|found| found == expected), "{found:?}");
    }

    #[test]
    fn every_rank_gets_the_id_of_the_first_byte_for_byte() {
        let id: UniqueId = std::array::from_fn(|at| (at * 2) as u8);
        let has = Brought { version: Some(22_703), id: None };
        check([Brought { id: Some(id), ..has }, has, has], &Ok(id));
    }

    #[test]
    fn one_rank_that_cannot_keeps_all_from_it() {
        let has = Brought { version: Some(22_703), id: None };
        let first = Brought { id: Some([1; ID_BYTES]), ..has };
        let told = |why: &str| Err(why.to_owned());
        check([first, has, Brought::default()], &told("rank 2 of the group has no NCCL"));
        let newer = Brought { version: Some(23_002), id: None };
        check([first, newer, has], &told("rank 0 has NCCL 22703, rank 1 has 23002"));
        check([has, has, has], &told("rank 0 could not make an id"));
    }

    #[test]
    fn all_hear_of_the_first_rank_that_is_not_ready() {
        let ready = on_all(3, |_, group| first_unready(group, true).expect("all are there"));
        assert_eq!(ready, [None; 3]);
        let ready = on_all(3, |rank, group| first_unready(group, rank == 0));
        assert_eq!(ready, [Ok(Some(1)), Ok(Some(1)), Ok(Some(1))]);
    }
}
