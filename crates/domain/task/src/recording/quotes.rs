//! Where a point in line protocol ends.

/// Tells whether a line end is one, or stands in a string; each byte is looked at once.
///
/// As upstream, only quotes of field values count: in names and tags they are characters like others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Quotes {
    is_escaped: bool,
    in_fields: bool,
    in_string: bool,
    equals: usize,
    commas: usize,
}

// === impl Quotes ===

impl Quotes {
    /// What was fed does not end with the end of a line.
    pub(crate) fn is_inside(&self) -> bool {
        *self != Quotes::default()
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let is_plain = bytes.last() == Some(&b'\n') && !self.is_inside();
        if is_plain && !bytes.contains(&b'"') && !bytes.contains(&b'\\') {
            // Nothing in it is a string, and the end of a line ends everything else.
            return;
        }
        for byte in bytes {
            if std::mem::take(&mut self.is_escaped) {
                continue;
            }
            match byte {
                b'\\' => self.is_escaped = true,
                b'"' if self.in_fields && self.equals > self.commas => {
                    self.in_string = !self.in_string;
                }
                _ if self.in_string => {}
                b'\n' => *self = Quotes::default(),
                b' ' => self.in_fields = true,
                b'=' if self.in_fields => self.equals += 1,
                b',' if self.in_fields => self.commas += 1,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_the_same_at_once_and_byte_by_byte() {
        let texts: &[&[u8]] = &[
            b"cpu v=1 1\n",
            b"cpu v=1 1\nmem v=2\n",
            b"a b=\"x\n",
            b"y\" 1\n",
            b"cpu v=1",
            b"\\\n",
            b" \n",
            b"\n",
        ];
        for first in texts {
            for second in texts {
                let (mut at_once, mut by_byte) = (Quotes::default(), Quotes::default());
                at_once.feed(first);
                at_once.feed(second);
                [*first, *second].concat().iter().for_each(|byte| by_byte.feed(&[*byte]));
                assert_eq!(at_once, by_byte, "{first:?} {second:?}");
            }
        }
    }
}
