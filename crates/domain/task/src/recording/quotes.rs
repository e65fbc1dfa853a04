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
