//! Where something may end: looked for in 64 bytes of the body at once.
//!
//! Reading a line is then a walk from stop to stop, and no branch depends on how long a name or a number is.

use wide::u8x16;

/// Bytes looked at together.
const BLOCK: usize = 64;

/// The stops of a body, one after the other: line ends, blanks, commas, equals signs and backslashes.
#[derive(Debug)]
pub(super) struct Marks {
    /// Where the block at hand begins; a multiple of 64.
    base: usize,
    /// What is before this was looked at.
    passed: usize,
    /// A bit for each stop of the block that was not passed.
    stops: u64,
    /// A bit for each digit of the block, and of the one before.
    digits: [u64; 2],
}

// === impl Marks ===

impl Marks {
    /// Begins at an offset of a body.
    pub(super) fn at(body: &[u8], at: usize) -> Self {
        let mut marks = Marks { base: 0, passed: 0, stops: 0, digits: [0; 2] };
        marks.move_to(body, at);
        marks
    }

    /// Passes the next stop and gives it; at the end the length of the body.
    #[inline(always)]
    pub(super) fn next(&mut self, body: &[u8]) -> usize {
        while self.stops == 0 {
            if self.base + BLOCK >= body.len() {
                self.passed = body.len();
                return body.len();
            }
            self.base += BLOCK;
            self.mark(body);
        }
        let stop = self.base + self.stops.trailing_zeros() as usize;
        self.stops &= self.stops - 1;
        self.passed = stop;
        stop
    }

    /// Gives what was looked at so far.
    pub(super) fn passed(&self) -> usize {
        self.passed
    }

    /// Notes that everything before `at` was looked at.
    #[inline(always)]
    pub(super) fn pass(&mut self, at: usize) {
        self.passed = self.passed.max(at);
    }

    /// Passes all stops before `at`; an offset before the block changes nothing.
    #[inline(always)]
    pub(super) fn skip_to(&mut self, body: &[u8], at: usize) {
        self.pass(at);
        let in_block = at.saturating_sub(self.base);
        if in_block < BLOCK {
            self.stops &= u64::MAX << in_block;
        } else {
            self.move_to(body, at);
        }
    }

    /// Goes to an offset in another block.
    #[inline(never)]
    fn move_to(&mut self, body: &[u8], at: usize) {
        self.base = at - at % BLOCK;
        self.mark(body);
        self.digits[1] = 0;
        self.stops &= u64::MAX << (at % BLOCK);
    }

    /// Gives which bytes from `start` on are digits, as far as the block of the last stop; nothing for a start that is
    /// neither in it nor in the one before.
    #[inline(always)]
    pub(super) fn digits(&self, start: usize) -> Option<u64> {
        let [block, before] = self.digits.map(u128::from);
        let from = (start + BLOCK).wrapping_sub(self.base);
        (from < 2 * BLOCK).then(|| ((block << BLOCK | before) >> from) as u64)
    }

    #[inline(never)]
    fn mark(&mut self, body: &[u8]) {
        let rest = body.get(self.base..).unwrap_or_default();
        let digits;
        (self.stops, digits) = match rest.first_chunk() {
            Some(block) => marks_of(block),
            None => {
                // What is missing of the last block is neither a stop nor a digit.
                let mut block = [0; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                marks_of(&block)
            }
        };
        self.digits = [digits, self.digits[0]];
    }
}

#[inline(always)]
fn marks_of(block: &[u8; BLOCK]) -> (u64, u64) {
    let (chunks, _) = block.as_chunks::<16>();
    let (mut stops, mut digits) = (0, 0);
    for (at, chunk) in chunks.iter().enumerate() {
        let chunk = u8x16::new(*chunk);
        let is = |byte| chunk.simd_eq(u8x16::splat(byte));
        let is_stop = is(b'\n') | is(b' ') | is(b',') | is(b'=') | is(b'\\');
        stops |= u64::from(is_stop.to_bitmask()) << (16 * at);
        // What is not above nine is its own minimum with it: two instructions.
        let value = chunk - u8x16::splat(b'0');
        let is_digit = value.min(u8x16::splat(9)).simd_eq(value);
        digits |= u64::from(is_digit.to_bitmask()) << (16 * at);
    }
    (stops, digits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_stops_are_the_bytes_that_have_a_class() {
        for byte in 0..=u8::MAX {
            let is_stop = super::super::scan::CLASSES[usize::from(byte)] != 0;
            assert_eq!(Marks::at(&[byte], 0).next(&[byte]) == 0, is_stop, "{byte}");
        }
    }

    proptest! {
        #[test]
        fn marks_are_those_of_a_byte_wise_search(
            body in prop::collection::vec(
                prop_oneof![
                    8 => any::<u8>(),
                    60 => b'a'..=b'z',
                    40 => b'0'..=b'9',
                    4 => prop::sample::select(&b"\n ,=\\\t\x00\"/:"[..]),
                ], 0..400),
            begin in 0_usize..400,
            steps in prop::collection::vec((0_usize..100, any::<bool>()), 1..50),
        ) {
            let mut at = begin.min(body.len());
            let mut marks = Marks::at(&body, at);
            for (step, is_jump) in steps {
                if is_jump {
                    at = (at + step).min(body.len());
                    marks.skip_to(&body, at);
                }
                let is_stop = |byte: &u8| matches!(byte, b'\n' | b' ' | b',' | b'=' | b'\\');
                let stop = body[at..].iter().position(is_stop).map_or(body.len(), |found| at + found);
                prop_assert_eq!(marks.next(&body), stop);
                if let Some(digits) = marks.digits(at) {
                    for (bit, byte) in body[at..stop].iter().enumerate().take(64) {
                        let is_digit = digits >> bit & 1 == 1;
                        prop_assert!(!is_digit || byte.is_ascii_digit());
                        prop_assert!(is_digit == byte.is_ascii_digit() || is_jump);
                    }
                }
                at = (stop + 1).min(body.len());
            }
        }
    }
}
