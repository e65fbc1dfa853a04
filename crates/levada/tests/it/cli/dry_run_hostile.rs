//! `dry-run` on payloads that nobody should send: whatever they are, they leave as they came, or the
//! record fails alone.

use base64::Engine as _;
use serde_json::{Value, json};

use super::binary::Folder;

/// Steps that look at everything and change what they can.
const BUSY: &str = "\
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: {name: busy}
spec:
  source: {type: stdin, config: {}}
  sink: {type: stdout, config: {}}
  transformations:
    - {type: mask, config: {fields: [secret, 'list.#.secret', '*.secret']}}
    - {type: remove, config: {fields: [gone, 'list.#.gone', list.-1]}}
    - {type: snakeCase, config: {deep: true}}
    - {type: insertField, config: {fields: {a.b.c: x}}}
    - {type: cast, config: {spec: {n: string}}}
    - {type: structFlatten, config: {}}
    - {type: flatten, config: {field: list}}
    - type: router
      config: {routes: [{name: r, condition: \"$.id > 1 && $.name =~ '^a'\", sink: {type: stdout, config: {}}}]}
";

const PASS: &str = "\
apiVersion: dataflow.dataflow.io/v1
kind: DataFlow
metadata: {name: pass}
spec:
  source: {type: stdin, config: {}}
  sink: {type: stdout, config: {}}
  transformations:
    - {type: mask, config: {fields: [secret]}}
    - {type: timestamp, config: {fieldName: '', format: ''}, when: $.never}
    - {type: snakeCase, config: {deep: true}}
    - {type: router, config: {}}
";

/// Gives the results of these lines.
fn results(flow: &str, lines: &[Vec<u8>]) -> Vec<Value> {
    let folder = Folder::new();
    folder.file("flow.yaml", flow);
    folder.file("in", lines.join(&b'\n'));
    let ran = folder.run(&["dry-run", "flow.yaml", "--input", "in"]).ends(0);
    ran.json()
}

fn encoded(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn what_is_not_json_leaves_as_it_came() {
    let inputs: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b" ".to_vec(),
        b"\0".to_vec(),
        b"\x00\x00\x00\x00\x01avro".to_vec(),
        b"\xff\xfe\xfd".to_vec(),
        b"{\"a\":\"\xc3\x28\"}".to_vec(),
        b"{\"secret\":\"x\xff\"}".to_vec(),
        b"{\"a\":\"\xed\xa0\x80\"}".to_vec(),
        b"{\"a\":\"\0\"}".to_vec(),
        b"{\"secret\":1} {\"secret\":2}".to_vec(),
        b"{\"secret\":1,}".to_vec(),
        b"{secret:1}".to_vec(),
        b"[1,,2]".to_vec(),
        b"\"\\ud8\"".to_vec(),
        b"\"\\x\"".to_vec(),
        b"-".to_vec(),
        b"1.".to_vec(),
        b"tru".to_vec(),
        b"\xef\xbb\xbf{\"secret\":1}".to_vec(),
    ];
    for (input, result) in inputs.iter().zip(results(PASS, &inputs)) {
        let expected = json!([{"payloadBase64": encoded(input), "route": null, "metadata": {}}]);
        assert_eq!(result["outputs"], expected, "{:?}", String::from_utf8_lossy(input));
        assert_eq!(result["error"], Value::Null);
    }
}

/// Compares texts: half a surrogate pair, for one, is JSON that few libraries read into a string.
#[test]
fn odd_but_valid_json_is_json() {
    let cases = [
        (r#"{"secret":"x","secret":"y","secret":{"z":1}}"#, r#"{"secret":"***"}"#),
        (r#"{"\u0073ecret":"x"}"#, r#"{"\u0073ecret":"***"}"#),
        (r#"{"a":"\ud800"}"#, r#"{"a":"\ud800"}"#),
        (r#"{"a":"\u0000"}"#, r#"{"a":"\u0000"}"#),
        (r#"{"":{"":1}}"#, r#"{"":{"":1}}"#),
        (
            r#"{"a":1e400,"b":-0,"c":1234567890123456789.50}"#,
            r#"{"a":1e400,"b":-0,"c":1234567890123456789.50}"#,
        ),
        ("[]", "[]"),
        ("{}", "{}"),
        ("\"\"", "\"\""),
        ("[[[[]]],{}]", "[[[[]]],{}]"),
    ];
    let folder = Folder::new();
    folder.file("flow.yaml", PASS);
    folder.file("in", cases.map(|(input, _)| input).join("\n"));
    let ran = folder.run(&["dry-run", "flow.yaml", "--input", "in"]).ends(0);
    for (line, (input, payload)) in ran.lines().iter().zip(cases) {
        let part = format!(
            "\"outputs\":[{{\"payload\":{payload},\"route\":null,\"metadata\":{{}}}}],\"error\":null}}"
        );
        assert!(line.ends_with(&part), "{input} became {line}");
    }
    assert_eq!(ran.lines().len(), cases.len());
}

#[test]
fn a_megabyte_in_one_value_passes() {
    let long = "x\u{e9}\\n".repeat(1 << 18);
    let input = format!("{{\"secret\":\"{long}\",\"a\":\"{long}\"}}");
    let result = &results(PASS, &[input.into_bytes()])[0];
    let payload = &result["outputs"][0]["payload"];
    assert_eq!(payload["secret"], "***");
    assert_eq!(payload["a"].as_str().unwrap().len(), 4 << 18);
}

#[test]
fn nesting_beyond_the_bound_is_opaque_and_below_it_is_not() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep = nested(10_000).into_bytes();
    let open = "[".repeat(10_000).into_bytes();
    let objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)).into_bytes();
    let inputs = [deep, open, objects, nested(100).into_bytes(), b"{\"secret\":1}".to_vec()];
    let results = results(PASS, &inputs);
    for (input, result) in inputs.iter().zip(&results).take(3) {
        assert_eq!(result["outputs"][0]["payloadBase64"], encoded(input));
        assert_eq!(result["error"], Value::Null);
    }
    assert_eq!(results[3]["outputs"][0]["payload"].to_string(), nested(100));
    assert_eq!(results[4]["outputs"][0]["payload"], json!({"secret": "***"}));
}

#[test]
fn a_busy_flow_survives_all_of_it() {
    let many: String = (0..20_000).map(|n| format!("\"k{n}\":{n},")).collect();
    let list = vec!["{\"secret\":1,\"Gone\":2,\"n\":3}"; 5000].join(",");
    let inputs: Vec<Vec<u8>> = [
        format!("{{{many}\"id\":2,\"name\":\"ann\"}}"),
        format!("{{\"list\":[{list}],\"id\":1}}"),
        format!("{{\"list\":[{}]}}", vec!["0"; 20_000].join(",")),
        format!("{}1{}", "{\"a\":".repeat(400), "}".repeat(400)),
        "{\"a\":[],\"n\":1}".to_owned(),
        "{\"a\":{\"b\":[1]}}".to_owned(),
        "{\"n\":{}}".to_owned(),
        "null".to_owned(),
        "{\"list\":{\"array\":[1,{\"secret\":2}]}}".to_owned(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect();
    let results = results(BUSY, &inputs);
    assert_eq!(results.len(), inputs.len());
    assert_eq!(results[0]["outputs"][0]["route"], "r");
    assert_eq!(results[1]["outputs"].as_array().unwrap().len(), 4999);
    assert_eq!(results[1]["outputs"][7]["payload"]["secret"], "***");
    for result in &results[2..6] {
        assert_eq!(result["outputs"], json!([]), "{result}");
    }
    let stages: Vec<&str> =
        (2..7).map(|index| results[index]["error"]["stage"].as_str().unwrap()).collect();
    assert_eq!(
        stages,
        [
            "transform[6]:flatten",
            "transform[5]:structFlatten",
            "transform[3]:insertField",
            "transform[3]:insertField",
            "transform[4]:cast",
        ]
    );
    assert_eq!(results[7]["outputs"][0]["payload"], Value::Null);
}
