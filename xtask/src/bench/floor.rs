//! The least that any processor has to do with the bench's records: read them, find where lines and strings begin and end,
//! and write them. No fields, no acknowledgements, no checkpoints; one thread, one buffer.

use std::fs::File;
use std::io::{Read, Write};

use anyhow::{Context as _, Result};
use memchr::{memchr, memchr_iter, memrchr};

use crate::Outcome;

/// Bytes read at once: large enough for the cost of a system call to vanish, small enough for the cache.
const BUFFER_BYTES: usize = 256 * 1024;

/// What was found; printed, so that the work cannot be optimised away.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    lines: u64,
    /// Quotes that begin or end a string.
    quotes: u64,
}

/// `bench-floor FILE [OUT]`: does the least work on FILE, writing to OUT when it is given.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome> {
    let (input, output) = match arguments {
        [input] => (input, None),
        [input, output] => (input, Some(output)),
        _ => {
            return Ok(Outcome::Usage(
                "bench-floor takes a file and perhaps an output".to_owned(),
            ));
        }
    };
    let input = File::open(input).with_context(|| format!("cannot read {input}"))?;
    let counts = match output {
        Some(path) => {
            let output = File::create(path).with_context(|| format!("cannot write {path}"))?;
            tokenize(input, output, BUFFER_BYTES)?
        }
        None => tokenize(input, std::io::sink(), BUFFER_BYTES)?,
    };
    println!("{} lines, {} quotes", counts.lines, counts.quotes);
    Ok(Outcome::Good)
}

/// Copies whole lines from `input` to `output`, a buffer at a time. A line longer than the buffer makes it grow.
fn tokenize(mut input: impl Read, mut output: impl Write, buffer_bytes: usize) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut buffer = vec![0; buffer_bytes];
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
        let length = input.read(&mut buffer[filled..]).context("cannot read")?;
        filled += length;
        let whole = match memrchr(b'\n', &buffer[..filled]) {
            // What is left at the end is a line without a newline.
            _ if length == 0 => filled,
            Some(last) => last + 1,
            None => continue,
        };
        let mut rest = &buffer[..whole];
        while !rest.is_empty() {
            let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(end);
            counts.lines += 1;
            counts.quotes += structural_quotes(line);
            rest = after;
        }
        output.write_all(&buffer[..whole]).context("cannot write")?;
        if length == 0 {
            return Ok(counts);
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

/// Counts the quotes that are not escaped.
fn structural_quotes(line: &[u8]) -> u64 {
    let is_structural = |at: &usize| {
        let escapes = line[..*at]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        escapes.is_multiple_of(2)
    };
    memchr_iter(b'"', line).filter(is_structural).count() as u64
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn copies_everything_and_counts_once_whatever_the_buffer() {
        let text = "{\"a\":\"x\"}\n\n{\"b\":\"\\\"quoted\\\" and \\\\\"}\n{\"last\":1}";
        for buffer_bytes in [1, 2, 7, 64, 4096] {
            let mut copy = Vec::new();
            let counts = tokenize(text.as_bytes(), &mut copy, buffer_bytes).unwrap();
            assert_eq!(copy, text.as_bytes(), "{buffer_bytes}");
            assert_eq!(
                counts,
                Counts {
                    lines: 4,
                    quotes: 10
                },
                "{buffer_bytes}"
            );
        }
    }

    #[test]
    fn nothing_gives_nothing() {
        let counts = tokenize(&b""[..], std::io::sink(), 16).unwrap();
        assert_eq!(counts, Counts::default());
    }
}
