//! Bodies of points, and lines that had to be taken apart.

use levada_codec::points::checks::WarningKind;
use levada_codec::points::line::write_point;
use levada_codec::points::{Checks, Point, Value, json, protobuf, remote_write};
use levada_condition::filter::Lookup;

use super::bucket::Buckets;
use super::lookup::PointLookup;
use super::{Workspace, Write, WriteError, Written};
use crate::rules::{RuleSet, Verdict, header_value};
use crate::wal::Encoding;

/// What decides about the points of a body.
pub(super) struct Splitter<'a> {
    pub(super) write: &'a Write,
    pub(super) rules: &'a RuleSet,
    pub(super) checks: &'a Checks,
    pub(super) workspace: &'a mut Workspace,
    pub(super) written: &'a mut Written,
    /// Bytes that points may still have when they are written out; nothing when they have had more.
    pub(super) room: Option<usize>,
}

/// Reads version 2.
pub(super) fn read_protobuf(
    body: &[u8],
    split: &mut Splitter<'_>,
    buckets: &mut Buckets,
) -> Result<(), WriteError> {
    for point in protobuf::Reader::new(body, split.write.now) {
        split.point(point?, buckets);
    }
    Ok(())
}

/// Reads JSON.
pub(super) fn read_json(
    body: &[u8],
    split: &mut Splitter<'_>,
    buckets: &mut Buckets,
) -> Result<(), WriteError> {
    let document = json::Document::parse(body)?;
    for point in document.points(split.write.unit, split.write.now) {
        split.point(point?, buckets);
    }
    Ok(())
}

/// Reads remote write.
pub(super) fn read_remote_write(
    body: &[u8],
    split: &mut Splitter<'_>,
    buckets: &mut Buckets,
) -> Result<(), WriteError> {
    let mut reader = remote_write::Reader::new(body);
    for point in reader.by_ref() {
        split.point(point?, buckets);
    }
    split.written.skipped += reader.stale + reader.skipped;
    Ok(())
}

// === impl Splitter ===

impl Splitter<'_> {
    /// Checks a point, decides about it and puts it where it belongs; without room for it nothing happens.
    pub(super) fn point(&mut self, mut point: Point<'_>, buckets: &mut Buckets) {
        let Some(room) = self.room else { return };
        self.written.points += 1;
        self.checks.apply(&mut point, &mut self.written.warnings);
        if !point.has_field() {
            self.written.no_field += 1;
            self.written.warnings.add(WarningKind::NoField, || "no field".to_owned());
            return;
        }
        let category = self.write.category;
        let lookup = PointLookup { point: &point, category: Some(category) };
        let verdict = self.rules.decide(category, &lookup, &mut self.workspace.scratch);
        if !self.note(verdict) {
            return;
        }
        if let Some(rules) = self.rules.global_tags() {
            self.workspace.header.clear();
            let texts = point.entries.iter().filter_map(|entry| match &entry.value {
                Value::Str(text) => Some((&*entry.key, &**text)),
                _ => None,
            });
            header_value(rules, category, &point.name, texts, &mut self.workspace.header);
        }
        self.workspace.text.clear();
        if buckets.native() == Encoding::Protobuf {
            protobuf::write_point(&point, &mut self.workspace.text);
        } else if !write_point(&point, &mut self.workspace.text) {
            // What lines leave out was all that there was.
            self.written.no_field += 1;
            self.written.routed -= 1;
            return;
        }
        let mut bytes = 0;
        self.each_bucket(&lookup, buckets, |bucket, text, buckets| {
            bytes += text.len();
            buckets.push_point(bucket, text)
        });
        self.room = room.checked_sub(bytes);
    }

    /// Counts what becomes of a point; says whether it goes on.
    #[inline]
    pub(super) fn note(&mut self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Send => self.written.routed += 1,
            Verdict::Drop => self.written.filtered += 1,
            Verdict::Nowhere => self.written.nowhere += 1,
        }
        verdict == Verdict::Send
    }

    /// Calls `push` with every bucket that the point decided last belongs to, and the text in the workspace.
    #[inline]
    pub(super) fn each_bucket<L: Lookup + ?Sized>(
        &mut self,
        lookup: &L,
        buckets: &mut Buckets,
        mut push: impl FnMut(usize, &[u8], &mut Buckets),
    ) {
        let Workspace { scratch, text, header, .. } = &mut *self.workspace;
        let header = match self.rules.global_tags() {
            Some(_) => Some(header.as_str()),
            None => self.write.global_tags.as_deref(),
        };
        if !scratch.targets().is_empty() {
            let bucket = buckets.find(scratch.targets(), header);
            push(bucket, text, buckets);
        }
        for _ in 0..scratch.default_copies() {
            let mut ids = smallvec::SmallVec::new();
            self.rules.add_default(lookup, &mut ids);
            let bucket = buckets.find(&ids, header);
            push(bucket, text, buckets);
        }
    }
}
