//! Bodies of Prometheus remote write 1.0, read as points.
//!
//! | sample | point |
//! |---|---|
//! | `cpu_usage_user{host="a"} 1.5` | `cpu,host=a usage_user=1.5` |
//! | `up{host="a"} 1` | `up,host=a value=1` |
//!
//! The measurement is what stands before the first `_` of the name, the field what stands behind it: the way back of
//! `<measurement>_<field>`. A sample that is no number says that a series ended, and is no point. Native histograms,
//! exemplars and metadata are stepped over and counted.
//!
//! A body is one Snappy block, which is up to the caller; so is the unit, which is milliseconds.

use std::borrow::Cow;

use levada_model::Timestamp;

use super::protobuf::{ITEMS_MAX, ProtobufError};
use super::tally::Tally;
use super::{Entry, Point, Value};
use crate::prometheus::NAME_LABEL;
use crate::wire::{Field, Message};

/// Reads a body point by point; after an error there are no more. What it becomes is bounded by [`tally`](super::tally).
#[derive(Debug)]
pub struct Reader<'b> {
    message: Option<Message<'b>>,
    series: Option<Series<'b>>,
    tally: Tally,
    /// Samples that were no numbers.
    pub stale: u64,
    /// Histograms and samples without a name, which are no points here.
    pub skipped: u64,
}

/// A series whose samples are being read.
#[derive(Debug)]
pub(super) struct Series<'b> {
    name: Cow<'b, str>,
    field: Cow<'b, str>,
    tags: Vec<Entry<'b>>,
    samples: Message<'b>,
}

/// From milliseconds.
const NANOS: i64 = 1_000_000;
/// The field of a metric whose name has one part.
const VALUE: &str = "value";

// === impl Reader ===

impl<'b> Reader<'b> {
    /// Starts at the beginning of a `WriteRequest`.
    pub fn new(body: &'b [u8]) -> Self {
        let (message, tally) = (Some(Message::new(body)), Tally::default());
        Reader { message, series: None, tally, stale: 0, skipped: 0 }
    }

    fn step(&mut self) -> Result<Option<Point<'b>>, ProtobufError> {
        loop {
            while let Some(series) = &mut self.series {
                match series.samples.next()? {
                    None => self.series = None,
                    Some((2, field)) => match sample(field)? {
                        (value, _) if value.is_nan() => self.stale += 1,
                        (value, millis) => {
                            let point = series.point(value, millis);
                            self.tally.add(&point)?;
                            return Ok(Some(point));
                        }
                    },
                    Some((4, _)) => self.skipped += 1,
                    Some(_) => {}
                }
            }
            let Some(message) = &mut self.message else { return Ok(None) };
            match message.next()? {
                None => return Ok(None),
                Some((1, field)) => match Series::read(field.bytes(1)?)? {
                    Some(series) => self.series = Some(series),
                    None => self.skipped += 1,
                },
                Some(_) => {}
            }
        }
    }
}

impl<'b> Iterator for Reader<'b> {
    type Item = Result<Point<'b>, ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step().transpose();
        if !matches!(item, Some(Ok(_))) {
            (self.message, self.series) = (None, None);
        }
        item
    }
}

// === impl Series ===

impl<'b> Series<'b> {
    /// Reads the labels; nothing for a series without a name.
    fn read(bytes: &'b [u8]) -> Result<Option<Self>, ProtobufError> {
        let (mut message, samples) = (Message::new(bytes), Message::new(bytes));
        let (mut name, mut tags) = (None, Vec::new());
        while let Some((number, field)) = message.next()? {
            if number != 1 {
                continue;
            }
            let (mut key, mut value) = ("", "");
            let mut label = Message::new(field.bytes(1)?);
            while let Some((number, field)) = label.next()? {
                match number {
                    1 => key = field.text(1)?,
                    2 => value = field.text(2)?,
                    _ => {}
                }
            }
            match key {
                NAME_LABEL => name = Some(value),
                _ if tags.len() >= ITEMS_MAX => return Err(ProtobufError::TooMany),
                _ => tags.push(Entry::tag(key, value)),
            }
        }
        let series = Series::named(name.unwrap_or_default(), tags);
        Ok(series.map(|series| Series { samples, ..series }))
    }

    /// Makes one; nothing without a name.
    pub(super) fn named(name: &'b str, tags: Vec<Entry<'b>>) -> Option<Self> {
        if name.is_empty() {
            return None;
        }
        let (name, field) = match name.split_once('_') {
            Some((name, field)) if !name.is_empty() && !field.is_empty() => (name, field),
            _ => (name, VALUE),
        };
        let (name, field) = (Cow::Borrowed(name), Cow::Borrowed(field));
        Some(Series { name, field, tags, samples: Message::new(&[]) })
    }

    pub(super) fn point(&self, value: f64, millis: i64) -> Point<'b> {
        let mut entries = Vec::with_capacity(self.tags.len() + 1);
        entries.extend_from_slice(&self.tags);
        entries.push(Entry::field(self.field.clone(), Value::Float(value)));
        let time = Timestamp(millis.saturating_mul(NANOS));
        Point { name: self.name.clone(), entries, time, ..Point::default() }
    }
}

/// Reads a sample, which is the same in both versions.
pub(super) fn sample(field: Field<'_>) -> Result<(f64, i64), ProtobufError> {
    let mut message = Message::new(field.bytes(2)?);
    let (mut value, mut millis) = (0.0, 0);
    while let Some((number, field)) = message.next()? {
        match number {
            1 => value = field.double(1)?,
            2 => millis = field.varint(2)? as i64,
            _ => {}
        }
    }
    Ok((value, millis))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::points::line::write_point;
    use crate::prometheus::{Sample, append_time_series};

    fn body() -> Vec<u8> {
        let sample = |millis, value| Sample { millis, value };
        let mut body = Vec::new();
        let samples = [sample(1, 1.5), sample(2, f64::NAN), sample(-3, 2.0)];
        append_time_series("cpu_usage_user", &[("host", "a b")], &samples, &mut body);
        append_time_series("up", &[], &[sample(4, 1.0)], &mut body);
        append_time_series("", &[("no", "name")], &[sample(4, 1.0)], &mut body);
        append_time_series("_x", &[("aa", "1"), ("zz", "2")], &[sample(5, 1.0)], &mut body);
        body
    }

    #[test]
    fn samples_become_points() {
        let body = body();
        let mut reader = Reader::new(&body);
        let mut out = Vec::new();
        for point in reader.by_ref() {
            assert!(write_point(&point.unwrap(), &mut out));
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "cpu,host=a\\ b usage_user=1.5 1000000\ncpu,host=a\\ b usage_user=2 -3000000\nup value=1 4000000\n_x,aa=1,zz=2 value=1 5000000\n"
        );
        assert_eq!((reader.stale, reader.skipped), (1, 1));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(byte: u8, cut in 0_usize..400) {
            let mut body = body();
            let at = cut % body.len();
            body[at] = byte;
            let _changed = Reader::new(&body).count();
            body.truncate(at);
            let _cut = Reader::new(&body).count();
        }
    }
}
