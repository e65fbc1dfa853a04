//! What stateful functions remember.

use thiserror::Error;

/// What an expression remembers for one group; empty, and without an allocation, for expressions without stateful functions.
///
/// Made by [`Program::state`](super::Program::state).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub(super) slots: Vec<Slot>,
}

/// Why stored state cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StateError {
    /// Written by another version.
    #[error("state of an expression has version {0}, expected {VERSION}")]
    Version(u8),
    /// Cut off, or not state at all.
    #[error("state of an expression is damaged")]
    Damaged,
    /// The state of another expression.
    #[error("state belongs to another expression")]
    Foreign,
}

/// A function that keeps state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeper {
    Count,
    Sigma,
    Spread,
    Random,
}

/// The state of one function in one expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Slot {
    Count(i64),
    Sigma { count: f64, mean: f64, squares: f64 },
    Spread { low: f64, high: f64 },
    Random(u64),
}

const VERSION: u8 = 1;

/// Bytes of one slot as they are stored: the kind and three words.
const SLOT_BYTES: usize = 25;

// === impl State ===

impl State {
    /// Says whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Appends the state; nothing when it is empty.
    pub fn save(&self, out: &mut Vec<u8>) {
        if self.slots.is_empty() {
            return;
        }
        out.push(VERSION);
        for slot in &self.slots {
            let (kind, words) = slot.to_words();
            out.push(kind);
            for word in words {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
    }

    /// Reads what [`State::save`] wrote.
    ///
    /// See [`Program::load_state`](super::Program::load_state), which also knows whether the state fits the expression.
    pub fn load(bytes: &[u8]) -> Result<State, StateError> {
        let Some((version, rest)) = bytes.split_first() else { return Ok(State::default()) };
        if *version != VERSION {
            return Err(StateError::Version(*version));
        }
        let (slots, []) = rest.as_chunks::<SLOT_BYTES>() else { return Err(StateError::Damaged) };
        let slots = slots.iter().map(Slot::from_bytes).collect::<Option<Vec<Slot>>>();
        match slots {
            Some(slots) if !slots.is_empty() => Ok(State { slots }),
            _ => Err(StateError::Damaged),
        }
    }
}

// === impl Keeper ===

impl Keeper {
    /// Gives the state before the first call.
    pub(super) fn start(self, seed: u64) -> Slot {
        match self {
            Keeper::Count => Slot::Count(0),
            Keeper::Sigma => Slot::Sigma { count: 0.0, mean: 0.0, squares: 0.0 },
            Keeper::Spread => Slot::Spread { low: f64::INFINITY, high: f64::NEG_INFINITY },
            Keeper::Random => Slot::Random(seed),
        }
    }
}

// === impl Slot ===

impl Slot {
    pub(super) fn keeper(&self) -> Keeper {
        match self {
            Slot::Count(_) => Keeper::Count,
            Slot::Sigma { .. } => Keeper::Sigma,
            Slot::Spread { .. } => Keeper::Spread,
            Slot::Random(_) => Keeper::Random,
        }
    }

    fn to_words(self) -> (u8, [u64; 3]) {
        match self {
            Slot::Count(count) => (0, [count as u64, 0, 0]),
            Slot::Sigma { count, mean, squares } => {
                (1, [count.to_bits(), mean.to_bits(), squares.to_bits()])
            }
            Slot::Spread { low, high } => (2, [low.to_bits(), high.to_bits(), 0]),
            Slot::Random(word) => (3, [word, 0, 0]),
        }
    }

    fn from_bytes(bytes: &[u8; SLOT_BYTES]) -> Option<Slot> {
        let (words, _) = bytes[1..].as_chunks::<8>();
        let [one, two, three] = words else { return None };
        let (one, two, three) =
            (u64::from_le_bytes(*one), u64::from_le_bytes(*two), u64::from_le_bytes(*three));
        Some(match bytes[0] {
            0 => Slot::Count(one as i64),
            1 => Slot::Sigma {
                count: f64::from_bits(one),
                mean: f64::from_bits(two),
                squares: f64::from_bits(three),
            },
            2 => Slot::Spread { low: f64::from_bits(one), high: f64::from_bits(two) },
            3 => Slot::Random(one),
            _ => return None,
        })
    }
}
