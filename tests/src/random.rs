//! Pseudo-random numbers that can be had again.
use std::env;

/// xorshift64: small, and the same sequence for the same seed.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence number `run` of this test run. `OBUILDER_TESTS_SEED` gives another set of sequences.
    pub fn new(run: u64) -> Self {
        let seed = env::var("OBUILDER_TESTS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1u64);
        Self((seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ run.wrapping_mul(0xBF58_476D_1CE4_E5B9)) | 1)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % n as u64).unwrap_or_default()
    }

    /// One of `choices`.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}
