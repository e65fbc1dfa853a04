//! Lines of input, whatever bytes they hold, in bounded memory.

use std::io::{self, BufRead, Read};

/// Reads a line without its line feed; nothing at the end of the input.
///
/// `false`: the line has more than `bytes_max` bytes; it was skipped, and `line` holds its beginning.
pub(crate) fn read_line(
    input: &mut impl BufRead,
    line: &mut Vec<u8>,
    bytes_max: usize,
) -> io::Result<Option<bool>> {
    line.clear();
    let read = input.by_ref().take(bytes_max as u64 + 1).read_until(b'\n', line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Some(true));
    }
    if line.len() <= bytes_max {
        return Ok(Some(true));
    }
    loop {
        let buffer = input.fill_buf()?;
        let (used, is_end) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(used);
        if is_end {
            return Ok(Some(false));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn long_lines_are_skipped_whole() {
        let mut input = &b"abc\nabcd\n\nabcde\xff"[..];
        let mut line = Vec::new();
        let mut next = || {
            let is_whole = read_line(&mut input, &mut line, 3).unwrap();
            is_whole.map(|is_whole| (is_whole, line.clone()))
        };
        assert_eq!(next(), Some((true, b"abc".to_vec())));
        assert!(!next().unwrap().0);
        assert_eq!(next(), Some((true, Vec::new())));
        assert!(!next().unwrap().0);
        assert_eq!(next(), None);
    }
}
