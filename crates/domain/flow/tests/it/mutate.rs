//! Seeded mutation of a corpus: the part of a fuzzer that needs no instrumentation.

use std::time::{Duration, Instant};

/// Inputs of each target unless [`ITERATIONS_VAR`] says otherwise.
const ITERATIONS: u64 = 3_000;

/// How many inputs each target gets.
const ITERATIONS_VAR: &str = "LEVADA_FUZZ_ITERATIONS";

/// Longest input a mutation makes.
const INPUT_BYTES_MAX: usize = 8 << 10;

/// Longest time that one input may take, on a slow and busy machine.
const TIME_MAX: Duration = Duration::from_secs(5);

/// A small generator of numbers (xorshift64*), so that a seed names a run for good.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() >> 33) as usize % bound }
    }

    pub(crate) fn one_of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

/// Runs `target` on mutations of `corpus`; each input has its own seed, which a failure prints.
#[expect(clippy::disallowed_methods, reason = "measures how long an input takes")]
pub(crate) fn run(
    name: &str,
    corpus: &[&str],
    words: &[&str],
    target: impl Fn(&[u8], &mut Random),
) {
    let iterations = std::env::var(ITERATIONS_VAR)
        .map_or(ITERATIONS, |text| text.parse().expect("iterations are a number"));
    for seed in 0..iterations {
        let mut random = Random::new(seed);
        let input = mutated(corpus, words, &mut random);
        let started = Instant::now();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            target(&input, &mut random);
        }));
        let shown = || String::from_utf8_lossy(&input[..input.len().min(2000)]).into_owned();
        if let Err(panic) = caught {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            panic!("{name} failed with seed {seed}: {text}\ninput begins: {}", shown());
        }
        let elapsed = started.elapsed();
        assert!(elapsed < TIME_MAX, "{name} took {elapsed:?} with seed {seed} for {}", shown());
    }
}

fn mutated(corpus: &[&str], words: &[&str], random: &mut Random) -> Vec<u8> {
    let mut input = random.one_of(corpus).as_bytes().to_vec();
    for _ in 0..random.below(8) {
        let at = random.below(input.len() + 1);
        let length = random.below((input.len() - at).min(48) + 1);
        match random.below(9) {
            0 => drop(input.drain(at..at + length)),
            1 => input.truncate(at),
            2 => {
                let again = input[at..at + length].repeat(1 + random.below(20));
                input.splice(at..at, again);
            }
            3 => {
                let other = random.one_of(corpus).as_bytes();
                let from = random.below(other.len() + 1);
                input.splice(at..at + length, other[from..].iter().copied());
            }
            4..=6 => {
                let word = random.one_of(words).bytes();
                input.splice(at..at + length.min(4), word);
            }
            7 => input.insert(at, (random.next() >> 40) as u8),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
        input.truncate(INPUT_BYTES_MAX);
    }
    input
}
