//! Words and numbers of system files. Never panics and never accepts a sign, an infinity or
//! trailing letters.

/// A cursor over the words of one line, separated by white space.
pub(super) struct Words<'a>(&'a [u8]);

/// Gives the lines of `text` with their numbers, counted from 1.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let lines = text.split(|&byte| byte == b'\n');
    lines.enumerate().map(|(index, line)| (index + 1, line)).filter(|(_, line)| !line.is_empty())
}

/// Gives the words of `line`.
pub(super) fn words(line: &[u8]) -> Words<'_> {
    Words(line)
}

/// Reads an unsigned decimal number that fills `word`.
pub(super) fn integer(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Reads a finite number of zero or more that fills `word`.
pub(super) fn decimal(word: &[u8]) -> Option<f64> {
    if !word.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    let number: f64 = std::str::from_utf8(word).ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}

// === impl Words ===

impl Words<'_> {
    /// Gives the next word as an unsigned number.
    pub(super) fn integer(&mut self) -> Option<u64> {
        integer(self.next()?)
    }

    /// Gives the next word as a finite number of zero or more.
    pub(super) fn decimal(&mut self) -> Option<f64> {
        decimal(self.next()?)
    }

    /// Gives the next `N` words as unsigned numbers.
    pub(super) fn integers<const N: usize>(&mut self) -> Option<[u64; N]> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = self.integer()?;
        }
        Some(numbers)
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.0.trim_ascii_start();
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (word, rest) = line.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_fill_the_word_and_the_range() {
        assert_eq!(integer(b"0"), Some(0));
        assert_eq!(integer(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["", "18446744073709551616", "+1", "-1", "1.0", "1k", " 1"] {
            assert_eq!(integer(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn decimals_are_finite_and_unsigned() {
        assert_eq!(decimal(b"0.08"), Some(0.08));
        assert_eq!(decimal(b"12"), Some(12.0));
        for bad in ["", ".", "1.2.3", "-1", "+1", "inf", "nan", "1e3"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(decimal("9".repeat(400).as_bytes()), None, "beyond the range of f64");
    }

    #[test]
    fn lines_keep_their_numbers_across_empty_ones() {
        let found: Vec<_> = lines(b"a\n\nb c\n").collect();
        assert_eq!(found, [(1, &b"a"[..]), (3, &b"b c"[..])]);
        assert_eq!(words(b"  b \t c ").collect::<Vec<_>>(), [b"b", b"c"]);
        assert_eq!(words(b" 1 2 x").integers::<2>(), Some([1, 2]));
        assert_eq!(words(b"1").integers::<2>(), None);
    }
}
