//! `levada dlq list` on letters written by hand.

use super::binary::{Folder, run};

fn letter(class: &str, stage: &str, flow: &str, message: &str) -> String {
    format!(
        "{{\"error\":{{\"message\":\"{message}\",\"metadata\":{{\"topic\":\"t\"}},\"original_sink\":\"file\",\
         \"timestamp\":\"2026-02-07T10:30:00Z\",\"class\":\"{class}\",\"stage\":\"{stage}\",\"attempts\":1,\
         \"dataflow\":\"{flow}\"}},\"original_message\":{{\"id\":12345678901234567890, \"b\":1.00}}}}"
    )
}

fn letters() -> String {
    [
        letter("invalid_data", "decode", "default/orders", "no JSON"),
        letter("transformation_error", "transform[2]:cast", "default/orders", "no number"),
        String::new(),
        letter("constraint_violation", "sink", "shop/orders", "duplicate key"),
        "{\"id\":1}".to_owned(),
        letter("transformation_error", "transform[2]:cast", "default/orders", "no number either"),
        "not json".to_owned(),
        // As the original writes them.
        "{\"error\":{\"message\":\"batch execution error\",\"metadata\":{},\"original_sink\":\"postgresql\",\
         \"timestamp\":\"2026-01-24T12:34:56Z\"},\"original_message\":{\"original_data\":\"[1]\"}}"
            .to_owned(),
    ]
    .join("\n")
}

#[test]
fn letters_are_listed_and_counted() {
    let ran = run(&["dlq", "list", "e.ndjson"], b"", &[("e.ndjson", &letters())]).ends(0);
    let text = ran.text();
    for part in
        ["no JSON", "no number either", "duplicate key", "shop/orders", "batch execution error"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(text.contains("       2  transformation_error in transform[2]:cast\n"), "{text}");
    assert!(text.contains("       1  invalid_data in decode\n"), "{text}");
    assert_eq!(
        ran.stderr,
        "5 dead letters\nwarning: 2 lines are no dead letters and were left out\n"
    );
}

#[test]
fn filters_narrow_the_list() {
    let folder = Folder::new();
    folder.file("e.ndjson", letters());
    let check = |filter: &[&str], messages: &[&str]| {
        let args = [&["dlq", "list", "e.ndjson", "--output", "json"], filter].concat();
        let ran = folder.run(&args).ends(0);
        let got: Vec<String> = ran
            .json()
            .iter()
            .map(|letter| letter["error"]["message"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(got, messages, "{filter:?}");
    };
    check(&["--class", "transformation_error"], &["no number", "no number either"]);
    check(&["--class", "timeout"], &[]);
    check(&["--stage", "sink"], &["duplicate key"]);
    check(&["--dataflow", "shop/orders"], &["duplicate key"]);
    check(&["--dataflow", "default/orders", "--class", "invalid_data"], &["no JSON"]);
    check(&["--dataflow", "shop/orders", "--class", "invalid_data"], &[]);
    check(&["--limit", "2"], &["no JSON", "no number"]);
    check(&["--limit", "0"], &[]);
}

#[test]
fn json_output_is_the_letters_as_they_stand() {
    let ran = run(&["dlq", "list", "-", "--output", "json"], letters().as_bytes(), &[]).ends(0);
    let all = letters();
    let expected: Vec<&str> = all.lines().filter(|line| line.starts_with("{\"error\"")).collect();
    assert_eq!(ran.lines(), expected);
}

#[test]
fn hidden_letters_are_counted() {
    let args = ["dlq", "list", "e.ndjson", "--limit", "1"];
    let ran = run(&args, b"", &[("e.ndjson", &letters())]).ends(0);
    assert!(ran.stderr.starts_with("5 dead letters, 4 not shown (--limit)\n"), "{}", ran.stderr);
}

#[test]
fn lines_of_any_bytes_are_counted_and_not_fatal() {
    let folder = Folder::new();
    let mut content = b"\xff\xfe\n\0\n".to_vec();
    content.extend(format!("{}\n", "[".repeat(10_000)).into_bytes());
    content.extend(format!("{}\r\n", letter("timeout", "sink", "default/f", "late")).into_bytes());
    content.extend(b"{\"error\":{\"message\":\"\xff\"}}\n{\"error\":");
    folder.file("e.ndjson", content);
    let ran = folder.run(&["dlq", "list", "e.ndjson"]).ends(0);
    assert!(ran.text().contains("late"), "{}", ran.text());
    assert!(ran.stderr.contains("1 dead letters\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("5 lines are no dead letters"), "{}", ran.stderr);
}

#[test]
fn several_files_and_missing_ones() {
    let files = [
        ("a.ndjson", letter("timeout", "sink", "default/a", "one")),
        ("b.ndjson", letter("timeout", "sink", "default/b", "two")),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let args = ["dlq", "list", "a.ndjson", "b.ndjson", "--output", "json"];
    assert_eq!(run(&args, b"", &files).ends(0).json().len(), 2);
    let ran = run(&["dlq", "list", "missing.ndjson"], b"", &files).ends(1);
    assert!(ran.stderr.contains("`missing.ndjson`"), "{}", ran.stderr);
    let ran = run(&["dlq", "list", "empty"], b"", &[("empty", "")]).ends(0);
    assert_eq!((ran.text(), ran.stderr.as_str()), ("", "0 dead letters\n"));
}
