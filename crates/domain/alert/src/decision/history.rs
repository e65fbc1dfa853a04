//! The last levels of a group, two bits each.

use smallvec::{SmallVec, smallvec};

use super::settings::HISTORY_MAX;
use super::{StateError, take};
use crate::level::Level;

const PER_WORD: usize = 32;

/// Source: kapacitor: alert.go; the weight of the last change, and what the first one is divided by.
const WEIGHT_MAX: f64 = 1.2;
const WEIGHT_DIFFERENCE: f64 = 1.5;

/// A shift register: the newest level in the lowest bits of the first word.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct History {
    words: SmallVec<[u64; 2]>,
    length: u16,
}

impl History {
    /// Makes a history of `length` levels, all OK; at most [`HISTORY_MAX`].
    pub(super) fn new(length: usize) -> Self {
        let length = length.clamp(2, HISTORY_MAX);
        History { words: smallvec![0; length.div_ceil(PER_WORD)], length: length as u16 }
    }

    pub(super) fn newest(&self) -> Level {
        Level::from_bits(self.words[0] as u8)
    }

    pub(super) fn push(&mut self, level: Level) {
        let mut carry = level as u64;
        for word in &mut self.words {
            let next = *word >> 62;
            *word = *word << 2 | carry;
            carry = next;
        }
    }

    /// Gives the level that is `age` steps old.
    pub(super) fn at(&self, age: usize) -> Level {
        Level::from_bits((self.words[age / PER_WORD] >> (age % PER_WORD * 2)) as u8)
    }

    /// Gives the weighted share of changes, from 0 to about 1; the newest change weighs most.
    ///
    /// Differs: U-21; see [`History::literal_ratio`].
    pub(super) fn ratio(&self) -> f64 {
        let changes = usize::from(self.length) - 1;
        let base = WEIGHT_MAX / WEIGHT_DIFFERENCE;
        let step = (WEIGHT_MAX - base) / changes as f64;
        let mut sum = 0.0;
        for (index, word) in self.words.iter().enumerate() {
            let older = self.words.get(index + 1).copied().unwrap_or(0);
            let difference = word ^ (word >> 2 | older << 62);
            // One bit per pair that differs.
            let mut pairs = (difference | difference >> 1) & 0x5555_5555_5555_5555;
            while pairs != 0 {
                let age = index * PER_WORD + pairs.trailing_zeros() as usize / 2;
                if age >= changes {
                    break;
                }
                sum += base + step * (changes - 1 - age) as f64;
                pairs &= pairs - 1;
            }
        }
        sum / changes as f64
    }

    /// Gives the share of changes as upstream computes it.
    ///
    /// Compat: U-21. It goes around a ring from the newest slot: the newest change weighs least, the oldest and the newest
    /// level count as neighbours, and the second-newest change is left out.
    pub(super) fn literal_ratio(&self) -> f64 {
        let length = usize::from(self.length);
        let changes = length - 1;
        let mut weight = WEIGHT_MAX / WEIGHT_DIFFERENCE;
        let step = (WEIGHT_MAX - weight) / changes as f64;
        // Slot `newest + i` of the ring holds the level of this age.
        let age = |slot: usize| (length - slot) % length;
        let mut sum = 0.0;
        for slot in 0..changes {
            let before = (slot + length - 1) % length;
            if self.at(age(slot)) != self.at(age(before)) {
                sum += weight;
            }
            weight += step;
        }
        sum / changes as f64
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.length.to_le_bytes());
        for word in &self.words {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads a history and makes it `length` long.
    pub(super) fn decode(length: usize, bytes: &mut &[u8]) -> Result<Self, StateError> {
        let stored = usize::from(u16::from_le_bytes(take(bytes)?));
        if !(2..=HISTORY_MAX).contains(&stored) {
            return Err(StateError::Damaged);
        }
        let mut history = History::new(length);
        let known = stored.min(usize::from(history.length));
        for index in 0..stored.div_ceil(PER_WORD) {
            let word = u64::from_le_bytes(take(bytes)?);
            if let Some(place) = history.words.get_mut(index) {
                *place = word;
            }
        }
        // What lies behind the shorter of the two lengths was never a level of this history.
        for (index, word) in history.words.iter_mut().enumerate() {
            let levels = known.saturating_sub(index * PER_WORD);
            if levels < PER_WORD && stored < length {
                *word &= (1 << (levels * 2)) - 1;
            }
        }
        Ok(history)
    }
}
