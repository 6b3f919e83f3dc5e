//! Whether what clients saw of one register could have come from a single copy of it: the search of
//! Wing and Gong, with a bound.

use std::collections::HashSet;

/// What one client asked, when, and what it heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Order of call and answer on one clock.
    pub called: u64,
    /// `None`: nobody knows whether it happened, or when.
    pub answered: Option<u64>,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Write(u64),
    /// Makes it, if it is not there: whether it did, if that was heard.
    Create(u64, Option<bool>),
    Read(Option<u64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Linearizable,
    Violation,
    /// The bound was reached first.
    Undecided,
}

/// Tries at most `configurations` sets of operations that may have happened by some moment.
pub fn check(history: &[Operation], configurations: usize) -> Verdict {
    let mut seen = HashSet::new();
    let mut open = vec![(vec![0_u64; history.len().div_ceil(64)], None)];
    while let Some((done, value)) = open.pop() {
        if !seen.insert((done.clone(), value)) {
            continue;
        }
        if seen.len() > configurations {
            return Verdict::Undecided;
        }
        let is_done = |index: usize| done[index / 64] >> (index % 64) & 1 == 1;
        let left = || history.iter().enumerate().filter(|(index, _)| !is_done(*index));
        // Whatever was called after another one was answered comes after it.
        let Some(first_answer) = left().filter_map(|(_, o)| o.answered).min() else {
            return Verdict::Linearizable;
        };
        for (index, operation) in left().filter(|(_, o)| o.called < first_answer) {
            if let Some(after) = operation.kind.apply(value) {
                let mut then = done.clone();
                then[index / 64] |= 1 << (index % 64);
                open.push((then, after));
            }
        }
    }
    Verdict::Violation
}

impl Kind {
    /// The register after it, if a single copy that held `value` could have answered so.
    fn apply(&self, value: Option<u64>) -> Option<Option<u64>> {
        match self {
            Self::Write(new) => Some(Some(*new)),
            Self::Create(new, created) => {
                let fits = created.is_none_or(|created| created == value.is_none());
                fits.then(|| value.or(Some(*new)))
            }
            Self::Read(read) => (*read == value).then_some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(called: u64, answered: u64, kind: Kind) -> Operation {
        Operation { called, answered: Some(answered), kind }
    }

    fn judge(history: &[Operation]) -> Verdict {
        check(history, 100_000)
    }

    #[test]
    fn reads_between_or_beside_writes_are_fine() {
        let history = [
            operation(1, 2, Kind::Read(None)),
            operation(3, 8, Kind::Write(1)),
            operation(4, 5, Kind::Read(None)),
            operation(6, 7, Kind::Read(Some(1))),
            operation(9, 10, Kind::Read(Some(1))),
        ];
        assert_eq!(judge(&history), Verdict::Linearizable);
    }

    #[test]
    fn an_acknowledged_write_that_a_later_read_misses_is_a_violation() {
        let history = [operation(1, 2, Kind::Write(1)), operation(3, 4, Kind::Read(None))];
        assert_eq!(judge(&history), Verdict::Violation);
    }

    #[test]
    fn a_value_that_was_seen_must_not_be_unseen() {
        let history = [
            operation(1, 10, Kind::Write(1)),
            operation(2, 3, Kind::Read(Some(1))),
            operation(4, 5, Kind::Read(None)),
        ];
        assert_eq!(judge(&history), Verdict::Violation);
    }

    #[test]
    fn two_reads_that_see_two_writes_in_both_orders_are_a_violation() {
        let history = [
            operation(1, 2, Kind::Write(1)),
            operation(3, 20, Kind::Write(2)),
            operation(4, 20, Kind::Write(3)),
            operation(5, 6, Kind::Read(Some(2))),
            operation(7, 8, Kind::Read(Some(3))),
            operation(9, 10, Kind::Read(Some(2))),
        ];
        assert_eq!(judge(&history), Verdict::Violation);
    }

    #[test]
    fn a_write_of_unknown_outcome_may_happen_late_or_never() {
        let unknown = Operation { called: 1, answered: None, kind: Kind::Write(7) };
        let late = [
            unknown.clone(),
            operation(2, 3, Kind::Read(None)),
            operation(4, 5, Kind::Read(Some(7))),
        ];
        assert_eq!(judge(&late), Verdict::Linearizable);
        assert_eq!(judge(&[unknown, operation(2, 3, Kind::Read(None))]), Verdict::Linearizable);
    }

    #[test]
    fn a_key_is_created_once() {
        let twice = [
            operation(1, 2, Kind::Create(1, Some(true))),
            operation(3, 4, Kind::Create(2, Some(true))),
        ];
        assert_eq!(judge(&twice), Verdict::Violation);
        let refused = [
            operation(1, 2, Kind::Create(1, Some(true))),
            operation(3, 4, Kind::Create(2, Some(false))),
        ];
        assert_eq!(judge(&refused), Verdict::Linearizable);
        let nobody = [operation(1, 2, Kind::Create(1, Some(false)))];
        assert_eq!(judge(&nobody), Verdict::Violation);
    }

    #[test]
    fn the_search_is_bounded() {
        let beside = |index: u64| operation(index, 1000 + index, Kind::Write(index));
        let mut history: Vec<_> = (0..40).map(beside).collect();
        history.push(operation(2000, 2001, Kind::Read(Some(99))));
        assert_eq!(check(&history, 1000), Verdict::Undecided);
    }
}
