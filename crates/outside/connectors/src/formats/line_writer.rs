//! One payload per line, from a batch to bytes.
//!
//! A batch whose records stand one behind the other, each followed by a line feed, is written as the
//! span of its text that it is: no copy, no look at single records but for their ends. Anything else
//! is gathered in a buffer that is used again.

use std::ops::Range;

use levada_model::{RecordBatch, RecordError, Root, Tree};
use memchr::{memchr, memchr_iter};

use crate::traits::Outcomes;

/// Makes lines of records; see the module.
#[derive(Debug, Default)]
pub(crate) struct LineWriter {
    lines: Vec<u8>,
    tree: Tree,
}

// === impl LineWriter ===

impl LineWriter {
    /// Gives the lines of the records in `range`.
    ///
    /// A payload that holds a line feed is written without the white space of its JSON; when it is
    /// none, the record is rejected. Those are the only records that this resolves.
    pub(crate) fn lines<'a>(
        &'a mut self,
        batch: &'a RecordBatch,
        range: Range<usize>,
        outcomes: &mut Outcomes,
    ) -> &'a [u8] {
        if let Some(span) = as_they_stand(batch, range.clone()) {
            return span;
        }
        self.lines.clear();
        for index in range {
            self.push(batch, index, outcomes);
        }
        &self.lines
    }

    /// Starts a series of [`LineWriter::push`].
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
    }

    /// Gives the lines that were pushed.
    pub(crate) fn pushed(&self) -> &[u8] {
        &self.lines
    }

    /// Adds the line of one record, or rejects it.
    pub(crate) fn push(&mut self, batch: &RecordBatch, index: usize, outcomes: &mut Outcomes) {
        let start = self.lines.len();
        batch.print(index, &mut self.lines);
        if memchr(b'\n', &self.lines[start..]).is_some()
            && let Err(error) = compact(&mut self.lines, start, &mut self.tree)
        {
            self.lines.truncate(start);
            outcomes.rejected(index, error);
            return;
        }
        self.lines.push(b'\n');
    }
}

/// Gives the text of the records when it is their lines already.
fn as_they_stand(batch: &RecordBatch, range: Range<usize>) -> Option<&[u8]> {
    let records = batch.records.get(range)?;
    let (first, last) = (records.first()?, records.last()?);
    let mut start = first.start;
    for record in records {
        let is_clean = match record.root {
            Root::Node(root) => !batch.tree.is_dirty(root),
            _ => true,
        };
        let end = record.end as usize;
        if record.start != start || !is_clean || batch.text.get(end) != Some(&b'\n') {
            return None;
        }
        start = record.end + 1;
    }
    let span = &batch.text[first.start as usize..=last.end as usize];
    // As many line feeds as records, one behind each: no payload holds another.
    (memchr_iter(b'\n', span).count() == records.len()).then_some(span)
}

/// Takes the white space out of the JSON text that begins at `start`, where it stands.
fn compact(lines: &mut Vec<u8>, start: usize, tree: &mut Tree) -> Result<(), RecordError> {
    let fail = |reason: String| {
        RecordError::invalid(format!(
            "the payload holds a line feed and cannot be written as one line: {reason}"
        ))
    };
    if let Err(error) = std::str::from_utf8(&lines[start..]) {
        return Err(fail(format!("not UTF-8 from byte {} on", error.valid_up_to())));
    }
    tree.clear();
    tree.parse(lines, start as u32, lines.len() as u32).map_err(|error| fail(error.to_string()))?;
    let mut to = start;
    let mut is_string = false;
    let mut is_escape = false;
    for from in start..lines.len() {
        let byte = lines[from];
        if is_string {
            is_string = is_escape || byte != b'"';
            is_escape = !is_escape && byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            is_string = byte == b'"';
        }
        lines[to] = byte;
        to += 1;
    }
    lines.truncate(to);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn batch(payloads: &[&str]) -> RecordBatch {
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("p".into(), 0.into());
        for payload in payloads {
            batch.push(payload.as_bytes(), origin, 0);
        }
        batch
    }

    fn lines(batch: &RecordBatch) -> (String, Vec<usize>) {
        let mut outcomes = Outcomes::default();
        let mut writer = LineWriter::default();
        let text = writer.lines(batch, 0..batch.len(), &mut outcomes).to_vec();
        let rejected = outcomes.rejected_records().iter().map(|(index, _)| *index).collect();
        (String::from_utf8(text).unwrap(), rejected)
    }

    #[test]
    fn records_that_stand_as_lines_are_not_copied() {
        let batch = batch(&["{\"a\":1}", "x", ""]);
        let span = as_they_stand(&batch, 0..3).unwrap();
        assert_eq!(span.as_ptr(), batch.text.as_ptr());
        assert_eq!(span, b"{\"a\":1}\nx\n\n");
        assert_eq!(as_they_stand(&batch, 1..2).unwrap(), b"x\n");
    }

    #[test]
    fn gaps_edits_and_other_separators_are_gathered() {
        let mut gaps = batch(&["1", "2", "3"]);
        gaps.records.remove(1);
        assert_eq!(lines(&gaps), ("1\n3\n".into(), vec![]));

        let mut edited = batch(&["{\"a\":1}", "{\"a\":2}"]);
        let root = edited.document(1).unwrap();
        let a = edited.tree.member(&edited.text, root, b"a").unwrap();
        edited.tree.set_string(&mut edited.text, a, "x");
        edited.tree.touch(root);
        assert_eq!(lines(&edited), ("{\"a\":1}\n{\"a\":\"x\"}\n".into(), vec![]));

        let mut windows = RecordBatch::new();
        windows.text = b"1\r\n2\r\n3".to_vec();
        let origin = windows.push_origin("p".into(), 0.into());
        windows.push_span(0, 1, origin, 0);
        windows.push_span(3, 4, origin, 3);
        windows.push_span(6, 7, origin, 6);
        assert_eq!(lines(&windows), ("1\n2\n3\n".into(), vec![]));
    }

    #[test]
    fn a_line_feed_in_a_payload_goes_or_the_record_does() {
        let batch = batch(&[
            "1",
            "{\n \"a b\" : [ 1,\t2 ],\r\n \"c\\\" \" : \"x  \\\\\" }",
            "no\njson",
            "2",
        ]);
        let expected = "1\n{\"a b\":[1,2],\"c\\\" \":\"x  \\\\\"}\n2\n";
        assert_eq!(lines(&batch), (expected.into(), vec![2]));
    }

    #[test]
    fn a_line_feed_of_a_neighbour_does_not_stand_in_for_a_separator() {
        // Two records, two line feeds, but the second is inside a payload.
        let mut batch = RecordBatch::new();
        batch.text = b"a\nb\nc;".to_vec();
        let origin = batch.push_origin("p".into(), 0.into());
        batch.push_span(0, 3, origin, 0);
        batch.push_span(4, 5, origin, 4);
        assert_eq!(as_they_stand(&batch, 0..2), None);
    }

    proptest::proptest! {
        #[test]
        fn lines_are_the_payloads(payloads in proptest::collection::vec("[a-z{}\" ]{0,12}", 0..20), drop in 0usize..20) {
            let refs: Vec<&str> = payloads.iter().map(String::as_str).collect();
            let mut batch = batch(&refs);
            let mut expected = payloads.clone();
            if drop < expected.len() {
                batch.records.remove(drop);
                expected.remove(drop);
            }
            let text: String = expected.iter().map(|line| format!("{line}\n")).collect();
            proptest::prop_assert_eq!(lines(&batch), (text, vec![]));
        }
    }
}
