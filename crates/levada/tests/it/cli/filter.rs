//! `levada filter`: which points a filter matches, and why.

use serde_json::json;

use super::binary::{Folder, run};

const POINTS: &str = "cpu,host=web-1 load=1.5,status=200i 1\n\
                      # a note\n\
                      cpu,host=db-1 load=3,text=\"two\nlines\" 2\n\
                      mem,host=web-2 used=7u 3\n";

fn matching(args: &[&str], points: &str) -> Vec<bool> {
    let mut all = vec!["filter", "--input", "-", "--output", "json"];
    all.extend(args);
    let ran = run(&all, points.as_bytes(), &[]).ends(0);
    let rows = ran.json();
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row["input"], json!(index + 1));
        assert_eq!(row.as_object().unwrap().len(), 2);
    }
    rows.iter().map(|row| row["match"].as_bool().unwrap()).collect()
}

#[test]
fn every_point_has_a_line_in_file_order() {
    for (condition, expected) in [
        ("{ host match ['^web-'] }", [true, false, true]),
        ("{ load > 1 }", [true, true, false]),
        ("{ load >= 3 }; { used = 7 }", [false, true, true]),
        ("{ text = 'two\\nlines' }", [false, true, false]),
        ("{ nothing = 'x' }", [false, false, false]),
    ] {
        assert_eq!(matching(&[condition], POINTS), expected, "{condition}");
    }
}

#[test]
fn modes_and_categories_decide() {
    let points = "nginx a=1.5 1\nother source=\"own\" 2\n";
    for (condition, args, expected) in [
        ("{ a > 1 }", &[][..], [true, false]),
        ("{ a > 1 }", &["--compat", "strict"], [true, false]),
        ("{ a > 1 }", &["--compat", "head"], [false, false]),
        ("{ a > 1 }", &["--compat", "datakit-1.6"], [false, false]),
        ("{ source = 'nginx' }", &[], [false, false]),
        ("{ source = 'nginx' }", &["--category", "logging"], [true, false]),
        ("{ source = 'own' }", &["--category", "logging"], [false, true]),
        ("{ source = 'other' }", &["--category", "logging", "--compat", "seed"], [false, true]),
        ("{ category = 'tracing' }", &["--category", "tracing"], [true, true]),
    ] {
        let args: Vec<&str> = [condition].iter().chain(args).copied().collect();
        assert_eq!(matching(&args, points), expected, "{args:?}");
    }
    let args = ["filter", "{}", "--compat", "seed", "--category", "llm", "--input", "-"];
    let ran = run(&args, points.as_bytes(), &[]).ends(0);
    assert!(ran.stderr.contains("warning: unsupport category: /v1/write/langfuse-v2"));
    assert!(ran.stderr.contains("0 of 2 points match"));
}

#[test]
fn people_get_a_table_and_reasons() {
    let folder = Folder::new();
    folder.file("points.lp", POINTS);
    let ran = folder.run(&["filter", "{ load > 2 }", "--input", "points.lp"]).ends(0);
    assert_eq!(
        ran.lines(),
        [
            "  INPUT  MATCH  POINT",
            "      1  no     cpu,host=web-1 load=1.5,status=200i 1",
            "      2  yes    cpu,host=db-1 load=3,text=\"two lines\" 2",
            "      3  no     mem,host=web-2 used=7u 3",
        ]
    );
    assert_eq!(ran.stderr, "1 of 3 points match\n");
    let args = ["filter", "{ load > 2, host != 'x' }", "--input", "points.lp", "--explain", "-q"];
    let ran = folder.run(&args).ends(0);
    assert_eq!(
        ran.lines()[1..5],
        [
            "      1  no     cpu,host=web-1 load=1.5,status=200i 1",
            "                no   { load > 2, host != 'x' }",
            "                  no   load > 2     field load is 1.5, a float",
            "                  yes  host != 'x'  tag host is 'web-1'",
        ]
    );
    assert_eq!(ran.stderr, "");
    let args = ["filter", "{ load > 2 }", "--input", "points.lp", "--explain", "--output", "json"];
    let ran = folder.run(&args).ends(0);
    let part =
        json!({"clause": "load > 2", "match": false, "reason": "field load is 1.5, a float"});
    assert_eq!(
        ran.json()[0],
        json!({"input": 1, "match": false,
               "explain": {"clause": "{ load > 2 }", "match": false, "parts": [part]}})
    );
}

#[test]
fn a_refused_filter_ends_with_1_and_every_problem() {
    for (condition, args, expected) in [
        ("{ a == 1 }", &[][..], "1:6 parse error: unexpected: \"=\"\n"),
        (
            "{ ( a = 1 }",
            &[],
            "1:11 parse error: unexpected: \"}\"\n1:12 parse error: unclosed left parenthesis\n",
        ),
        ("", &[], "1:1 parse error: condition empty\n"),
        ("{ a in [1,] }", &["--compat", "head"], "1:11 parse error: unexpected: \"]\"\n"),
    ] {
        // The input is not looked at.
        let mut all = vec!["filter", condition, "--input", "/nowhere"];
        all.extend(args);
        let ran = run(&all, b"", &[]).ends(1);
        assert_eq!((ran.text(), ran.stderr.as_str()), ("", expected), "{condition}");
    }
}

#[test]
fn a_warning_does_not_refuse() {
    let args = ["filter", "{ a match ['(', 'x'] }", "--compat", "head", "--input", "-", "-q"];
    let ran = run(&args, b"m a=\"x\" 1\n", &[]).ends(0);
    assert_eq!(ran.lines()[1], "      1  yes    m a=\"x\" 1");
    let warning = "warning: 1:20 parse error: invalid regex: error parsing regexp: \
                   missing closing ): `(`: (, ignored\n";
    assert_eq!(ran.stderr, warning);
}

#[test]
fn what_is_no_point_is_told_and_ends_with_1() {
    let points = "m a=1 1\nbad\nm a=2 2\n";
    let args = ["filter", "{ a > 1 }", "--input", "-", "--output", "json"];
    let ran = run(&args, points.as_bytes(), &[]).ends(1);
    let expected = [json!({"input": 1, "match": false}), json!({"input": 2, "match": true})];
    assert_eq!(ran.json(), expected);
    assert_eq!(ran.stderr, "<stdin>:2:4: unable to parse 'bad': missing fields\n");
    let ran = run(&["filter", "{}", "--input", "none.lp"], b"", &[]).ends(1);
    let expected = "error: `none.lp` cannot be read: No such file or directory (os error 2)\n";
    assert_eq!((ran.text(), ran.stderr.as_str()), ("", expected));
    run(&["filter", "{}"], b"", &[]).ends(2);
    let ran = run(&["filter", "{}", "--input", "-", "--category", "logs"], b"", &[]).ends(2);
    assert!(ran.stderr.contains("unknown category; known: unknown, metrics, metric, network"));
    let ran = run(&["filter", "{}", "--input", "-", "--compat", "1.6"], b"", &[]).ends(2);
    assert!(ran.stderr.contains("unknown filter compat `1.6`; known: seed, head, strict"));
}

#[test]
fn bytes_and_lists_are_read_as_the_gateway_reads_them() {
    let points = "m a=\"eHk=\"b,l=[1i,2i] 1\nm a=\"xy\" 2\nm,b=t b=\"f\" 3\n";
    for (condition, compat, expected) in [
        ("{ a = 'xy' }", "strict", [true, true, false]),
        ("{ a = 'xy' }", "head", [false, true, false]),
        ("{ l != nil }", "strict", [true, false, false]),
        ("{ b = 'f' }", "seed", [false, false, true]),
        ("{ b = 'f' }", "head", [false, false, false]),
    ] {
        let args = [condition, "--compat", compat];
        assert_eq!(matching(&args, points), expected, "{condition} {compat}");
    }
}

#[test]
fn large_and_compressed_inputs_are_read_piece_by_piece() {
    use std::io::Write as _;
    let text = "x".repeat(3 << 20);
    let mut points = String::new();
    for number in 0..20_000 {
        points.push_str(&format!("cpu,host=web-{number} load={number},text=\"a\nb\" {number}\n"));
    }
    points.push_str(&format!("cpu,host=long text=\"{text}\" 1\ncpu,host=last load=1 1"));
    let matched = matching(&["{ load >= 10000 }; { host = 'last' }"], &points);
    assert_eq!(matched.len(), 20_002);
    let count = matched.iter().filter(|is_match| **is_match).count();
    assert_eq!(count, 10_001);
    let folder = Folder::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(POINTS.as_bytes()).unwrap();
    folder.file("points.lp.gz", encoder.finish().unwrap());
    let ran = folder.run(&["filter", "{}", "--input", "points.lp.gz"]).ends(0);
    assert_eq!(ran.stderr, "3 of 3 points match\n");
}
