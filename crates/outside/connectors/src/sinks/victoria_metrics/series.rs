//! The series of a batch, each with its samples.
//!
//! Series come again with every batch, so they are kept from one to the next, up to a bound: then a
//! sample costs a look-up and no allocation.

use std::collections::HashMap;
use std::sync::Arc;

use levada_codec::prometheus::Sample;

/// Series that are kept from batch to batch, and bytes of their names and labels. Ours: the hosts of a
/// cluster with a few hundred series each.
const KEPT_MAX: usize = 50_000;
const KEPT_BYTES_MAX: usize = 16 << 20;

/// Series with samples, in the order in which they came up.
#[derive(Debug, Default)]
pub(super) struct SeriesSet {
    by_key: HashMap<Arc<[u8]>, usize>,
    all: Vec<Series>,
    /// Those that have samples.
    live: Vec<usize>,
    key_bytes: usize,
}

#[derive(Debug)]
struct Series {
    key: Arc<[u8]>,
    samples: Vec<Sample>,
}

// === impl SeriesSet ===

impl SeriesSet {
    /// Takes the samples out, and the series when there are many.
    pub(super) fn clear(&mut self) {
        if self.all.len() > KEPT_MAX || self.key_bytes > KEPT_BYTES_MAX {
            *self = SeriesSet::default();
        } else {
            for &index in &self.live {
                self.all[index].samples.clear();
            }
        }
        self.live.clear();
    }

    /// Adds a sample to the series with this key; see [`push_part`].
    pub(super) fn push(&mut self, key: &[u8], sample: Sample) {
        let index = match self.by_key.get(key) {
            Some(&index) => index,
            None => {
                let key: Arc<[u8]> = key.into();
                self.key_bytes += key.len();
                self.by_key.insert(key.clone(), self.all.len());
                self.all.push(Series { key, samples: Vec::new() });
                self.all.len() - 1
            }
        };
        let series = &mut self.all[index];
        if series.samples.is_empty() {
            self.live.push(index);
        }
        series.samples.push(sample);
    }

    /// Gives how many series have samples.
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Gives the name and the samples of a series, and puts its labels into `labels`.
    pub(super) fn get<'a>(
        &'a self,
        number: usize,
        labels: &mut Vec<(&'a str, &'a str)>,
    ) -> (&'a str, &'a [Sample]) {
        let series = &self.all[self.live[number]];
        let mut parts = Parts(&series.key);
        let name = parts.next().unwrap_or_default();
        labels.clear();
        while let (Some(label), Some(value)) = (parts.next(), parts.next()) {
            labels.push((label, value));
        }
        (name, &series.samples)
    }
}

/// Appends a part of a key: first the name, then label and value by turns, sorted by label.
pub(super) fn push_part(key: &mut Vec<u8>, text: &str) {
    key.extend_from_slice(&(text.len() as u32).to_le_bytes());
    key.extend_from_slice(text.as_bytes());
}

/// Reads the parts of a key.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (len, rest) = self.0.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_series_stand_together_and_series_are_kept() {
        let mut set = SeriesSet::default();
        let key = |parts: &[&str]| {
            let mut key = Vec::new();
            parts.iter().for_each(|part| push_part(&mut key, part));
            key
        };
        let (a, b) = (key(&["m", "l", "1"]), key(&["m", "l", "", "k", "é"]));
        let sample = |millis| Sample { millis, value: 0.5 };
        let mut labels = Vec::new();
        for _ in 0..2 {
            labels.clear();
            let mut set_labels = Vec::new();
            set.clear();
            set.push(&a, sample(1));
            set.push(&b, sample(2));
            set.push(&a, sample(3));
            assert_eq!((set.len(), set.all.len()), (2, 2));
            let (name, samples) = set.get(0, &mut set_labels);
            assert_eq!((name, samples), ("m", &[sample(1), sample(3)][..]));
            assert_eq!(set_labels, [("l", "1")]);
            set.get(1, &mut set_labels);
            labels.extend(set_labels.iter().map(|(k, v)| format!("{k}={v}")));
            assert_eq!(labels, ["l=", "k=é"]);
        }
    }
}
