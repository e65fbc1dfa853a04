use levada_codec::compression::{Compression, compress_all, decompress_all};
use levada_codec::points::{Entry, Point, Value, protobuf};
use proptest::prelude::*;

use super::*;
use crate::rules::{DestinationId, GlobalTags, RulesSpec, SinkMode, SinkerSpec, Target};
use crate::wal::Record;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);
const PLAIN: Form = Form {
    encoding: Encoding::LineProtocol,
    compression: Compression::None,
    has_global_tags: true,
};
const GZIP: Form = Form { compression: Compression::Gzip, ..PLAIN };
const VERSION_2: Form = Form { encoding: Encoding::Protobuf, ..PLAIN };

fn to_default() -> RulesSpec {
    RulesSpec { default: Some(Target::Each(vec![0])), ..RulesSpec::default() }
}

fn sinker(filter: &str, id: DestinationId) -> SinkerSpec {
    SinkerSpec {
        name: filter.into(),
        categories: vec![Category::Logging, Category::Network],
        filters: vec![filter.into()],
        target: Target::Each(vec![id]),
    }
}

fn run_with(
    write: &Write,
    spec: RulesSpec,
    forms: &[Form],
    bounds: Bounds,
) -> Result<(Vec<Outgoing>, Written), WriteError> {
    let rules = RuleSet::new(spec, forms.len()).unwrap();
    let (buckets, written) = prepare(write, &rules, &bounds, &mut Workspace::default())?;
    let outgoing = Encoder::new(bounds, 7).encode(&buckets, write, forms)?;
    Ok((outgoing, written))
}

fn run(
    write: &Write,
    spec: RulesSpec,
    forms: &[Form],
) -> Result<(Vec<Outgoing>, Written), WriteError> {
    run_with(write, spec, forms, Bounds::default())
}

fn text_of(record: &Record) -> String {
    let body = decompress_all(record.compression, &record.body, 1 << 30).unwrap();
    String::from_utf8(body).unwrap()
}

/// Everything that goes to a destination, as text.
fn sent(outgoing: &[Outgoing], destination: DestinationId) -> String {
    let of = outgoing.iter().filter(|one| one.destination == destination);
    of.map(|one| text_of(&one.record)).collect()
}

fn network(body: &str) -> Write {
    Write::lines(Category::Network, body.to_owned(), NOW)
}

#[test]
fn a_body_that_needs_no_change_is_not_copied() {
    let write = network("m,t=a f=1i 1700000000000000001\nm,t=b f=2i 1700000000000000002\n");
    let (outgoing, written) = run(&write, to_default(), &[PLAIN]).unwrap();
    assert_eq!(outgoing.len(), 1);
    assert_eq!(outgoing[0].record.body.as_ptr(), write.body.as_ptr());
    assert_eq!(outgoing[0].record.body, write.body);
    assert_eq!((outgoing[0].record.points, written.routed, written.copies), (2, 2, 2));
    assert!(outgoing[0].record.attributes.get(PACKAGE_ID).unwrap().starts_with("dk_"));
    assert_eq!(outgoing[0].record.attributes.get(GLOBAL_TAGS), None);
}

#[test]
fn a_body_that_came_compressed_goes_as_it_came() {
    let lines = "m,t=a f=1i 1700000000000000001\n".repeat(1_000);
    let body: Bytes = compress_all(Compression::Gzip, lines.as_bytes()).unwrap().into();
    let write = Write { coding: Coding::Gzip, body: body.clone(), ..network("") };
    let (outgoing, _) = run(&write, to_default(), &[GZIP]).unwrap();
    assert_eq!(outgoing[0].record.body.as_ptr(), body.as_ptr());
    assert_eq!(outgoing[0].record.compression, Compression::Gzip);
    assert_eq!(outgoing[0].record.raw_bytes as usize, lines.len());
    assert_eq!(text_of(&outgoing[0].record), lines);
    // Not when something is added, taken away, or sent elsewhere.
    for (spec, extra) in [
        (to_default(), "m f=1i"),
        (
            RulesSpec {
                drop_filters: vec![(Category::Network, vec!["{ t = 'b' }".into()])],
                ..to_default()
            },
            "m,t=b f=1i 1700000000000000001",
        ),
        (
            RulesSpec { sinkers: vec![sinker("{ t = 'b' }", 1)], ..to_default() },
            "m,t=b f=1i 1700000000000000001",
        ),
    ] {
        let lines = format!("{lines}{extra}");
        let body: Bytes = compress_all(Compression::Gzip, lines.as_bytes()).unwrap().into();
        let write = Write { coding: Coding::Gzip, body: body.clone(), ..network("") };
        let (outgoing, _) = run(&write, spec, &[GZIP, GZIP]).unwrap();
        assert_ne!(outgoing[0].record.body, body);
        assert_eq!(sent(&outgoing, 0).lines().filter(|line| line.contains("t=a")).count(), 1_000);
    }
}

#[test]
fn lines_are_written_anew_only_where_they_must() {
    for (category, body, unit, expected) in [
        (Category::Network, "m f=1i", Unit::Dynamic, "m f=1i 1700000000000000000\n"),
        (Category::Network, "m f=1i -1\n", Unit::Dynamic, "m f=1i 1700000000000000000\n"),
        (Category::Network, "m f=1i 1716544492", Unit::Dynamic, "m f=1i 1716544492000000000\n"),
        (
            Category::Network,
            "m f=1i 1716544492000000000 \r\nn f=1 1716544492000000000",
            Unit::Dynamic,
            "m f=1i 1716544492000000000\nn f=1 1716544492000000000",
        ),
        (
            Category::Network,
            "# c\n\nm f=1i 1716544492000000000\n\nn f=1i 1716544492000000000\n",
            Unit::Dynamic,
            "m f=1i 1716544492000000000\nn f=1i 1716544492000000000\n",
        ),
        (
            Category::Logging,
            "m f=1i 1716544492000000000",
            Unit::Dynamic,
            "m f=1i,status=\"info\" 1716544492000000000\n",
        ),
        (
            Category::Logging,
            "m,a.b=x,status=ok f=1i 1716544492000000000",
            Unit::Dynamic,
            "m,a_b=x,status=ok f=1i 1716544492000000000\n",
        ),
        (
            Category::Metric,
            "m f=1i,s=\"x\" 1716544492000000000\nm s=\"x\" 1716544492000000000\n",
            Unit::Dynamic,
            "m f=1i 1716544492000000000\n",
        ),
        (
            Category::Metric,
            "m,x=1 x=2i 1716544492000000000\nm f=1 1716544492000000000",
            Unit::Dynamic,
            "m f=1 1716544492000000000",
        ),
    ] {
        let write = Write { unit, ..Write::lines(category, body, NOW) };
        let (outgoing, _) = run(&write, to_default(), &[PLAIN]).unwrap();
        assert_eq!(sent(&outgoing, 0), expected, "{body}");
    }
}

#[test]
fn every_point_goes_to_one_side() {
    // Source: dataway reference §1.3, T1, T2, T5.
    let body = "x fa=\"a\",status=\"\" 1700000000000000001\nx fb=\"b\",status=\"\" 1700000000000000002\nx f=1i,status=\"\" 1700000000000000003\n";
    let lines: Vec<String> = body.lines().map(|line| format!("{line}\n")).collect();
    let sinkers = vec![sinker("{ fa = 'a' }", 1), sinker("{ fb = 'b' }", 2)];
    for (mode, expected) in [
        (SinkMode::All, [lines[2].clone(), lines[0].clone(), lines[1].clone()]),
        (
            SinkMode::Compat16,
            [
                [&*lines[0], &*lines[1], &*lines[2], &*lines[2]].concat(),
                lines[0].clone(),
                lines[1].clone(),
            ],
        ),
    ] {
        let spec = RulesSpec { sink_mode: mode, sinkers: sinkers.clone(), ..to_default() };
        let write = Write::lines(Category::Logging, body, NOW);
        let (outgoing, written) = run(&write, spec, &[PLAIN, GZIP, PLAIN]).unwrap();
        for (id, expected) in (0..).zip(expected) {
            assert_eq!(sent(&outgoing, id), expected, "{mode:?} {id}");
        }
        assert_eq!(written.points, 3);
    }
}

#[test]
fn counts_of_a_body_add_up() {
    let spec = RulesSpec {
        drop_filters: vec![(Category::Network, vec!["{ t = 'drop' }".into()])],
        sinkers: vec![sinker("{ t = 'sink' }", 0)],
        default: None,
        ..RulesSpec::default()
    };
    let write = network(
        "m,t=drop f=1i 1700000000000000001\nm,t=sink f=1i 1700000000000000001\nm,t=other f=1i 1700000000000000001\nm,t=sink f=[] 1700000000000000001\n",
    );
    let (outgoing, written) = run(&write, spec, &[PLAIN]).unwrap();
    let Written { points, filtered, no_field, nowhere, routed, copies, .. } = written;
    assert_eq!([points, filtered, no_field, nowhere, routed, copies], [4, 1, 1, 1, 1, 1]);
    assert_eq!(outgoing.iter().map(|one| one.record.points).sum::<u32>(), 1);
}

#[test]
fn texts_with_escapes_are_filtered_by_what_they_mean() {
    let spec = RulesSpec { sinkers: vec![sinker("{ s = 'a\"b' }", 1)], ..to_default() };
    let line = "m s=\"a\\\"b\",u=1u 1700000000000000001\n";
    let (outgoing, _) = run(&network(line), spec, &[PLAIN, PLAIN]).unwrap();
    assert_eq!(sent(&outgoing, 1), line);
}

#[test]
fn points_are_grouped_by_header() {
    let tags =
        GlobalTags { customer_keys: vec!["ns".into(), "source".into()], ..GlobalTags::default() };
    let spec = RulesSpec { global_tags: Some(tags), ..to_default() };
    let write = network(
        "m,ns=a f=1i 1700000000000000001\nn,ns=b f=1i 1700000000000000002\nm,ns=a f=\"\\\"\" 1700000000000000003\n",
    );
    let (outgoing, _) = run(&write, spec.clone(), &[PLAIN]).unwrap();
    let groups: Vec<(Option<&str>, u32)> = outgoing
        .iter()
        .map(|one| (one.record.attributes.get(GLOBAL_TAGS), one.record.points))
        .collect();
    assert_eq!(groups, [(Some("ns=a,source=m"), 2), (Some("ns=b,source=n"), 1)]);
    // The mere presence of the header changes what servers do.
    let (outgoing, _) = run(&write, spec, &[Form { has_global_tags: false, ..PLAIN }]).unwrap();
    assert!(outgoing.iter().all(|one| one.record.attributes.get(GLOBAL_TAGS).is_none()));
    // An empty header that came with the body is another thing than none.
    let write = Write { global_tags: Some("".into()), storage_index: Some("ix".into()), ..write };
    let (outgoing, _) = run(&write, to_default(), &[PLAIN]).unwrap();
    assert_eq!(outgoing[0].record.attributes.get(GLOBAL_TAGS), Some(""));
    assert_eq!(outgoing[0].record.attributes.get(STORAGE_INDEX), Some("ix"));
}

#[test]
fn a_point_that_is_too_large_takes_nothing_with_it() {
    // Source: B31, B32, T16.
    let large = format!("m f=\"{}\" 1700000000000000002\n", "x".repeat(2_000));
    let body = format!(
        "m f=1i 1700000000000000001\n{large}m f=3i 1700000000000000003\nm f=4i 1700000000000000004\n"
    );
    let bounds = Bounds { record_bytes_max: 1_024, ..Bounds::default() };
    let (outgoing, _) = run_with(&network(&body), to_default(), &[PLAIN], bounds).unwrap();
    let points: Vec<u32> = outgoing.iter().map(|one| one.record.points).collect();
    assert_eq!(points, [1, 1, 2]);
    assert_eq!(sent(&outgoing, 0), body);
    assert_eq!(text_of(&outgoing[1].record), large);
    let ids: std::collections::HashSet<&str> =
        outgoing.iter().filter_map(|one| one.record.attributes.get(PACKAGE_ID)).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_body_is_encoded_once_for_all_that_want_it_so() {
    let write = network(&"m f=1i 1700000000000000001\n".repeat(1_000));
    let spec = RulesSpec { default: Some(Target::Each(vec![0, 1, 2, 3])), ..RulesSpec::default() };
    let (outgoing, written) = run(&write, spec, &[GZIP, GZIP, VERSION_2, PLAIN]).unwrap();
    assert_eq!((outgoing.len(), written.copies), (4, 4_000));
    let body = |at: usize| outgoing[at].record.body.as_ptr();
    assert_eq!(body(0), body(1));
    assert_eq!(outgoing[0].record, outgoing[1].record, "the package id is the same everywhere");
    assert_eq!(body(3), write.body.as_ptr());
    assert_eq!(protobuf::Reader::new(&outgoing[2].record.body, NOW).count(), 1_000);
}

#[test]
fn what_does_not_compress_is_whole() {
    // Source: B33.
    let mut state = 7_u64;
    let noise: String = (0..100_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'#' + (state >> 58) as u8)
        })
        .filter(|c| *c != '\\')
        .collect();
    let body = format!("m f=\"{noise}\" 1700000000000000001\n");
    let (outgoing, _) = run(&network(&body), to_default(), &[GZIP]).unwrap();
    assert_eq!(outgoing[0].record.compression, Compression::Gzip);
    assert_eq!(sent(&outgoing, 0), body);
}

#[test]
fn messages_keep_what_lines_cannot_say() {
    let mut entry = Entry::field("f", Value::Int(1));
    let details =
        levada_codec::points::Details { metric_type: 1, unit: "kb".into(), ..Default::default() };
    entry.details = Some(Box::new(details));
    let point = Point { name: "m".into(), entries: vec![entry], time: NOW, ..Point::default() };
    let mut body = Vec::new();
    protobuf::write_point(&point, &mut body);
    let write = Write { format: Format::Protobuf, body: body.into(), ..network("") };
    let spec = RulesSpec { default: Some(Target::Each(vec![0, 1])), ..RulesSpec::default() };
    let (outgoing, _) = run(&write, spec, &[VERSION_2, PLAIN]).unwrap();
    let back: Vec<_> = protobuf::Reader::new(&outgoing[0].record.body, NOW).collect();
    assert_eq!(back, [Ok(point)]);
    assert_eq!(sent(&outgoing, 1), "m f=1i 1700000000000000000\n");
}

#[test]
fn json_is_taken_and_given() {
    let body = r#"[{"measurement":"m","tags":{"t":"v"},"fields":{"f":1.5},"time":1700000000}]"#;
    let write = Write { format: Format::Json, ..network(body) };
    // Source: B11.
    let simple = Form { encoding: Encoding::Json, ..PLAIN };
    let full = Form { encoding: Encoding::ProtobufJson, ..PLAIN };
    let spec = RulesSpec { default: Some(Target::Each(vec![0, 1, 2])), ..RulesSpec::default() };
    let (outgoing, _) = run(&write, spec, &[simple, full, PLAIN]).unwrap();
    assert_eq!(
        sent(&outgoing, 0),
        r#"[{"measurement":"m","tags":{"t":"v"},"fields":{"f":1.5},"time":1700000000000000000}]"#
    );
    assert_eq!(
        sent(&outgoing, 1),
        r#"[{"name":"m","fields":[{"key":"t","s":"v","is_tag":true},{"key":"f","f":1.5}],"time":"1700000000000000000"}]"#
    );
    assert_eq!(sent(&outgoing, 2), "m,t=v f=1.5 1700000000000000000\n");
}

#[test]
fn remote_write_is_taken() {
    use levada_codec::prometheus::{Sample, append_time_series};
    let mut body = Vec::new();
    let samples = [Sample { millis: 1, value: 2.5 }, Sample { millis: 2, value: f64::NAN }];
    append_time_series("cpu_usage", &[("host", "a")], &samples, &mut body);
    let body = levada_codec::snappy::compress(&body).unwrap().into();
    let write = Write {
        format: Format::RemoteWrite,
        coding: Coding::Snappy,
        body,
        ..Write::lines(Category::Metric, "", NOW)
    };
    let (outgoing, written) = run(&write, to_default(), &[PLAIN]).unwrap();
    assert_eq!(sent(&outgoing, 0), "cpu,host=a usage=2.5 1000000\n");
    assert_eq!((written.points, written.skipped), (1, 1));
    for format in [Format::OtlpMetrics, Format::OtlpLogs, Format::RemoteWrite] {
        let write =
            Write { format, body: "m f=1i".into(), coding: Coding::Identity, ..write.clone() };
        assert_eq!(run(&write, to_default(), &[PLAIN]).unwrap_err().code(), "invalidProtobufPoint");
    }
}

#[test]
fn what_points_share_does_not_make_them_larger_without_bound() {
    use levada_codec::prometheus::{RequestBuilder, Sample, append_time_series};
    let text = "x".repeat(1_000);
    let labels: Vec<(String, &str)> = (0..20).map(|n| (format!("l{n:02}"), &*text)).collect();
    let labels: Vec<(&str, &str)> = labels.iter().map(|(key, text)| (&**key, *text)).collect();
    for (count, is_refused) in [(90_usize, false), (110, true)] {
        let samples = (0..count).map(|n| Sample { millis: n as i64, value: 1.0 });
        let samples: Vec<Sample> = samples.collect();
        let mut first = Vec::new();
        append_time_series("cpu_usage", &labels, &samples, &mut first);
        let mut builder = RequestBuilder::default();
        builder.append("cpu_usage", &labels, &samples);
        for (format, body) in
            [(Format::RemoteWrite, first), (Format::RemoteWriteV2, builder.finish())]
        {
            let body = levada_codec::snappy::compress(&body).unwrap().into();
            let write = Write {
                format,
                coding: Coding::Snappy,
                body,
                ..Write::lines(Category::Metric, "", NOW)
            };
            // About 100 points fit.
            let bounds = Bounds { plain_bytes_max: 2_030_000, ..Bounds::default() };
            let outcome = run_with(&write, to_default(), &[PLAIN], bounds);
            if !is_refused {
                assert_eq!(outcome.unwrap().1.points, count as u64);
                continue;
            }
            let error = outcome.unwrap_err();
            assert_eq!((error.code(), error.kind()), ("bodyTooLarge", ErrorKind::TooLarge));
        }
    }
}

#[test]
fn a_bad_body_is_refused_whole_and_says_why() {
    let gzip = |text: &str| Bytes::from(compress_all(Compression::Gzip, text.as_bytes()).unwrap());
    let bomb = gzip(&" ".repeat(3 << 20));
    let zlib_bomb = deflated(&" ".repeat(3 << 20), true);
    let good = "m f=1i 1\n";
    let base = network(good);
    for (write, code, kind) in [
        (network(""), "emptyBody", ErrorKind::Invalid),
        (network(" \n# c\n"), "noPoints", ErrorKind::Invalid),
        (network("m f=1i 1\nbad\n"), "invalidLinePoint", ErrorKind::Invalid),
        (network("m f=1i 9999999999"), "invalidLinePoint", ErrorKind::Invalid),
        (Write { coding: Coding::Gzip, ..base.clone() }, "decodeBodyFailed", ErrorKind::Invalid),
        (Write { coding: Coding::Zstd, ..base.clone() }, "decodeBodyFailed", ErrorKind::Invalid),
        (Write { coding: Coding::Snappy, ..base.clone() }, "decodeBodyFailed", ErrorKind::Invalid),
        (
            Write { coding: Coding::Gzip, body: bomb, ..base.clone() },
            "decodeBodyFailed",
            ErrorKind::TooLarge,
        ),
        (Write { coding: Coding::Deflate, ..base.clone() }, "decodeBodyFailed", ErrorKind::Invalid),
        (Write { coding: Coding::Brotli, ..base.clone() }, "decodeBodyFailed", ErrorKind::Invalid),
        (
            Write { coding: Coding::Deflate, body: zlib_bomb, ..base.clone() },
            "decodeBodyFailed",
            ErrorKind::TooLarge,
        ),
        (Write { format: Format::Json, ..base.clone() }, "invalidJsonPoint", ErrorKind::Invalid),
        (
            Write { format: Format::Protobuf, ..base.clone() },
            "invalidProtobufPoint",
            ErrorKind::Invalid,
        ),
        (network(&"x".repeat(2_000)), "bodyTooLarge", ErrorKind::TooLarge),
        (
            Write { is_strict: true, ..Write::lines(Category::Logging, good, NOW) },
            "pointGotWarning",
            ErrorKind::Invalid,
        ),
    ] {
        let bounds = Bounds {
            body_bytes_max: if write.coding == Coding::Identity { 1_000 } else { 1 << 20 },
            plain_bytes_max: 2 << 20,
            ..Bounds::default()
        };
        let error = run_with(&write, to_default(), &[PLAIN], bounds).unwrap_err();
        assert_eq!((error.code(), error.kind()), (code, kind), "{error}");
    }
}

#[test]
fn bodies_are_unpacked_whatever_they_are_packed_with() {
    let line = "m f=1i 1700000000000000001\n";
    for (name, body) in [
        ("deflate", deflated(line, true)),
        ("Deflate", deflated(line, false)),
        // One block that is not compressed.
        (" BR", Bytes::from([&b"\x0b\x0d\x80"[..], line.as_bytes(), b"\x03"].concat())),
    ] {
        let coding = Coding::of_name(name).unwrap();
        let write = Write { coding, body: body.clone(), ..network("") };
        let (outgoing, _) = run(&write, to_default(), &[PLAIN]).unwrap();
        assert_eq!(sent(&outgoing, 0), line, "{name}");
        let half = Write { body: body.slice(..body.len() / 2), ..write };
        let error = run(&half, to_default(), &[PLAIN]).unwrap_err();
        assert_eq!((error.code(), error.kind()), ("decodeBodyFailed", ErrorKind::Invalid));
    }
    assert_eq!(Coding::of_name("lzma"), None);
}

fn deflated(text: &str, has_header: bool) -> Bytes {
    use std::io::Write as _;
    let level = flate2::Compression::fast();
    if has_header {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
        encoder.write_all(text.as_bytes()).unwrap();
        return encoder.finish().unwrap().into();
    }
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap().into()
}

#[test]
fn bytes_that_are_no_text_are_replaced_and_that_is_said() {
    let write = Write::lines(Category::Network, &b"m f=\"a\xffb\" 1700000000000000001\n"[..], NOW);
    let (outgoing, written) = run(&write, to_default(), &[PLAIN]).unwrap();
    assert_eq!(sent(&outgoing, 0), "m f=\"a\u{fffd}b\" 1700000000000000001\n");
    let kinds: Vec<&str> = written.warnings.counts().map(|(kind, _)| kind.name()).collect();
    assert_eq!(kinds, ["invalid_utf8_string"]);
}

#[test]
fn records_are_halved_until_one_point_is_left() {
    let encoder = Encoder::new(Bounds::default(), 7);
    let line = |n: usize| format!("m f=\"a\nb\",n={n}i 1700000000000000001\n");
    let body: String = (0..5).map(line).collect();
    for (form, count) in [(PLAIN, 5), (GZIP, 5), (VERSION_2, 5)] {
        let (outgoing, _) = run(&network(&body), to_default(), &[form]).unwrap();
        let record = encoder.pack(outgoing[0].record.clone(), form.compression).unwrap();
        let (mut waiting, mut singles) = (vec![record], Vec::new());
        while let Some(record) = waiting.pop() {
            match encoder.split(&record, NOW).unwrap() {
                Split::Halves(halves) => {
                    assert_eq!(halves.0.points + halves.1.points, record.points);
                    assert_ne!(
                        halves.0.attributes.get(PACKAGE_ID),
                        halves.1.attributes.get(PACKAGE_ID)
                    );
                    waiting.push(encoder.pack(halves.1, form.compression).unwrap());
                    waiting.push(encoder.pack(halves.0, form.compression).unwrap());
                }
                Split::Single => singles.push(record),
            }
        }
        assert_eq!(singles.len(), count);
        if form != VERSION_2 {
            let all: String = singles.iter().map(text_of).collect();
            assert_eq!(all, body);
        }
    }
}

#[test]
fn small_records_join_when_they_are_alike() {
    let encoder = Encoder::new(Bounds::default(), 7);
    let record = |body: &str, tags: Option<&str>| {
        let write = Write { global_tags: tags.map(Into::into), ..network(body) };
        run(&write, to_default(), &[GZIP]).unwrap().0.remove(0).record
    };
    let one = record("m f=1i 1700000000000000001", None);
    let two = record("m f=2i 1700000000000000002\nm f=3i 1700000000000000002\n", None);
    let other = record("m f=2i 1700000000000000002\n", Some(""));
    assert!(can_join(&one, &two) && !can_join(&one, &other));
    let joined = encoder.join(&[one.clone(), two.clone()]).unwrap();
    assert_eq!(joined.points, 3);
    assert_eq!(text_of(&joined).lines().count(), 3);
    // A receiver that knows the id of one of them must not take the other for known.
    let id = |record: &Record| record.attributes.get(PACKAGE_ID).unwrap().to_owned();
    assert!(id(&joined) != id(&one) && id(&joined) != id(&two));
    assert_eq!(encoder.join(&[one.clone(), two.clone()]).unwrap(), joined);
    let three = record("m f=4i 1700000000000000004", None);
    assert_ne!(id(&encoder.join(&[one.clone(), two, three]).unwrap()), id(&joined));
    assert_eq!(encoder.join(std::slice::from_ref(&one)).unwrap(), one);
    let packed = encoder.pack(joined.clone(), Compression::Gzip).unwrap();
    assert!(!can_join(&packed, &one));
    assert_eq!(text_of(&packed), text_of(&joined));
}

#[test]
fn bodies_that_share_memory_one_after_the_other_stay_what_they_were() {
    let spec = RulesSpec { sinkers: vec![sinker("{ t = 't1' }", 1)], ..to_default() };
    let rules = RuleSet::new(spec, 2).unwrap();
    let bounds = Bounds { compress_bytes_min: 2_000, ..Bounds::default() };
    let encoder = Encoder::new(bounds.clone(), 7);
    let mut workspace = Workspace::default();
    let mut all = Vec::new();
    // Larger and smaller ones, split and whole, compressed again, as they came, and not at all.
    for (number, lines) in [400, 3, 90, 0, 1_000, 1].into_iter().enumerate() {
        for tags in [1, 2, 3] {
            let line = |n: usize| {
                format!("m,t=t{} b={number}i,n={n}i 170000000000000000{}\n", n % tags, n % 10)
            };
            let text: String = (0..=lines).map(line).collect();
            let parts = [false, true].map(|is_sunk| -> String {
                let lines = text.split_inclusive('\n');
                lines.filter(|line| line.contains("t=t1 ") == is_sunk).collect()
            });
            let body: bytes::Bytes =
                compress_all(Compression::Gzip, text.as_bytes()).unwrap().into();
            let write =
                Write { coding: Coding::Gzip, ..Write::lines(Category::Network, body, NOW) };
            for forms in [[GZIP, GZIP], [PLAIN, PLAIN], [PLAIN, GZIP]] {
                let (buckets, _) = prepare(&write, &rules, &bounds, &mut workspace).unwrap();
                let outgoing = encoder.encode(&buckets, &write, &forms).unwrap();
                workspace.reclaim(buckets);
                // What is not compressed again stands in the memory of the body.
                let is_free = forms == [GZIP, GZIP] && text.len() > 2 * bounds.compress_bytes_min;
                assert!(!is_free || workspace.unpacked.capacity() >= text.len(), "{lines} {tags}");
                all.push((outgoing, parts.clone()));
            }
        }
    }
    for (outgoing, parts) in all {
        for (id, part) in parts.iter().enumerate() {
            assert_eq!(&sent(&outgoing, id as DestinationId), part);
        }
    }
}

#[test]
fn a_small_part_of_a_large_body_does_not_keep_all_of_it() {
    let mut body = "m,t=t1 n=1i 1700000000000000001\n".to_owned();
    body.push_str(&"m,t=t0 n=1i 1700000000000000001\n".repeat(500));
    let write = network(&body);
    let spec = RulesSpec { sinkers: vec![sinker("{ t = 't1' }", 1)], ..to_default() };
    let (outgoing, _) = run(&write, spec, &[PLAIN, PLAIN]).unwrap();
    let text = write.body.as_ptr_range();
    for one in &outgoing {
        let is_shared = text.contains(&one.record.body.as_ptr());
        assert_eq!(is_shared, one.destination == 0, "{}", one.record.points);
    }
}

proptest! {
    /// Whatever is written, every good point is in exactly one place for each of its destinations.
    #[test]
    fn no_point_is_lost_or_doubled(
        lines in prop::collection::vec((0..4_u8, 0..3_u8, any::<bool>()), 1..60),
        record_bytes_max in 40_usize..400,
        forms in prop::collection::vec(prop::sample::select(vec![PLAIN, GZIP, VERSION_2]), 3),
    ) {
        let mut body = String::new();
        let mut expected: [Vec<usize>; 3] = Default::default();
        for (n, (tag, shape, has_time)) in lines.iter().enumerate() {
            let time = if *has_time { " 1700000000000000001" } else { "" };
            let text = ["", ",s=\"a\\\"b\"", ",s=\"c,\nd\""][usize::from(*shape)];
            body.push_str(&format!("m,t=t{tag} n={n}i{text}{time}\n"));
            match tag {
                0 => {}
                1 => expected[1].push(n),
                2 => { expected[1].push(n); expected[2].push(n); }
                _ => expected[0].push(n),
            }
        }
        let spec = RulesSpec {
            drop_filters: vec![(Category::Network, vec!["{ t = 't0' }".into()])],
            sinkers: vec![sinker("{ t in ['t1', 't2'] }", 1), sinker("{ t = 't2' }", 2)],
            ..to_default()
        };
        let bounds = Bounds { record_bytes_max, compress_bytes_min: 100, ..Bounds::default() };
        let (outgoing, written) = run_with(&network(&body), spec, &forms, bounds).unwrap();
        for (id, expected) in expected.iter().enumerate() {
            let mut found = Vec::new();
            for one in outgoing.iter().filter(|one| usize::from(one.destination) == id) {
                let body = decompress_all(one.record.compression, &one.record.body, 1 << 20).unwrap();
                let before = found.len();
                let number = |point: &Point<'_>| match point.entry("n").map(|entry| &entry.value) {
                    Some(Value::Int(n)) => *n as usize,
                    other => panic!("{other:?}"),
                };
                if one.record.encoding == Encoding::Protobuf {
                    found.extend(protobuf::Reader::new(&body, NOW).map(|point| number(&point.unwrap())));
                } else {
                    let text = String::from_utf8(body).unwrap();
                    let points = levada_codec::points::line::decode(&text, Unit::Dynamic, NOW).unwrap();
                    found.extend(points.iter().map(number));
                }
                prop_assert_eq!(found.len() - before, one.record.points as usize);
            }
            // Those that go elsewhere as well lie in another bucket.
            found.sort_unstable();
            prop_assert_eq!(&found, expected, "{}", id);
        }
        prop_assert_eq!(written.points, written.filtered + written.no_field + written.nowhere + written.routed);
        prop_assert_eq!(written.copies, outgoing.iter().map(|one| u64::from(one.record.points)).sum::<u64>());
    }
}
