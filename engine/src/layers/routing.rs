//! Which experts a row goes through, and with what weights.

use protocol::model_spec::{ExpertScores, ExpertSpec};

use super::activation::sigmoid;
use crate::kernels::cpu;

/// Weight of an expert that was not chosen.
const NOT_CHOSEN: f32 = -1.0;

/// Replaces the router's logits of a row by the weights of the chosen experts, and by a negative
/// number for the others. Ties go to the lower id.
pub(crate) fn choose(row: &mut [f32], selection_bias: Option<&[f32]>, spec: &ExpertSpec) {
    let routing = spec.routing;
    match routing.scores {
        ExpertScores::Sigmoid => row.iter_mut().for_each(|x| *x = sigmoid(*x)),
        ExpertScores::Softmax => {
            let largest = cpu::max(row);
            cpu::exp_shifted(row, largest);
            let total = cpu::sum(row);
            row.iter_mut().for_each(|x| *x /= total);
        }
    }
    let mut taken = [0_u64; TAKEN_WORDS];
    let mut closed = [0_u64; TAKEN_WORDS];
    let value = |id: usize| row[id] + selection_bias.map_or(0.0, |bias| bias[id]);
    close_groups(row.len(), spec, &value, &mut closed);
    for _ in 0..spec.used {
        let free = |id: &usize| !holds(&taken, *id) && !holds(&closed, *id);
        let Some(best) = (0..row.len())
            .filter(free)
            .reduce(|best, id| if value(id) > value(best) { id } else { best })
        else {
            break;
        };
        put(&mut taken, best);
    }
    let chosen = |id: &usize| holds(&taken, *id);
    let total: f32 = (0..row.len()).filter(chosen).map(|id| row[id]).sum();
    for (id, weight) in row.iter_mut().enumerate() {
        if !holds(&taken, id) {
            *weight = NOT_CHOSEN;
            continue;
        }
        if routing.normalise {
            // The smallest total is kept from zero as DeepSeek's own code does.
            *weight /= total + 1e-20;
        }
        *weight *= routing.scale;
    }
}

/// Closes all groups but the best ones; a group is as good as the sum of its two best experts.
fn close_groups(
    count: usize,
    spec: &ExpertSpec,
    value: &impl Fn(usize) -> f32,
    closed: &mut [u64; TAKEN_WORDS],
) {
    let (groups, open) = (spec.routing.groups as usize, spec.routing.groups_used as usize);
    if open >= groups {
        return;
    }
    let size = count / groups;
    let score = |group: usize| {
        let values = (group * size..(group + 1) * size).map(value);
        let (first, second) = values.fold((f32::NEG_INFINITY, f32::NEG_INFINITY), |(a, b), x| {
            if x > a { (x, a) } else { (a, b.max(x)) }
        });
        if size == 1 { first } else { first + second }
    };
    // A group stays open if fewer than `open` others are better, ties by the lower number.
    for group in 0..groups {
        let own = score(group);
        let better = (0..groups)
            .filter(|other| score(*other) > own || score(*other) == own && *other < group)
            .count();
        if better >= open {
            (group * size..(group + 1) * size).for_each(|id| put(closed, id));
        }
    }
}

/// Bits for up to 4096 experts, the most that a checkpoint may have.
const TAKEN_WORDS: usize = 64;

fn holds(set: &[u64; TAKEN_WORDS], id: usize) -> bool {
    set[id / 64] >> (id % 64) & 1 == 1
}

fn put(set: &mut [u64; TAKEN_WORDS], id: usize) {
    set[id / 64] |= 1 << (id % 64);
}

#[cfg(test)]
mod tests {
    use protocol::model_spec::Routing;

    use super::*;

    fn spec(count: u32, used: u32, routing: Routing) -> ExpertSpec {
        ExpertSpec {
            count,
            used,
            ffn_size: 1,
            shared_ffn_size: 0,
            shared_gate: false,
            beside_dense: false,
            dense_layers: 0,
            bias: false,
            routing,
        }
    }

    #[test]
    fn weights_of_the_chosen_add_up_to_one_and_ties_go_to_the_lower_id() {
        let mut row = [0.0, 2.0, 2.0, 1.0, 2.0];
        choose(&mut row, None, &spec(5, 2, Routing::SOFTMAX));
        assert_eq!(row, [-1.0, 0.5, 0.5, -1.0, -1.0]);
    }

    #[test]
    fn a_bias_moves_the_choice_and_not_the_weight() {
        let routing = Routing { selection_bias: true, normalise: false, ..Routing::SOFTMAX };
        let mut row = [1.0, 0.0];
        choose(&mut row, Some(&[0.0, 5.0]), &spec(2, 1, routing));
        assert!(row[0] == -1.0 && (row[1] - 0.268_941_4).abs() < 1e-6, "{row:?}");
    }

    #[test]
    fn only_the_best_groups_compete() {
        let sigmoid = ExpertScores::Sigmoid;
        let routing = Routing { scores: sigmoid, groups: 2, groups_used: 1, ..Routing::SOFTMAX };
        // The best expert stands in the group whose two best are worse together.
        let mut row = [3.0, -9.0, -9.0, 2.0, 2.0, 1.0];
        choose(&mut row, None, &spec(6, 2, routing));
        assert_eq!(row, [-1.0, -1.0, -1.0, 0.5, 0.5, -1.0]);
    }

    #[test]
    fn numbers_that_are_none_choose_without_a_panic() {
        let mut row = [f32::NAN; 4];
        choose(&mut row, None, &spec(4, 2, Routing::SOFTMAX));
    }
}
