//! Where runs of plain bytes end: sixteen bytes of a string at a time, eight digits at a time.
//!
//! Both look past the end of a record into the text of the batch, which costs nothing and saves looking at
//! single bytes near the end; the caller compares what it gets with its own end.

use wide::u8x16;

/// Gives the offset of the first quote, backslash or control character at or after `at`, or the length of the text.
#[inline(always)]
pub(crate) fn string_stop(text: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let chunk = u8x16::new(*chunk);
        let quote = chunk.simd_eq(u8x16::splat(b'"'));
        let backslash = chunk.simd_eq(u8x16::splat(b'\\'));
        // There is no comparison of unsigned bytes: what is not above 0x1f is its own minimum with it.
        let control = chunk.min(u8x16::splat(0x1f)).simd_eq(chunk);
        let stops = (quote | backslash | control).to_bitmask();
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

/// Gives the offset of the first byte at or after `at` that is no digit, or the length of the text.
#[inline(always)]
pub(crate) fn digits_stop(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        // A digit becomes 0 to 9; adding 0x76 to anything above sets the high bit, unless it has it already.
        let word = u64::from_le_bytes(*chunk) ^ (ONES * 0x30);
        let others = ((word & (ONES * 0x7f)) + ONES * 0x76 | word) & (ONES * 0x80);
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
                ], 0..80),
            from in 0usize..80,
        ) {
            let from = from.min(text.len());
            let find = |is_stop: fn(&u8) -> bool| {
                text[from..].iter().position(is_stop).map_or(text.len(), |found| from + found)
            };
            let is_stop = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
            proptest::prop_assert_eq!(string_stop(&text, from), find(is_stop));
            let is_stop = |byte: &u8| !byte.is_ascii_digit();
            proptest::prop_assert_eq!(digits_stop(&text, from), find(is_stop));
        }
    }
}
