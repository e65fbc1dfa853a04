#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn sample(millis: i64, value: f64) -> Sample {
    Sample { millis, value }
}

#[test]
fn series_become_lines() {
    let mut out = Vec::new();
    let samples = [sample(5, 1.0), sample(-6, 1.5e300), sample(7, f64::NAN)];
    append_series_text("a:b", &[("l", "x\"y\\z\n"), ("m", "é")], &samples, &mut out);
    append_series_text("up", &[], &[sample(1, f64::INFINITY)], &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "a:b{l=\"x\\\"y\\\\z\\n\",m=\"é\"} 1 5\n\
         a:b{l=\"x\\\"y\\\\z\\n\",m=\"é\"} 1.5e300 -6\n\
         a:b{l=\"x\\\"y\\\\z\\n\",m=\"é\"} NaN 7\n\
         up +Inf 1\n"
    );
}

#[test]
fn a_message_is_what_protoc_writes() {
    let mut out = Vec::new();
    append_time_series("up", &[("a", "b")], &[sample(1, 1.0), sample(-1, 0.0)], &mut out);
    let expected: &[u8] = &[
        0x0a, 59, // timeseries
        0x0a, 14, 0x0a, 8, b'_', b'_', b'n', b'a', b'm', b'e', b'_', b'_', 0x12, 2, b'u', b'p',
        0x0a, 6, 0x0a, 1, b'a', 0x12, 1, b'b', //
        0x12, 11, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 1, //
        0x12, 20, 0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 1,
    ];
    assert_eq!(out, expected, "{out:02x?}");
}

#[test]
fn names_follow_the_data_model() {
    for (kind, text, expected, was_one) in [
        (NameKind::Metric, "a:b_1", "a:b_1", true),
        (NameKind::Label, "a:b", "a_b", false),
        (NameKind::Metric, "1a.b-c é", "_1a_b_c__", false),
        (NameKind::Label, "", "_", false),
        (NameKind::Label, "__x", "__x", true),
    ] {
        let mut out = String::new();
        assert_eq!(
            (append_name(kind, text, &mut out), out.as_str()),
            (was_one, expected),
            "{text}"
        );
        assert!(kind.fits(expected));
    }
    assert!(is_metric_name("a:b") && !is_label_name("a:b") && !is_metric_name("0"));
}

/// Reads a field: its number, and its content or its 64 bits.
fn field(bytes: &mut &[u8]) -> Option<(u8, u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    }
    if bytes.is_empty() {
        return None;
    }
    let key = varint(bytes);
    let number = (key >> 3) as u8;
    Some(match key & 7 {
        0 => (number, varint(bytes), Vec::new()),
        1 => {
            let word = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            *bytes = &bytes[8..];
            (number, word, Vec::new())
        }
        2 => {
            let len = varint(bytes) as usize;
            let content = bytes[..len].to_vec();
            *bytes = &bytes[len..];
            (number, 0, content)
        }
        _ => panic!("wire type"),
    })
}

type Read = Vec<(Vec<(String, String)>, Vec<(u64, i64)>)>;

fn read(mut bytes: &[u8]) -> Read {
    let mut request = Vec::new();
    while let Some((1, _, series)) = field(&mut bytes) {
        let (mut labels, mut samples, mut series) = (Vec::new(), Vec::new(), &series[..]);
        while let Some((number, _, content)) = field(&mut series) {
            let mut content = &content[..];
            let (first, second) = (field(&mut content).unwrap(), field(&mut content).unwrap());
            assert_eq!((first.0, second.0, content.len()), (1, 2, 0));
            if number == 1 {
                let text = |bytes| String::from_utf8(bytes).unwrap();
                labels.push((text(first.2), text(second.2)));
            } else {
                samples.push((first.1, second.1 as i64));
            }
        }
        request.push((labels, samples));
    }
    request
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        series in proptest::collection::vec((
            "[a-z]{0,200}",
            proptest::collection::btree_map("[A-Za-z_]{1,9}", ".{0,40}", 0..4),
            proptest::collection::vec((any::<i64>(), any::<f64>()), 0..5),
        ), 0..4),
    ) {
        let (mut out, mut expected): (_, Read) = (Vec::new(), Vec::new());
        for (name, labels, samples) in &series {
            let pairs: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (&**k, &**v)).collect();
            let samples: Vec<Sample> = samples.iter().map(|&(t, v)| sample(t, v)).collect();
            append_time_series(name, &pairs, &samples, &mut out);
            let mut all: Vec<(String, String)> = labels.clone().into_iter().collect();
            all.push((NAME_LABEL.to_owned(), name.clone()));
            all.sort();
            expected.push((all, samples.iter().map(|s| (s.value.to_bits(), s.millis)).collect()));
        }
        prop_assert_eq!(read(&out), expected);
    }
}
