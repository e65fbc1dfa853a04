#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::points::line::write_point;
use crate::wire::{push_bytes, push_fixed64, push_number};

const NOW: Timestamp = Timestamp(777);

fn message(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn pair(key: &str, value: &[u8]) -> Vec<u8> {
    message(|out| {
        push_bytes(1, key.as_bytes(), out);
        push_bytes(2, value, out);
    })
}

fn text(value: &str) -> Vec<u8> {
    message(|out| push_bytes(1, value.as_bytes(), out))
}

fn within(resource: &[Vec<u8>], items: &[Vec<u8>]) -> Vec<u8> {
    let resource = message(|out| resource.iter().for_each(|pair| push_bytes(1, pair, out)));
    let scope = message(|out| items.iter().for_each(|item| push_bytes(2, item, out)));
    let all = message(|out| {
        push_bytes(1, &resource, out);
        push_bytes(2, &scope, out);
    });
    message(|out| push_bytes(1, &all, out))
}

fn metric(name: &str, kind: u8, points: &[Vec<u8>]) -> Vec<u8> {
    let points = message(|out| points.iter().for_each(|point| push_bytes(1, point, out)));
    message(|out| {
        push_bytes(1, name.as_bytes(), out);
        push_bytes(kind, &points, out);
    })
}

fn lines(points: &[Point<'_>]) -> String {
    let mut out = Vec::new();
    points.iter().for_each(|point| assert!(write_point(point, &mut out)));
    String::from_utf8(out).unwrap()
}

fn metrics_body() -> Vec<u8> {
    let float = message(|out| {
        push_fixed64(3, 5, out);
        push_fixed64(4, 1.5_f64.to_bits(), out);
        push_bytes(7, &pair("host", &text("b")), out);
    });
    let int = message(|out| push_fixed64(6, -3_i64 as u64, out));
    let histogram = message(|out| {
        push_fixed64(3, 6, out);
        push_fixed64(4, 6, out);
        push_fixed64(5, 9.5_f64.to_bits(), out);
        push_bytes(6, &[1_u64, 2, 3].map(u64::to_le_bytes).concat(), out);
        push_bytes(7, &[0.5_f64, 1.0].map(f64::to_le_bytes).concat(), out);
    });
    let quantile = message(|out| {
        push_fixed64(1, 0.99_f64.to_bits(), out);
        push_fixed64(2, 7.0_f64.to_bits(), out);
    });
    let summary = message(|out| {
        push_fixed64(3, 7, out);
        push_fixed64(4, 2, out);
        push_bytes(6, &quantile, out);
    });
    let resource = [pair("host", &text("a")), pair("pid", &message(|out| push_number(3, 7, out)))];
    let items = [
        metric("load", 5, &[float]),
        metric("requests", 7, &[int]),
        metric("took", 9, &[histogram]),
        metric("size", 11, &[summary]),
        metric("other", 10, &[vec![], vec![]]),
    ];
    within(&resource, &items)
}

fn logs_body() -> Vec<u8> {
    let list = message(|out| {
        push_bytes(5, &message(|out| push_bytes(1, &text("x"), out)), out);
    });
    let record = message(|out| {
        push_fixed64(1, 5, out);
        push_number(2, 17, out);
        push_bytes(5, &text("it broke"), out);
        push_bytes(6, &pair("code", &message(|out| push_number(3, 500, out))), out);
        push_bytes(6, &pair("list", &list), out);
        push_bytes(9, &[0xab, 1], out);
    });
    let other = message(|out| {
        push_bytes(3, b"WARN", out);
        push_bytes(5, &text("m"), out);
    });
    within(&[pair("service.name", &text("shop"))], &[record, other])
}

fn read_metrics(body: &[u8]) -> Result<(Vec<Point<'_>>, u64), ProtobufError> {
    let mut points = Vec::new();
    let skipped = metrics(body, NOW, &mut |point| points.push(point))?;
    Ok((points, skipped))
}

fn read_logs(body: &[u8]) -> Result<Vec<Point<'_>>, ProtobufError> {
    let mut points = Vec::new();
    logs(body, NOW, &mut |point| points.push(point))?;
    Ok(points)
}

#[test]
fn metrics_become_points() {
    let body = metrics_body();
    let (points, skipped) = read_metrics(&body).unwrap();
    assert_eq!(
        lines(&points),
        "load,host=b,pid=7 value=1.5 5\n\
         requests,host=a,pid=7 value=-3i 777\n\
         took,host=a,pid=7 bucket_le_0.5=1u,bucket_le_1=3u,bucket_le_inf=6u,count=6u,sum=9.5 6\n\
         size,host=a,pid=7 count=2u,quantile_0.99=7 7\n"
    );
    assert_eq!(skipped, 2);
}

#[test]
fn logs_become_points() {
    let body = logs_body();
    assert_eq!(
        lines(&read_logs(&body).unwrap()),
        "shop,list=[\"x\"],service.name=shop code=500i,message=\"it broke\",status=\"error\",trace_id=\"ab01\" 5\n\
         shop,service.name=shop message=\"m\",status=\"warn\" 777\n"
    );
}

#[test]
fn a_resource_with_many_attributes_is_for_all() {
    let many: Vec<Vec<u8>> = (0..40).map(|n| pair(&format!("r{n}"), &text("x"))).collect();
    for count in [FEW, FEW + 1] {
        let own: Vec<Vec<u8>> = (0..count).map(|n| pair(&format!("r{n}"), &text("y"))).collect();
        let point = message(|out| {
            push_fixed64(6, 1, out);
            own.iter().for_each(|pair| push_bytes(7, pair, out));
        });
        let body = within(&many, &[metric("m", 5, &[point.clone(), point])]);
        let (points, _) = read_metrics(&body).unwrap();
        assert_eq!(points.len(), 2);
        for point in points {
            assert_eq!(point.entries.len(), 41);
            let own = point.entries.iter().filter(|entry| entry.value == Value::Str("y".into()));
            assert_eq!(own.count(), count);
        }
    }
}

#[test]
fn values_that_nest_are_one_text() {
    let mut value = text("a \"b\"");
    for _ in 0..10 {
        value = message(|out| push_bytes(5, &message(|out| push_bytes(1, &value, out)), out));
    }
    let map =
        message(|out| push_bytes(6, &message(|out| push_bytes(1, &pair("k", &value), out)), out));
    let record = message(|out| push_bytes(5, &map, out));
    let body = within(&[], &[record]);
    let points = read_logs(&body).unwrap();
    let message = points[0].entries.iter().find(|entry| entry.key == "message").unwrap();
    let Value::Str(text) = &message.value else { panic!("{points:?}") };
    assert_eq!(text, r#"{"k":[[[[[[[[[["a \"b\""]]]]]]]]]]}"#);
}

#[test]
fn values_do_not_nest_without_end() {
    let mut value = text("x");
    for _ in 0..20 {
        value = message(|out| push_bytes(5, &message(|out| push_bytes(1, &value, out)), out));
    }
    let record = message(|out| push_bytes(5, &value, out));
    let body = within(&[], &[record]);
    assert_eq!(read_logs(&body).unwrap_err(), ProtobufError::Wire(WireError::Depth));
}

proptest! {
    #[test]
    fn no_bytes_panic(byte: u8, cut in 0_usize..1_000) {
        for body in [metrics_body(), logs_body()] {
            let mut body = body;
            let at = cut % body.len();
            body[at] = byte;
            let _metrics = read_metrics(&body).is_ok();
            let _logs = read_logs(&body).is_ok();
            body.truncate(at);
            let _metrics = read_metrics(&body).is_ok();
        }
    }
}
