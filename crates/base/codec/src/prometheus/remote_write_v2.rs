//! Messages of remote write 2.0, in Protocol Buffers.
//!
//! ```text
//! Request    { repeated string symbols = 4; repeated TimeSeries timeseries = 5; }
//! TimeSeries { repeated uint32 labels_refs = 1; repeated Sample samples = 2; }
//! Sample     { double value = 1; int64 timestamp = 2; }
//! ```
//! Texts stand once, among the symbols; labels are places in there, a name and a value in turn. The first symbol is empty.

use std::collections::HashMap;

use super::{NAME_LABEL, Sample};
use crate::wire::{
    bytes_len, push_bytes, push_fixed64, push_head, push_number, push_varint, varint_len,
};

const SYMBOLS: u8 = 4;
const TIMESERIES: u8 = 5;
const LABELS: u8 = 1;
const SAMPLES: u8 = 2;

/// Builds a `Request`.
#[derive(Debug)]
pub struct RequestBuilder {
    known: HashMap<String, u32>,
    symbols: Vec<u8>,
    series: Vec<u8>,
}

// === impl RequestBuilder ===

impl Default for RequestBuilder {
    fn default() -> Self {
        let mut builder =
            RequestBuilder { known: HashMap::new(), symbols: Vec::new(), series: Vec::new() };
        builder.symbol("");
        builder
    }
}

impl RequestBuilder {
    /// Appends one `timeseries`; `labels` are sorted by name and hold no `__name__`, which is put in its place.
    pub fn append(&mut self, name: &str, labels: &[(&str, &str)], samples: &[Sample]) {
        let before = labels.partition_point(|(label, _)| *label < NAME_LABEL);
        let (low, high) = labels.split_at(before);
        let mut places = Vec::with_capacity(2 * labels.len() + 2);
        for (key, value) in low.iter().chain(&[(NAME_LABEL, name)]).chain(high) {
            places.push(self.symbol(key));
            places.push(self.symbol(value));
        }
        let places_len: usize = places.iter().map(|place| varint_len(u64::from(*place))).sum();
        let sample_len = |sample: &Sample| 9 + 1 + varint_len(sample.millis as u64);
        let samples_len: usize = samples.iter().map(|sample| bytes_len(sample_len(sample))).sum();
        let out = &mut self.series;
        push_head(TIMESERIES, bytes_len(places_len) + samples_len, out);
        push_head(LABELS, places_len, out);
        places.iter().for_each(|place| push_varint(u64::from(*place), out));
        for sample in samples {
            push_head(SAMPLES, sample_len(sample), out);
            push_fixed64(1, sample.value.to_bits(), out);
            push_number(2, sample.millis as u64, out);
        }
    }

    /// Gives the message.
    pub fn finish(self) -> Vec<u8> {
        let mut out = self.symbols;
        out.extend_from_slice(&self.series);
        out
    }

    fn symbol(&mut self, text: &str) -> u32 {
        if let Some(place) = self.known.get(text) {
            return *place;
        }
        // A body of 4 billion texts does not fit into memory.
        let place = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        self.known.insert(text.to_owned(), place);
        push_bytes(SYMBOLS, text.as_bytes(), &mut self.symbols);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_once() {
        let mut builder = RequestBuilder::default();
        let sample = Sample { value: 1.0, millis: 5 };
        builder.append("up", &[("a", "up")], &[sample]);
        builder.append("up", &[("a", "b")], &[sample]);
        let sample = b"\x12\x0b\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x05";
        let mut expected = Vec::new();
        expected.extend_from_slice(b"\x22\x00\x22\x08__name__\x22\x02up\x22\x01a\x22\x01b");
        for places in [b"\x01\x02\x03\x02", b"\x01\x02\x03\x04"] {
            expected.extend_from_slice(b"\x2a\x13\x0a\x04");
            expected.extend_from_slice(places);
            expected.extend_from_slice(sample);
        }
        assert_eq!(builder.finish(), expected);
    }
}
