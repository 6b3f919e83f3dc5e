//! The random number of a position: a hash, not a generator with a state to carry over.

/// Uniform in [0, 1), a function of the choice seed and the position alone.
pub(super) fn uniform(choice_seed: u64, position: u64) -> f64 {
    let mixed = mix(mix(choice_seed) ^ position.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_of_a_seed_are_spread_evenly_and_differ_by_seed() {
        let mut tenths = [0; 10];
        for position in 0..10_000 {
            tenths[(uniform(7, position) * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
        let same = (0..1000).filter(|p| uniform(1, *p) == uniform(2, *p)).count();
        assert_eq!(same, 0);
    }
}
