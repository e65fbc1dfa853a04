//! Bodies of Prometheus remote write 2.0, read as points, in the same way as those of version 1.0.
//!
//! Texts stand among the symbols, and labels are places in there. Symbols may come behind the series that name them, so
//! they are read first. What a body becomes is bounded by [`tally`](super::tally).

use super::protobuf::{ITEMS_MAX, ProtobufError};
use super::remote_write::{Series, sample};
use super::tally::{POINTS_MAX, Tally};
use super::{Entry, Point};
use crate::prometheus::NAME_LABEL;
use crate::wire::{Field, Message, WireError, varint_start};

/// What was in a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Samples, those that were no numbers included.
    pub samples: u64,
    /// Samples that were no numbers: they say that a series ended.
    pub stale: u64,
    /// Histograms, and series without a name.
    pub skipped: u64,
}

const SYMBOLS: u32 = 4;
const TIMESERIES: u32 = 5;
const LABELS: u32 = 1;
const SAMPLES: u32 = 2;
const HISTOGRAMS: u32 = 3;

/// Reads an `io.prometheus.write.v2.Request` point by point.
///
/// - Errors: what follows the points that were taken is no such message, or too much.
pub fn read<'b>(body: &'b [u8], take: &mut dyn FnMut(Point<'b>)) -> Result<Read, ProtobufError> {
    let mut symbols = Vec::new();
    let mut message = Message::new(body);
    while let Some((number, field)) = message.next()? {
        if number == SYMBOLS {
            if symbols.len() >= POINTS_MAX {
                return Err(ProtobufError::TooMany);
            }
            symbols.push(field.text(SYMBOLS)?);
        }
    }
    let (mut out, mut tally) = (Read::default(), Tally::default());
    let mut take = |point: Point<'b>| {
        tally.add(&point)?;
        take(point);
        Ok(())
    };
    let mut message = Message::new(body);
    while let Some((number, field)) = message.next()? {
        if number == TIMESERIES {
            series(field.bytes(TIMESERIES)?, &symbols, &mut out, &mut take)?;
        }
    }
    Ok(out)
}

fn series<'b>(
    bytes: &'b [u8],
    symbols: &[&'b str],
    out: &mut Read,
    take: &mut dyn FnMut(Point<'b>) -> Result<(), ProtobufError>,
) -> Result<(), ProtobufError> {
    let mut places = Vec::new();
    let mut message = Message::new(bytes);
    while let Some((number, field)) = message.next()? {
        match (number, field) {
            (LABELS, Field::Varint(place)) => places.push(place),
            (LABELS, field) => packed(field.bytes(LABELS)?, &mut places)?,
            (HISTOGRAMS, _) => out.skipped += 1,
            _ => {}
        }
        if places.len() > 2 * ITEMS_MAX {
            return Err(ProtobufError::TooMany);
        }
    }
    let text = |place: u64| {
        let text = usize::try_from(place).ok().and_then(|place| symbols.get(place));
        text.copied().ok_or(ProtobufError::Wire(WireError::Number(place)))
    };
    let (pairs, rest) = places.as_chunks::<2>();
    if let Some(place) = rest.first() {
        return Err(WireError::Number(*place).into());
    }
    let (mut name, mut tags) = ("", Vec::new());
    for [key, value] in pairs {
        match (text(*key)?, text(*value)?) {
            (NAME_LABEL, value) => name = value,
            (key, value) => tags.push(Entry::tag(key, value)),
        }
    }
    let series = Series::named(name, tags);
    let mut message = Message::new(bytes);
    while let Some((number, field)) = message.next()? {
        if number != SAMPLES {
            continue;
        }
        let (value, millis) = sample(field)?;
        out.samples += 1;
        match &series {
            None => out.skipped += 1,
            Some(_) if value.is_nan() => out.stale += 1,
            Some(series) => take(series.point(value, millis))?,
        }
    }
    Ok(())
}

fn packed(mut bytes: &[u8], out: &mut Vec<u64>) -> Result<(), ProtobufError> {
    while let Some((number, len)) = varint_start(bytes)? {
        out.push(number);
        if out.len() > 2 * ITEMS_MAX {
            return Err(ProtobufError::TooMany);
        }
        bytes = &bytes[len..];
        if bytes.is_empty() {
            return Ok(());
        }
    }
    if bytes.is_empty() { Ok(()) } else { Err(WireError::Truncated.into()) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::points::line::write_point;
    use crate::prometheus::{RequestBuilder, Sample};

    fn body() -> Vec<u8> {
        let sample = |millis, value| Sample { millis, value };
        let mut builder = RequestBuilder::default();
        let samples = [sample(1, 1.5), sample(2, f64::NAN), sample(3, 2.0)];
        builder.append("cpu_usage_user", &[("host", "a b")], &samples);
        builder.append("up", &[], &[sample(4, 1.0)]);
        builder.append("", &[("no", "name")], &[sample(4, 1.0)]);
        builder.finish()
    }

    fn lines(body: &[u8]) -> (String, Read) {
        let mut out = Vec::new();
        let read = read(body, &mut |point| assert!(write_point(&point, &mut out))).unwrap();
        (String::from_utf8(out).unwrap(), read)
    }

    #[test]
    fn samples_become_points() {
        let body = body();
        let (text, read) = lines(&body);
        assert_eq!(
            text,
            "cpu,host=a\\ b usage_user=1.5 1000000\ncpu,host=a\\ b usage_user=2 3000000\nup value=1 4000000\n"
        );
        assert_eq!((read.samples, read.stale, read.skipped), (5, 1, 1));
    }

    #[test]
    fn symbols_may_come_last_and_places_alone() {
        // A series of `__name__` (1) and `up` (2), whose places are not packed, and then the symbols.
        let series = b"\x08\x01\x08\x02\x12\x0b\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x05";
        let mut body = vec![0x2a, series.len() as u8];
        body.extend_from_slice(series);
        body.extend_from_slice(b"\x22\x00\x22\x08__name__\x22\x02up");
        assert_eq!(lines(&body).0, "up value=1 5000000\n");
        // A place that is not there, and a key without a value.
        for places in [&b"\x0a\x02\x01\x09"[..], b"\x0a\x01\x01", b"\x0a\x01\x80"] {
            let mut body = b"\x22\x00\x22\x08__name__\x2a".to_vec();
            body.push(places.len() as u8);
            body.extend_from_slice(places);
            assert!(read(&body, &mut |_| {}).is_err(), "{places:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(byte: u8, cut in 0_usize..400) {
            let mut body = body();
            let at = cut % body.len();
            body[at] = byte;
            let _changed = read(&body, &mut |_| {}).is_ok();
            body.truncate(at);
            let _cut = read(&body, &mut |_| {}).is_ok();
        }
    }
}
