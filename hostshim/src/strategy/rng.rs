//! Random numbers that never change: SplitMix64 (Steele, Lea and Flood, 2014).
//!
//! Seeds appear in reports and notes, so their meaning must not depend on a library's version.

/// A generator of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator for run number `run` of `seed`.
    pub fn new(seed: u64, run: u64) -> Rng {
        // Two rounds apart, so that neighbouring seeds and runs have nothing in common.
        Rng(mix(mix(seed ^ 0x6a09_e667_f3bc_c909).wrapping_add(run)))
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, which is not 0.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        debug_assert!(bound > 0, "no number is below 0");
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// True once in `odds` calls, on average.
    #[inline]
    pub fn once_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    /// A member of the set `cpus`, which is not empty.
    #[inline]
    pub fn member(&mut self, cpus: u32) -> usize {
        let count = u64::from(cpus.count_ones());
        let drawn = self.below(count);
        let mut rest = cpus;
        // The same number of iterations for every draw, so that the branch is predictable.
        for round in 1..count {
            let without = rest & (rest - 1);
            rest = std::hint::select_unpredictable(round <= drawn, without, rest);
        }
        rest.trailing_zeros() as usize
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this fails, every seed that was ever written down has changed its meaning.
    #[test]
    fn the_stream_never_changes() {
        let mut reference = Rng(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| reference.bits()).collect();
        // From the reference implementation in C.
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn runs_and_seeds_differ() {
        let first = |seed, run| Rng::new(seed, run).bits();
        assert_ne!(first(1, 0), first(1, 1));
        assert_ne!(first(1, 0), first(2, 0));
        assert_ne!(first(1, 1), first(2, 0));
        assert_eq!(first(7, 9), first(7, 9));
    }

    #[test]
    fn every_member_of_a_set_is_drawn_and_nothing_else() {
        let mut rng = Rng::new(1, 1);
        let drawn = (0..200).fold(0u32, |set, _| set | 1 << rng.member(0b1011_0001));
        assert_eq!(drawn, 0b1011_0001);
    }
}
