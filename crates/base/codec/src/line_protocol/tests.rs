#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn line(
    measurement: &str,
    tags: &[(&str, &str)],
    fields: &[(&str, FieldValue<'_>)],
    time: Option<i64>,
) -> Result<String, String> {
    let mut out = b"before\n".to_vec();
    let result = (|| {
        let mut point = PointWriter::begin(&mut out, measurement)?;
        for (key, value) in tags {
            point.tag(key, value)?;
        }
        for (key, value) in fields {
            point.field(key, *value)?;
        }
        point.finish(time)
    })();
    match result {
        Ok(()) => Ok(String::from_utf8(out.split_off(7)).unwrap()),
        Err(error) => {
            assert_eq!(out, b"before\n", "the line is taken back");
            Err(error.to_string())
        }
    }
}

#[test]
fn points_become_lines() {
    let fields = [
        ("f", FieldValue::Float(1.0)),
        ("g", FieldValue::Float(-1.5e-7)),
        ("i", FieldValue::Int(i64::MIN)),
        ("u", FieldValue::UInt(u64::MAX)),
        ("b", FieldValue::Bool(true)),
        ("c", FieldValue::Bool(false)),
        ("s", FieldValue::Str("a\"b\\c\nd, =")),
    ];
    assert_eq!(
        line("cpu", &[("host", "a"), ("core", "0")], &fields, Some(-5)).unwrap(),
        "cpu,host=a,core=0 f=1.0,g=-1.5e-7,i=-9223372036854775808i,u=18446744073709551615u,\
         b=true,c=false,s=\"a\\\"b\\\\c\nd, =\" -5\n"
    );
    let one = [("v", FieldValue::Int(1))];
    assert_eq!(line("m", &[], &one, None).unwrap(), "m v=1i\n");
    assert_eq!(
        line("a b,c=d\\e", &[("k, =", "v, =")], &one, None).unwrap(),
        "a\\ b\\,c=d\\e,k\\,\\ \\==v\\,\\ \\= v=1i\n"
    );
    assert_eq!(
        line("a=\"b\\=c\\\"", &[("\\\"", "\\\"")], &[("\\\"", FieldValue::Int(1))], None).unwrap(),
        "a=\"b\\\\=c\\\\\",\\\"=\\\" \\\\\"=1i\n"
    );
    assert_eq!(
        line("m", &[], &[("a b=c,d", FieldValue::Bool(true))], None).unwrap(),
        "m a\\ b\\=c\\,d=true\n"
    );
}

#[test]
fn what_no_line_can_carry_is_an_error() {
    let one = [("v", FieldValue::Int(1))];
    for (result, expected) in [
        (line("", &[], &one, None), "measurement is empty"),
        (
            line("#x", &[], &one, None),
            "measurement `#x` begins with `#`, which line protocol cannot carry",
        ),
        (
            line("m\\", &[], &one, None),
            "measurement `m\\` ends in a backslash, which line protocol cannot carry",
        ),
        (
            line("m", &[], &[("a\\=", FieldValue::Int(1))], None),
            "field key `a\\=` holds a backslash before a separator, which line protocol cannot carry",
        ),
        (
            line("m", &[("k", "a\nb")], &one, None),
            "tag value `a b` holds a line end or NUL, which line protocol cannot carry",
        ),
        (
            line("m", &[("k", "C:\\ x")], &one, None),
            "tag value `C:\\ x` holds a backslash before a blank, which line protocol cannot carry",
        ),
        (line("m", &[("k", "")], &one, None), "tag value is empty"),
        (line("m", &[("", "v")], &one, None), "tag key is empty"),
        (
            line("m", &[], &[("v", FieldValue::Float(f64::NAN))], None),
            "field `v` is not a finite number",
        ),
        (line("m", &[("k", "v")], &[], Some(1)), "the point has no field"),
    ] {
        assert_eq!(result, Err(expected.to_owned()));
    }
}

#[test]
fn after_an_error_the_line_goes_on() {
    let mut out = Vec::new();
    let mut point = PointWriter::begin(&mut out, "m").unwrap();
    assert!(point.tag("k", "\\").is_err());
    point.tag("l", "x").unwrap();
    assert!(point.field("v", FieldValue::Float(f64::INFINITY)).is_err());
    point.field("w", FieldValue::Float(0.5)).unwrap();
    point.finish(Some(1)).unwrap();
    assert_eq!(out, b"m,l=x w=0.5 1\n");
}

/// A point as a server reads it.
#[derive(Debug, PartialEq)]
struct Point {
    measurement: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, String)>,
    time: Option<i64>,
}

/// Reads up to one of `ends` that no backslash precedes, and takes the escapes of `escaped` away.
fn scan(text: &[u8], at: &mut usize, ends: &[u8], escaped: &[u8]) -> String {
    let start = *at;
    while *at < text.len() {
        if ends.contains(&text[*at]) && (*at == start || text[*at - 1] != b'\\') {
            break;
        }
        *at += 1;
    }
    let (raw, mut out) = (&text[start..*at], Vec::new());
    let mut from = 0;
    while from < raw.len() {
        if raw[from] == b'\\' && raw.get(from + 1).is_some_and(|next| escaped.contains(next)) {
            from += 1;
        }
        out.push(raw[from]);
        from += 1;
    }
    String::from_utf8(out).unwrap()
}

/// Reads one line by the rules of the server, written apart from the writer.
fn read(line: &str) -> Point {
    let text = line.as_bytes();
    let mut at = 0;
    let measurement = scan(text, &mut at, b", ", b", =\"");
    let (mut tags, mut fields) = (Vec::new(), Vec::new());
    while text[at] == b',' {
        at += 1;
        let key = scan(text, &mut at, b"=", b", =");
        at += 1;
        tags.push((key, scan(text, &mut at, b", ", b", =")));
    }
    assert_eq!(text[at], b' ');
    loop {
        at += 1;
        let key = scan(text, &mut at, b"=", b", =\"");
        at += 1;
        let value = if text[at] == b'"' {
            let mut value = vec![b'"'];
            at += 1;
            while text[at] != b'"' {
                at += usize::from(text[at] == b'\\');
                value.push(text[at]);
                at += 1;
            }
            at += 1;
            String::from_utf8(value).unwrap()
        } else {
            scan(text, &mut at, b", \n", b"")
        };
        fields.push((key, value));
        if text[at] != b',' {
            break;
        }
    }
    let time = (text[at] == b' ').then(|| {
        at += 1;
        scan(text, &mut at, b"\n", b"").parse().unwrap()
    });
    assert_eq!((text[at], at + 1), (b'\n', text.len()));
    Point { measurement, tags, fields, time }
}

fn name() -> impl Strategy<Value = String> {
    "[a-z,= \\\\\"é\t]{0,6}"
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        measurement in name(),
        tags in proptest::collection::vec((name(), name()), 0..4),
        fields in proptest::collection::vec((name(), 0usize..5, name(), any::<f64>(), any::<i64>()), 0..4),
        time: Option<i64>,
    ) {
        let value = |(_, kind, text, float, int): &(String, usize, String, f64, i64)| match kind {
            0 => (format!("{float:?}"), None),
            1 => (format!("{int}i"), None),
            2 => (format!("{}u", *int as u64), None),
            3 => ((*int > 0).to_string(), None),
            _ => (format!("\"{text}"), Some(text.clone())),
        };
        let expected = Point {
            measurement: measurement.clone(),
            tags: tags.clone(),
            fields: fields.iter().map(|field| (field.0.clone(), value(field).0)).collect(),
            time,
        };
        let values: Vec<(&str, FieldValue<'_>)> = fields
            .iter()
            .map(|(key, kind, text, float, int)| (key.as_str(), match kind {
                0 => FieldValue::Float(*float),
                1 => FieldValue::Int(*int),
                2 => FieldValue::UInt(*int as u64),
                3 => FieldValue::Bool(*int > 0),
                _ => FieldValue::Str(text),
            }))
            .collect();
        let pairs: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (&**key, &**value)).collect();
        let bad = |text: &String| text.is_empty() || text.ends_with('\\') || text.contains("\\ ");
        let is_bad_key = |key: &String| ["\\,", "\\ ", "\\="].iter().any(|pair| key.contains(pair)) || key.starts_with('\t');
        let is_bad = bad(&measurement)
            || measurement.starts_with('\t')
            || tags.iter().any(|(key, value)| bad(key) || bad(value))
            || fields.iter().any(|(key, kind, _, float, _)| bad(key) || is_bad_key(key) || *kind == 0 && !float.is_finite())
            || fields.is_empty();
        match line(&measurement, &pairs, &values, time) {
            Err(_) => prop_assert!(is_bad),
            Ok(text) => {
                prop_assert!(!is_bad);
                let mut point = read(&text);
                for ((_, kind, _, float, _), (_, text)) in fields.iter().zip(&mut point.fields) {
                    if *kind == 0 {
                        prop_assert_eq!(text.parse::<f64>().unwrap(), *float);
                        *text = format!("{float:?}");
                    }
                }
                prop_assert_eq!(point, expected);
            }
        }
    }

    #[test]
    fn no_text_breaks_out_of_its_line(
        names in proptest::collection::vec(".{1,8}|[,= \\\\\"#\n\r\0]{1,8}", 4),
        text in "(.|\n){0,8}",
    ) {
        let fields = [(&*names[3], FieldValue::Str(&text)), ("last", FieldValue::Int(1))];
        if let Ok(line) = line(&names[0], &[(&*names[1], &*names[2])], &fields, Some(7)) {
            let point = read(&line);
            prop_assert_eq!(&point.measurement, &names[0]);
            prop_assert_eq!(&point.tags, &vec![(names[1].clone(), names[2].clone())]);
            prop_assert_eq!(&point.fields[0], &(names[3].clone(), format!("\"{text}")));
            prop_assert_eq!(point.time, Some(7));
        }
    }
}

#[test]
fn whole_lines_end_outside_of_texts() {
    for (text, whole) in [
        ("", 0),
        ("m f=1", 0),
        ("m f=1\n", 6),
        ("m f=1\nm f=2", 6),
        ("m f=\"a\nb\"", 0),
        ("m f=\"a\nb\"\n", 10),
        ("m f=1\nm f=\"a\n", 6),
        ("\n\n", 2),
    ] {
        assert_eq!(whole_lines(text.as_bytes()), whole, "{text}");
    }
}
