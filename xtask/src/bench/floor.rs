//! The least that any processor has to do with the bench's records: read them, find where lines and strings begin and end,
//! and write them. No fields, no acknowledgements, no checkpoints; one thread, one buffer.
//!
//! Bytes are looked at eight at a time in ordinary registers, sixty-four to a block, and the places found are written
//! down, as a parser would need them.

use std::fs::File;
use std::io::{Read, Write};

use anyhow::{Context as _, Result};

use crate::Outcome;

/// Bytes read at once: large enough for the cost of a system call to vanish, small enough for the cache.
const BUFFER_BYTES: usize = 256 * 1024;
/// Bytes of a block: as many as a mask has bits.
const BLOCK_BYTES: usize = 64;

/// What was found; printed, so that the work cannot be optimised away.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    line_ends: u64,
    /// Quotes that begin or end a string.
    quotes: u64,
}

/// `bench-floor FILE [OUT]`: does the least work on FILE, writing to OUT when it is given.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome> {
    let (input, output) = match arguments {
        [input] => (input, None),
        [input, output] => (input, Some(output)),
        _ => {
            return Ok(Outcome::Usage("bench-floor takes a file and perhaps an output".to_owned()));
        }
    };
    let input = File::open(input).with_context(|| format!("cannot read {input}"))?;
    let counts = match output {
        Some(path) => {
            let output = File::create(path).with_context(|| format!("cannot write {path}"))?;
            copy(input, output, BUFFER_BYTES)?
        }
        None => copy(input, std::io::sink(), BUFFER_BYTES)?,
    };
    println!("{} line ends, {} quotes", counts.line_ends, counts.quotes);
    Ok(Outcome::Good)
}

/// Copies `input` to `output` a buffer at a time and finds the structure of what passes.
fn copy(mut input: impl Read, mut output: impl Write, buffer_bytes: usize) -> Result<Counts> {
    let mut buffer = vec![0; buffer_bytes];
    let mut tokenizer = Tokenizer::default();
    loop {
        let length = input.read(&mut buffer).context("cannot read")?;
        if length == 0 {
            return Ok(tokenizer.counts);
        }
        tokenizer.take(&buffer[..length]);
        output.write_all(&buffer[..length]).context("cannot write")?;
    }
}

#[derive(Default)]
struct Tokenizer {
    counts: Counts,
    /// Whether the last byte of the block before was an escape of the next.
    is_next_escaped: bool,
    /// Places of line ends and structural quotes in the current buffer.
    places: Vec<u32>,
}

impl Tokenizer {
    fn take(&mut self, bytes: &[u8]) {
        self.places.clear();
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        let mut base = 0;
        for block in blocks {
            self.block(block, BLOCK_BYTES, base);
            base += BLOCK_BYTES as u32;
        }
        if !rest.is_empty() {
            let mut block = [0; BLOCK_BYTES];
            block[..rest.len()].copy_from_slice(rest);
            self.block(&block, rest.len(), base);
        }
        std::hint::black_box(&self.places);
    }

    /// Looks at the first `length` bytes of a block; the others are zero.
    fn block(&mut self, block: &[u8; BLOCK_BYTES], length: usize, base: u32) {
        let (mut quotes, mut line_ends, mut escapes) = (0, 0, 0);
        for (index, word) in block.as_chunks::<8>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            quotes |= equal(word, b'"') << (index * 8);
            line_ends |= equal(word, b'\n') << (index * 8);
            escapes |= equal(word, b'\\') << (index * 8);
        }
        if escapes != 0 || self.is_next_escaped {
            quotes &= !self.escaped(escapes, length);
        }
        self.counts.quotes += u64::from(quotes.count_ones());
        self.counts.line_ends += u64::from(line_ends.count_ones());
        let mut found = quotes | line_ends;
        while found != 0 {
            self.places.push(base + found.trailing_zeros());
            found &= found - 1;
        }
    }

    /// The mask of bytes that follow an escape which is not itself escaped.
    fn escaped(&mut self, mut escapes: u64, length: usize) -> u64 {
        let mut escaped = u64::from(self.is_next_escaped);
        self.is_next_escaped = false;
        while escapes != 0 {
            let at = escapes.trailing_zeros() as usize;
            escapes &= escapes - 1;
            if escaped & (1 << at) != 0 {
                continue;
            }
            if at + 1 == length {
                self.is_next_escaped = true;
            } else {
                escaped |= 1 << (at + 1);
            }
        }
        escaped
    }
}

/// Bit `i` is set when byte `i` of `word` equals `byte`.
fn equal(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let difference = word ^ u64::from_ne_bytes([byte; 8]);
    // The high bit of each byte that is zero, exactly: no carry leaves a byte.
    let zero = !(((difference & LOW) + LOW) | difference | LOW);
    // Gathers the eight high bits in the top byte.
    (zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// The same by looking at one byte after the other.
    fn plain(text: &[u8]) -> (Counts, Vec<u32>) {
        let (mut counts, mut places, mut is_escaped) = (Counts::default(), Vec::new(), false);
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'\n' => counts.line_ends += 1,
                b'"' if !is_escaped => counts.quotes += 1,
                _ => {
                    is_escaped = *byte == b'\\' && !is_escaped;
                    continue;
                }
            }
            places.push(at as u32);
            is_escaped = false;
        }
        (counts, places)
    }

    #[test]
    fn copies_everything_and_finds_the_same_whatever_the_buffer() {
        // Every short text over the bytes that matter, repeated until it crosses blocks at every offset.
        let alphabet = [b'"', b'\\', b'\n', b'x', b'#', 0xa2];
        for code in 0..alphabet.len().pow(5) {
            let word: Vec<u8> = (0..5).map(|n| alphabet[code / 6_usize.pow(n) % 6]).collect();
            let text = word.repeat(27);
            let (counts, places) = plain(&text);
            let mut tokenizer = Tokenizer::default();
            tokenizer.take(&text);
            assert_eq!((&tokenizer.counts, &tokenizer.places), (&counts, &places), "{word:?}");
            for buffer_bytes in [1, 7, 64, 100] {
                let mut written = Vec::new();
                assert_eq!(
                    copy(&text[..], &mut written, buffer_bytes).unwrap(),
                    counts,
                    "{word:?}"
                );
                assert_eq!(written, text);
            }
        }
    }

    #[test]
    fn every_byte_equals_only_itself() {
        for byte in 0..=255 {
            let word = u64::from_le_bytes([byte, !byte, 0, 255, byte, 1, byte ^ 0x80, byte ^ 1]);
            let bytes = word.to_le_bytes();
            let wanted = (0..8).fold(0, |mask, at| mask | u64::from(bytes[at] == byte) << at);
            assert_eq!(equal(word, byte), wanted, "{byte}");
        }
    }
}
