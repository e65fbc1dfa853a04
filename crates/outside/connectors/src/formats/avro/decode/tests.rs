#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;

use apache_avro::types::Value as Datum;
use apache_avro::{Days, Decimal, Duration, Millis, Months, Schema as Oracle};
use levada_model::RecordBatch;
use levada_testkit::seeded::Random;
use serde_json::{Value, json};

use super::*;

const TEXT_MAX: usize = 1 << 20;

fn decoded(schema: &str, bytes: &[u8]) -> Result<String, String> {
    let schema = Schema::parse(schema).unwrap();
    let mut out = b"before".to_vec();
    let result = decode(&schema, bytes, TEXT_MAX, &mut out);
    let text = out.strip_prefix(b"before").unwrap();
    match result {
        Ok(()) => Ok(String::from_utf8(text.to_vec()).unwrap()),
        Err(fault) => {
            assert!(text.is_empty(), "a record that fails leaves nothing");
            Err(fault.to_string())
        }
    }
}

#[track_caller]
fn check(schema: Value, bytes: &[u8], expected: &str) {
    assert_eq!(decoded(&schema.to_string(), bytes).as_deref(), Ok(expected));
}

#[track_caller]
fn check_fault(schema: Value, bytes: &[u8], expected: &str) {
    assert_eq!(decoded(&schema.to_string(), bytes).unwrap_err(), expected);
}

fn record(fields: Value) -> Value {
    json!({"type": "record", "name": "r", "fields": fields})
}

#[test]
fn integers_are_exact() {
    let max = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let min = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    check(json!("long"), &max, "9223372036854775807");
    check(json!("long"), &min, "-9223372036854775808");
    check(json!("int"), &[0xff, 0xff, 0xff, 0xff, 0x0f], "-2147483648");
    check_fault(json!("int"), &max, "9223372036854775807 is no 32-bit integer (at byte 10)");
    check_fault(json!("long"), &[0xff; 11], "a number is longer than 64 bits (at byte 10)");
    check_fault(json!("long"), &[0x80], "the record ends inside a number (at byte 1)");
    check_fault(json!("long"), &[], "the record ends inside a number (at byte 0)");
}

#[test]
fn unions_are_plain_and_records_keep_their_order() {
    let schema = record(json!([
        {"name": "z \"q\"", "type": ["null", "string"]},
        {"name": "a", "type": {"type": "array", "items": "int"}},
        {"name": "m", "type": {"type": "map", "values": {"type": "enum", "name": "e", "symbols": ["A", "B"]}}},
        {"name": "none", "type": {"type": "record", "name": "n", "fields": []}},
    ]));
    let bytes = [2, 4, b'h', b'"', 3, 4, 2, 4, 2, 6, 0, 2, 2, b'k', 2, 0];
    check(schema.clone(), &bytes, r#"{"z \"q\"":"h\"","a":[1,2,3],"m":{"k":"B"},"none":{}}"#);
    check(schema.clone(), &[0, 0, 0], r#"{"z \"q\"":null,"a":[],"m":{},"none":{}}"#);
    check_fault(
        schema.clone(),
        &[0, 4, 2],
        "field `a[1]`: the record ends inside a number (at byte 3)",
    );
    check_fault(
        schema.clone(),
        &[0, 0, 2, 2, b'k', 4],
        "field `m.{}`: symbol 2 of an enum of 2 symbols (at byte 6)",
    );
    check_fault(
        schema.clone(),
        &[4],
        "field `z \"q\"`: branch 2 of a union of 2 types (at byte 1)",
    );
    check_fault(
        schema.clone(),
        &[0, 0, 0, 7],
        "1 bytes are left over: another schema wrote the record (at byte 3)",
    );
    check_fault(
        schema.clone(),
        &[2, 2, 0xff],
        "field `z \"q\"`: a string is not UTF-8 from its byte 0 on (at byte 3)",
    );
    check_fault(
        schema,
        &[0, 1, 200, 1],
        "field `a`: a block of 100 bytes where 0 are left (at byte 4)",
    );
}

#[test]
fn lengths_are_checked_before_anything_is_read() {
    // i64::MAX and its negative.
    let max = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for kind in ["bytes", "string"] {
        for length in [&max[..], &[1], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]] {
            let fault = decoded(&json!(kind).to_string(), length).unwrap_err();
            assert!(fault.starts_with("a length of "), "{fault}");
        }
    }
    let fixed = json!({"type": "fixed", "name": "f", "size": u64::MAX});
    check_fault(
        fixed,
        &[1],
        "18446744073709551615 bytes are expected where 1 are left (at byte 0)",
    );
    // Elements without a byte: only the text bounds them.
    let fault = decoded(r#"{"type":"array","items":"null"}"#, &max).unwrap_err();
    assert!(fault.contains("the record becomes too long as JSON"), "{fault}");
}

#[test]
fn nesting_is_bounded() {
    let endless = record(json!([{"name": "self", "type": "r"}]));
    let fault = decoded(&endless.to_string(), &[]).unwrap_err();
    assert!(fault.contains("nesting is deeper than 512 levels"), "{fault}");
    let list = record(json!([{"name": "next", "type": ["null", "r"]}]));
    let mut bytes = vec![2; MAX_DEPTH - 1];
    bytes.push(0);
    let text = decoded(&list.to_string(), &bytes).unwrap();
    let mut batch = RecordBatch::new();
    batch.push(text.as_bytes(), 0, 0);
    assert!(batch.document(0).is_some(), "what is decoded can be parsed");
    bytes.insert(0, 2);
    assert!(decoded(&list.to_string(), &bytes).is_err());
}

#[test]
fn bytes_and_logical_types_have_their_texts() {
    check(json!("bytes"), &[6, 0xfb, 0xff, 0], "\"+/8A\"");
    check(json!({"type": "fixed", "name": "f", "size": 2}), &[1, 2], "\"AQI=\"");
    check(json!({"type": "fixed", "name": "f", "size": 0}), &[], "\"\"");
    let uuid = json!({"type": "fixed", "name": "u", "size": 16, "logicalType": "uuid"});
    let bytes: Vec<u8> = (0..16).collect();
    check(uuid, &bytes, "\"00010203-0405-0607-0809-0a0b0c0d0e0f\"");
    let money = json!({"type": "bytes", "logicalType": "decimal", "precision": 40, "scale": 2});
    check(money, &[4, 0x04, 0xd2], "12.34");
    // 123.45 as Java writes it: the integer 12345, then the scale 2.
    let big = json!({"type": "bytes", "logicalType": "big-decimal"});
    check(big.clone(), &[8, 4, 0x30, 0x39, 4], "123.45");
    check_fault(
        big.clone(),
        &[8, 4, 0x30, 0x39, 4, 4],
        "1 bytes are left over: another schema wrote the record (at byte 5)",
    );
    check_fault(
        big,
        &[6, 4, 0x30, 0x39, 4],
        "a big-decimal is longer or shorter than it says (at byte 5)",
    );
    let time = json!({"type": "int", "logicalType": "time-millis"});
    check_fault(time, &[1], "-1 is no time of a day (at byte 1)");
    check_fault(json!("boolean"), &[2], "2 is no boolean (at byte 1)");
}

// === against the oracle ===

/// Makes a random schema; named types get numbers.
fn random_schema(random: &mut Random, depth: u64, names: &mut Vec<String>) -> Value {
    let leaf = |kind: &str, logical: &str| json!({"type": kind, "logicalType": logical});
    let choice = if depth == 0 { random.below(20) } else { random.below(26) };
    match choice {
        0 => json!("null"),
        1 => json!("boolean"),
        2 => json!("int"),
        3 => json!("long"),
        4 => json!("float"),
        5 => json!("double"),
        6 => json!("bytes"),
        7 => json!("string"),
        8 => leaf("int", "date"),
        9 => leaf("int", "time-millis"),
        10 => leaf("long", "time-micros"),
        11 => leaf("long", "timestamp-millis"),
        12 => leaf("long", "timestamp-micros"),
        13 => leaf("long", "timestamp-nanos"),
        14 => leaf(
            "long",
            ["local-timestamp-millis", "local-timestamp-micros"][random.below(2) as usize],
        ),
        15 => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": random.below(20)})
        }
        16 => leaf("string", "uuid"),
        17..=19 => {
            let name = format!("ns{}.t{}", random.below(3), random.draw());
            match choice {
                17 => {
                    names.push(name.clone());
                    json!({"type": "enum", "name": name, "symbols": ["A", "B_1", "c"]})
                }
                18 => {
                    json!({"type": "fixed", "name": format!("{name}f{}", random.draw()), "size": random.below(5)})
                }
                _ => {
                    json!({"type": "fixed", "name": format!("{name}d{}", random.draw()), "size": 12, "logicalType": "duration"})
                }
            }
        }
        20 => json!({"type": "array", "items": random_schema(random, depth - 1, names)}),
        21 => json!({"type": "map", "values": random_schema(random, depth - 1, names)}),
        22 => {
            let other = match random_schema(random, 0, names) {
                null if null == json!("null") => json!("string"),
                other => other,
            };
            if random.below(2) == 0 { json!(["null", other]) } else { json!([other, "null"]) }
        }
        23 if !names.is_empty() => json!(names[random.below(names.len() as u64) as usize]),
        _ => {
            let name = format!("ns{}.t{}", random.below(3), random.draw());
            let mut fields: Vec<Value> = (0..random.below(5))
                .map(|number| {
                    let kind = random_schema(random, depth - 1, names);
                    json!({"name": format!("f{number}"), "type": kind})
                })
                .collect();
            if random.below(3) == 0 {
                fields.push(json!({"name": "again", "type": ["null", name]}));
            }
            // Known from here on: a record that holds itself without a choice has no values.
            names.push(name.clone());
            json!({"type": "record", "name": name, "fields": fields})
        }
    }
}

/// Collects the definitions of names.
fn definitions<'s>(schema: &'s Oracle, names: &mut HashMap<String, &'s Oracle>) {
    match schema {
        Oracle::Record(record) => {
            names.insert(record.name.fullname(None), schema);
            record.fields.iter().for_each(|field| definitions(&field.schema, names));
        }
        Oracle::Enum(inner) => {
            names.insert(inner.name.fullname(None), schema);
        }
        Oracle::Array(array) => definitions(&array.items, names),
        Oracle::Map(map) => definitions(&map.types, names),
        Oracle::Union(union) => union.variants().iter().for_each(|one| definitions(one, names)),
        _ => {}
    }
}

fn random_text(random: &mut Random) -> String {
    (0..random.below(6))
        .map(|_| char::from_u32(random.below(0x3000) as u32).unwrap_or('\u{1f600}'))
        .collect()
}

/// Makes a value and the JSON that must come out, by other means than the decoder's.
fn random_value(
    random: &mut Random,
    schema: &Oracle,
    names: &HashMap<String, &Oracle>,
    depth: u64,
) -> (Datum, Value) {
    let number = |text: String| -> Value { serde_json::from_str(&text).unwrap() };
    let seconds = |random: &mut Random| (random.below(200_000_000_000) as i64) - 50_000_000_000;
    let time = |nanos: i128| jiff::Timestamp::from_nanosecond(nanos).unwrap();
    match schema {
        Oracle::Null => (Datum::Null, Value::Null),
        Oracle::Boolean => {
            let value = random.below(2) == 0;
            (Datum::Boolean(value), json!(value))
        }
        Oracle::Int => {
            let value = random.draw() as i32 >> random.below(32);
            (Datum::Int(value), json!(value))
        }
        Oracle::Long => {
            let value = random.draw() as i64 >> random.below(64);
            (Datum::Long(value), json!(value))
        }
        Oracle::Float => {
            let value = f32::from_bits(random.draw() as u32);
            let value = if value.is_finite() { value } else { 1.5 };
            // Compared as a number: the shortest text must read back the same.
            (Datum::Float(value), json!({"f32": value.to_bits()}))
        }
        Oracle::Double => {
            let value = f64::from_bits(random.draw());
            let value = if value.is_finite() { value } else { 1.5 };
            (Datum::Double(value), json!({"f64": value.to_bits()}))
        }
        Oracle::Bytes => {
            let value: Vec<u8> = (0..random.below(9)).map(|_| random.draw() as u8).collect();
            let text = STANDARD.encode(&value);
            (Datum::Bytes(value), json!(text))
        }
        Oracle::String => {
            let value = random_text(random);
            (Datum::String(value.clone()), json!(value))
        }
        Oracle::Fixed(fixed) => {
            let value: Vec<u8> = (0..fixed.size).map(|_| random.draw() as u8).collect();
            let text = STANDARD.encode(&value);
            (Datum::Fixed(fixed.size, value), json!(text))
        }
        Oracle::Enum(inner) => {
            let index = random.below(inner.symbols.len() as u64) as usize;
            let symbol = inner.symbols[index].clone();
            (Datum::Enum(index as u32, symbol.clone()), json!(symbol))
        }
        Oracle::Uuid => {
            let text = format!(
                "{:08x}-0000-4000-8000-{:012x}",
                random.draw() as u32,
                random.draw() as u32
            );
            (Datum::Uuid(text.parse().unwrap()), json!(text))
        }
        Oracle::Date => {
            let days = random.below(80_000) as i32 - 30_000;
            let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(days);
            (Datum::Date(days), json!(date.to_string()))
        }
        Oracle::TimeMillis | Oracle::TimeMicros => {
            let micros = random.below(86_400_000) as i64 * 1000;
            let clock = jiff::civil::Time::midnight() + jiff::Span::new().microseconds(micros);
            let datum = match schema {
                Oracle::TimeMillis => Datum::TimeMillis((micros / 1000) as i32),
                _ => Datum::TimeMicros(micros),
            };
            (datum, json!(clock.to_string()))
        }
        Oracle::TimestampMillis => {
            let value = seconds(random);
            (Datum::TimestampMillis(value), json!(time(i128::from(value) * 1_000_000).to_string()))
        }
        Oracle::TimestampMicros => {
            let value = seconds(random);
            (Datum::TimestampMicros(value), json!(time(i128::from(value) * 1000).to_string()))
        }
        Oracle::TimestampNanos => {
            let value = seconds(random);
            (Datum::TimestampNanos(value), json!(time(value.into()).to_string()))
        }
        Oracle::LocalTimestampMillis | Oracle::LocalTimestampMicros => {
            let value = seconds(random);
            let (datum, nanos) = match schema {
                Oracle::LocalTimestampMillis => (Datum::LocalTimestampMillis(value), 1_000_000),
                _ => (Datum::LocalTimestampMicros(value), 1000),
            };
            let civil =
                time(i128::from(value) * nanos).to_zoned(jiff::tz::TimeZone::UTC).datetime();
            (datum, json!(civil.to_string()))
        }
        Oracle::Decimal(decimal) => {
            let value = (i128::from(random.draw() as i64) * i128::from(random.draw() as i64))
                >> random.below(120);
            let digits = format!("{:0>width$}", value.unsigned_abs(), width = decimal.scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - decimal.scale);
            let sign = if value < 0 { "-" } else { "" };
            let dot = if decimal.scale > 0 { "." } else { "" };
            let datum = Datum::Decimal(Decimal::from(value.to_be_bytes()));
            (datum, number(format!("{sign}{whole}{dot}{fraction}")))
        }
        Oracle::Duration => {
            let (months, days) = (random.below(100) as u32 + 1, random.below(100) as u32 + 1);
            let duration = Duration::new(Months::new(months), Days::new(days), Millis::new(1250));
            (Datum::Duration(duration), json!(format!("P{months}M{days}DT1.25S")))
        }
        Oracle::Array(array) => {
            let count = random.below(4);
            let (items, texts) = (0..count)
                .map(|_| random_value(random, &array.items, names, depth.saturating_sub(1)))
                .unzip::<_, _, Vec<_>, Vec<_>>();
            (Datum::Array(items), json!(texts))
        }
        Oracle::Map(map) => {
            let mut items = HashMap::new();
            let mut texts = serde_json::Map::new();
            for number in 0..random.below(4) {
                let key = format!("{number}{}", random_text(random));
                let (item, text) = random_value(random, &map.types, names, depth.saturating_sub(1));
                items.insert(key.clone(), item);
                texts.insert(key, text);
            }
            (Datum::Map(items), Value::Object(texts))
        }
        Oracle::Union(union) => {
            let mut index = random.below(2) as usize;
            if depth == 0 {
                index =
                    union.variants().iter().position(|one| matches!(one, Oracle::Null)).unwrap();
            }
            let branch = &union.variants()[index];
            let (item, text) = random_value(random, branch, names, depth.saturating_sub(1));
            (Datum::Union(index as u32, Box::new(item)), text)
        }
        Oracle::Record(record) => {
            let mut items = Vec::new();
            let mut texts = serde_json::Map::new();
            for field in &record.fields {
                let (item, text) =
                    random_value(random, &field.schema, names, depth.saturating_sub(1));
                items.push((field.name.clone(), item));
                texts.insert(field.name.clone(), text);
            }
            (Datum::Record(items), Value::Object(texts))
        }
        Oracle::Ref { name } => random_value(random, names[&name.fullname(None)], names, depth),
        other => panic!("{other:?} is not generated"),
    }
}

/// Compares, floats by their bits and everything else by its text.
fn same(got: &Value, expected: &Value) -> bool {
    match (got, expected) {
        (Value::Number(number), Value::Object(bits)) if bits.contains_key("f64") => {
            number.to_string().parse::<f64>().unwrap().to_bits() == bits["f64"].as_u64().unwrap()
        }
        (Value::Number(number), Value::Object(bits)) if bits.contains_key("f32") => {
            let bits = bits["f32"].as_u64().unwrap();
            u64::from(number.to_string().parse::<f32>().unwrap().to_bits()) == bits
        }
        (Value::Array(got), Value::Array(expected)) => {
            got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| same(a, b))
        }
        (Value::Object(got), Value::Object(expected)) => {
            got.len() == expected.len()
                && expected.iter().all(|(key, b)| got.get(key).is_some_and(|a| same(a, b)))
        }
        (Value::Number(got), Value::Number(expected)) => got.to_string() == expected.to_string(),
        _ => got == expected,
    }
}

/// Gives a random schema, a value of it in binary form, and the JSON that must come out.
fn random_case(random: &mut Random) -> Option<(String, Vec<u8>, Value)> {
    let schema = random_schema(random, 4, &mut Vec::new()).to_string();
    let oracle = Oracle::parse_str(&schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
    let mut names = HashMap::new();
    definitions(&oracle, &mut names);
    let (value, expected) = random_value(random, &oracle, &names, 6);
    let bytes = apache_avro::to_avro_datum(&oracle, value);
    Some((schema, bytes.ok()?, expected))
}

#[test]
fn what_the_oracle_encodes_is_decoded() {
    let mut random = Random::new(51);
    let mut done = 0;
    for _ in 0..4000 {
        let Some((schema, bytes, expected)) = random_case(&mut random) else { continue };
        let text = decoded(&schema, &bytes).unwrap_or_else(|error| panic!("{schema}: {error}"));
        let got: Value = serde_json::from_str(&text).unwrap();
        assert!(same(&got, &expected), "{schema}\n{bytes:?}\n{text}\n{expected}");
        done += 1;
    }
    assert!(done > 3500, "the oracle encodes only {done}");
}

#[test]
fn bytes_of_any_kind_neither_panic_nor_grow() {
    let mut random = Random::new(52);
    for _ in 0..2000 {
        let Some((schema, bytes, _)) = random_case(&mut random) else { continue };
        let compiled = Schema::parse(&schema).unwrap();
        for _ in 0..10 {
            let mut broken = bytes.clone();
            match random.below(3) {
                0 => broken.truncate(random.below(broken.len() as u64 + 1) as usize),
                1 if !broken.is_empty() => {
                    let at = random.below(broken.len() as u64) as usize;
                    broken[at] = random.draw() as u8;
                }
                _ => broken = (0..random.below(40)).map(|_| random.draw() as u8).collect(),
            }
            let mut out = Vec::new();
            if decode(&compiled, &broken, 4096, &mut out).is_ok() {
                let mut batch = RecordBatch::new();
                batch.push(&out, 0, 0);
                assert!(batch.document(0).is_some(), "{}", String::from_utf8_lossy(&out));
                assert!(out.len() <= 4096);
            } else {
                assert!(out.is_empty());
            }
            assert!(out.capacity() < 32 << 10, "{} bytes", out.capacity());
        }
    }
}

#[test]
fn random_texts_are_schemas_or_errors() {
    let mut random = Random::new(53);
    for _ in 0..1000 {
        let mut text = random_schema(&mut random, 4, &mut Vec::new()).to_string().into_bytes();
        for _ in 0..3 {
            let at = random.below(text.len() as u64) as usize;
            text[at] = b"{}[]\",:a0 "[random.below(10) as usize];
        }
        if let Ok(schema) = Schema::parse(&String::from_utf8_lossy(&text)) {
            let _fits = decode(&schema, &[0; 30], 4096, &mut Vec::new()).is_ok();
        }
    }
}
