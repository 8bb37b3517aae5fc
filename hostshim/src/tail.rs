//! What an input leaves open.
//!
//! A fuzzer begins with inputs of a few bytes, and takes long to come to one that is a whole program and a schedule, too. So
//! an input that ends early goes on with bytes that its first few seed: it is a whole one from the beginning, and what
//! the fuzzer adds takes the place of what was drawn, piece by piece.

use crate::strategy::Rng;

/// Bytes that seed the rest.
const SEED: usize = 4;
/// Different bytes in the rest: operations on few things with few operands meet more often.
const PALETTE: usize = 24;

/// The input without its seed, and as many bytes more as make `length` of it.
pub fn with_tail(input: &[u8], length: usize) -> Vec<u8> {
    let (seed, rest) = input.split_at(input.len().min(SEED));
    let seed = seed
        .iter()
        .fold(0, |seed, &byte| seed << 8 | u64::from(byte));
    let mut rng = Rng::new(seed, 0);
    let palette: [u8; PALETTE] = std::array::from_fn(|_| rng.bits() as u8);
    let missing = length.saturating_sub(rest.len());
    let tail = (0..missing).map(|_| palette[rng.below(PALETTE as u64) as usize]);
    rest.iter().copied().chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_and_the_rest_hangs_on_the_seed_alone() {
        let short = with_tail(&[1, 2, 3, 4, 5], 64);
        let longer = with_tail(&[1, 2, 3, 4, 5, 6, 7], 64);
        let other = with_tail(&[1, 2, 3, 5, 5], 64);
        assert_eq!((short.len(), short[0]), (64, 5));
        assert_eq!(longer[..3], [5, 6, 7]);
        assert_eq!(short, with_tail(&[1, 2, 3, 4, 5], 64));
        assert_ne!(short[1..], other[1..]);
        assert_eq!(with_tail(&[1, 2, 3, 4, 5, 6], 1), [5, 6]);
    }
}
