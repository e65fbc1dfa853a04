//! Where runs of plain bytes end: sixteen bytes of a string at a time, eight digits at a time.
//!
//! Both look past the end of a record into the text of the batch, which costs nothing and saves looking at
//! single bytes near the end; the caller compares what it gets with its own end.

use wide::u8x16;

/// Gives the offset of the first quote, backslash or control character at or after `at`, or the length of the text.
#[inline(always)]
pub(crate) fn string_stop(text: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let stops = stops(chunk);
        if stops != 0 {
            return at + stops.trailing_zeros() as usize;
        }
        at += 16;
    }
    while text.get(at).is_some_and(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        at += 1;
    }
    at
}

/// Finds what [`string_stop`] finds for positions that grow: looks at each block of 64 bytes once.
pub(crate) struct Stops<'t> {
    text: &'t [u8],
    /// Where the block at hand begins; a multiple of 64.
    base: usize,
    /// A bit for each byte of the block that ends a run.
    bits: u64,
}

impl<'t> Stops<'t> {
    #[inline(always)]
    pub(crate) fn new(text: &'t [u8], at: usize) -> Self {
        let base = at & !63;
        Stops { text, base, bits: block_stops(text, base) }
    }

    /// As [`string_stop`], but may give more than the length of the text.
    #[inline(always)]
    pub(crate) fn find(&mut self, mut at: usize) -> usize {
        loop {
            let base = at & !63;
            if base != self.base {
                self.base = base;
                self.bits = block_stops(self.text, base);
            }
            let bits = self.bits >> (at & 63);
            if bits != 0 {
                return at + bits.trailing_zeros() as usize;
            }
            at = base + 64;
        }
    }
}

#[inline(always)]
fn block_stops(text: &[u8], base: usize) -> u64 {
    let Some(block) = text.get(base..).and_then(|rest| rest.first_chunk::<64>()) else {
        return last_block_stops(text, base);
    };
    stops_of(block)
}

/// What is missing of the last block ends every run.
#[cold]
fn last_block_stops(text: &[u8], base: usize) -> u64 {
    let mut block = [0; 64];
    let rest = text.get(base..).unwrap_or_default();
    block[..rest.len()].copy_from_slice(rest);
    stops_of(&block)
}

#[inline(always)]
fn stops_of(block: &[u8; 64]) -> u64 {
    let (chunks, _) = block.as_chunks::<16>();
    let [a, b, c, d] = [0, 1, 2, 3].map(|at| u64::from(stops(&chunks[at])));
    a | b << 16 | c << 32 | d << 48
}

/// Gives a bit for each quote, backslash and control character.
#[inline(always)]
fn stops(chunk: &[u8; 16]) -> u32 {
    let chunk = u8x16::new(*chunk);
    let quote = chunk.simd_eq(u8x16::splat(b'"'));
    let backslash = chunk.simd_eq(u8x16::splat(b'\\'));
    // There is no comparison of unsigned bytes: what is not above 0x1f is its own minimum with it.
    let control = chunk.min(u8x16::splat(0x1f)).simd_eq(chunk);
    (quote | backslash | control).to_bitmask()
}

/// Gives the offset of the first byte at or after `at` that is no digit, or the length of the text.
#[inline(always)]
pub(crate) fn digits_stop(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        // A digit becomes 0 to 9; adding 0x76 to anything above sets the high bit, unless it has it already.
        let word = u64::from_le_bytes(*chunk) ^ (ONES * 0x30);
        let others = (((word & (ONES * 0x7f)) + ONES * 0x76) | word) & (ONES * 0x80);
        if others != 0 {
            return at + (others.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn stops_are_those_of_a_byte_wise_search(
            text in proptest::collection::vec(
                proptest::prop_oneof![
                    8 => proptest::num::u8::ANY,
                    8 => 0x20u8..0x7f,
                    16 => b'0'..=b'9',
                    1 => proptest::sample::select(&b"\"\\\n\x00\x1f\x20\x7f\x80\xff/:"[..]),
                ], 0..200),
            from in 0usize..200,
        ) {
            let from = from.min(text.len());
            let find = |is_stop: fn(&u8) -> bool| {
                text[from..].iter().position(is_stop).map_or(text.len(), |found| from + found)
            };
            let is_stop = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
            proptest::prop_assert_eq!(string_stop(&text, from), find(is_stop));
            let mut stops = Stops::new(&text, 0);
            for from in [from, from, from + 1, text.len().max(from)] {
                let found = stops.find(from).min(text.len());
                proptest::prop_assert_eq!(found, string_stop(&text, from.min(text.len())));
            }
            let is_stop = |byte: &u8| !byte.is_ascii_digit();
            proptest::prop_assert_eq!(digits_stop(&text, from), find(is_stop));
        }
    }
}
