//! Random numbers that a test can repeat.

/// A small generator (SplitMix64): good enough to choose moments and sizes, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

// === impl Random ===

impl Random {
    /// Starts from a seed; `LEVADA_TEST_SEED` replaces it, so that a failure can be repeated.
    pub fn new(seed: u64) -> Self {
        let given = std::env::var("LEVADA_TEST_SEED").ok().and_then(|text| text.parse().ok());
        Random(given.unwrap_or(seed))
    }

    /// Gives the next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Gives a number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.draw() % end }
    }
}
