//! `structFlatten`: brings the members of nested objects to the top.
//!
//! Arrays stay values and empty objects disappear. Members come out in the order of the document.
//! When two get the same name, the nested one wins over the one that had the name already, and the
//! later one among equals. The result is written as text, in time that grows with the record.

use std::cmp::Ordering;

use levada_model::text::{decode, encode_string};
use levada_model::tree::{NodeId, NodeKind};
use levada_model::{RecordBatch, RecordError};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::fields::check_room;
use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// Brings the members of nested objects to the top; their names become paths.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// What stands between the names of a path.
    pub delimiter: String,
}

impl Default for Spec {
    fn default() -> Self {
        Spec { delimiter: ".".into() }
    }
}

/// The deepest object that is flattened; the root is 0.
const DEPTH_MAX: usize = 64;

/// The largest record that flattening may make. Long names above many members multiply.
const BYTES_MAX: usize = 64 << 20;

impl TransformSpec for Spec {
    const NAME: &'static str = "structFlatten";
    const SUMMARY: &'static str = "brings the members of nested objects to the top";
    const EXAMPLE: &'static str = "\
type: structFlatten
config:
  delimiter: _
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        if self.delimiter.is_empty() {
            let detail = "delimiter must be a non-empty string";
            report.invalid(&at.child("delimiter"), "", detail);
        }
    }

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        let mut quoted = Vec::new();
        encode_string(&self.delimiter, &mut quoted);
        Ok(Box::new(StructFlatten {
            delimiter: quoted[1..quoted.len() - 1].into(),
            bytes_max: BYTES_MAX,
            prefix: Vec::new(),
            names: Vec::new(),
            leaves: Vec::new(),
            members: Vec::new(),
            sorted: Vec::new(),
        }))
    }
}

struct StructFlatten {
    /// In JSON's form, without quotes.
    delimiter: Box<[u8]>,
    bytes_max: usize,
    /// The names above the object at hand, each with a delimiter behind it. Names stay as written, with their escapes.
    prefix: Vec<u8>,
    /// The names of all leaves, one after the other.
    names: Vec<u8>,
    /// In the order of the document.
    leaves: Vec<Leaf>,
    /// Members of the objects that are open; those of the innermost stand last.
    members: Vec<Member>,
    /// Indexes of members or leaves by name.
    sorted: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Member {
    node: NodeId,
    /// A later member has the same name.
    is_lost: bool,
}

struct Leaf {
    start: usize,
    end: usize,
    node: NodeId,
    /// Its place in the order in which leaves would be written one over the other.
    rank: u32,
    is_lost: bool,
}

impl Transform for StructFlatten {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let Some(root) = batch.document(index) else {
            return Ok(Verdict::Keep);
        };
        let is_object = |node| batch.tree.kind(node) == NodeKind::Object;
        if !is_object(root) || !batch.tree.children(root).any(is_object) {
            return Ok(Verdict::Keep);
        }
        self.prefix.clear();
        self.names.clear();
        self.leaves.clear();
        self.members.clear();
        self.collect(batch, root, 0, 0)?;
        self.drop_doubles();

        let out = &mut scope.scratch;
        out.clear();
        out.push(b'{');
        for leaf in self.leaves.iter().filter(|leaf| !leaf.is_lost) {
            if out.len() > 1 {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(&self.names[leaf.start..leaf.end]);
            out.extend_from_slice(b"\":");
            batch.tree.print(&batch.text, leaf.node, out);
        }
        out.push(b'}');
        check_room(batch, out.len(), Spec::NAME)?;
        batch.set_payload(index, out);
        Ok(Verdict::Keep)
    }
}

impl StructFlatten {
    /// Lists the leaves below an object; `rank` is the first they get, and the next one is returned.
    ///
    /// The values of an object come before all that its nested objects hold, whatever their order.
    fn collect(
        &mut self,
        batch: &RecordBatch,
        object: NodeId,
        depth: usize,
        rank: u32,
    ) -> Result<u32, RecordError> {
        if depth > DEPTH_MAX {
            let text = format!("structFlatten: nesting depth exceeds {DEPTH_MAX}");
            return Err(RecordError::transform(text));
        }
        let is_leaf = |member: &Member| batch.tree.kind(member.node) != NodeKind::Object;
        let first = self.members.len();
        self.open(batch, object);
        let mut leaf_rank = rank;
        let mut next_rank =
            rank + self.members[first..].iter().filter(|m| is_leaf(m)).count() as u32;
        for at in first..self.members.len() {
            let member = self.members[at];
            let key = batch.tree.raw_key(&batch.text, member.node);
            if member.is_lost {
                continue;
            }
            if is_leaf(&member) {
                if self.names.len() + self.prefix.len() + key.len() > self.bytes_max {
                    let text =
                        format!("structFlatten: the result exceeds {} bytes", self.bytes_max);
                    return Err(RecordError::transform(text));
                }
                let start = self.names.len();
                self.names.extend_from_slice(&self.prefix);
                self.names.extend_from_slice(key);
                let end = self.names.len();
                let rank = leaf_rank;
                leaf_rank += 1;
                self.leaves.push(Leaf { start, end, node: member.node, rank, is_lost: false });
            } else {
                let before = self.prefix.len();
                self.prefix.extend_from_slice(key);
                self.prefix.extend_from_slice(&self.delimiter);
                next_rank = self.collect(batch, member.node, depth + 1, next_rank)?;
                self.prefix.truncate(before);
            }
        }
        self.members.truncate(first);
        Ok(next_rank)
    }

    /// Lists the members of an object and marks those that a later one of the same name hides.
    fn open(&mut self, batch: &RecordBatch, object: NodeId) {
        let StructFlatten { members, sorted, .. } = self;
        let first = members.len();
        let children = batch.tree.children(object);
        members.extend(children.map(|node| Member { node, is_lost: false }));
        let key = |members: &[Member], at: u32| {
            batch.tree.raw_key(&batch.text, members[at as usize].node)
        };
        sorted.clear();
        sorted.extend(first as u32..members.len() as u32);
        sorted.sort_unstable_by(|&one, &other| {
            compare_names(key(members, one), key(members, other)).then(one.cmp(&other))
        });
        for pair in sorted.windows(2) {
            if compare_names(key(members, pair[0]), key(members, pair[1])) == Ordering::Equal {
                members[pair[0] as usize].is_lost = true;
            }
        }
    }

    /// Marks all but the last written of leaves with the same name.
    fn drop_doubles(&mut self) {
        let StructFlatten { names, leaves, sorted, .. } = self;
        let compare = |one: &Leaf, other: &Leaf| {
            compare_names(&names[one.start..one.end], &names[other.start..other.end])
        };
        sorted.clear();
        sorted.extend(0..leaves.len() as u32);
        sorted.sort_unstable_by(|&one, &other| {
            let (one, other) = (&leaves[one as usize], &leaves[other as usize]);
            compare(one, other).then(one.rank.cmp(&other.rank))
        });
        for pair in sorted.windows(2) {
            let (one, other) = (&leaves[pair[0] as usize], &leaves[pair[1] as usize]);
            if compare(one, other) == Ordering::Equal {
                leaves[pair[0] as usize].is_lost = true;
            }
        }
    }
}

/// Compares names as they were written; escapes only have to be decoded where there are some.
fn compare_names(one: &[u8], other: &[u8]) -> Ordering {
    if !one.contains(&b'\\') && !other.contains(&b'\\') {
        return one.cmp(other);
    }
    decode(one, true).as_bytes().cmp(decode(other, true).as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::super::testing::{
        NOT_JSON, NOT_OBJECTS, batch_of, check, check_problems, check_unchanged, run, step,
    };
    use super::*;

    #[test]
    fn nested_objects_come_to_the_top() {
        check::<Spec>(
            "{}",
            r#"{ "id":1.0, "user": {"name":"n","geo":{"lat":5}}, "ts":2 }"#,
            &[r#"{"id":1.0,"user.name":"n","user.geo.lat":5,"ts":2}"#],
        );
        check::<Spec>(
            "delimiter: _",
            r#"{"a":{"b":12345678901234567890}}"#,
            &[r#"{"a_b":12345678901234567890}"#],
        );
        check::<Spec>("delimiter: '\"'", r#"{"a":{"b":1}}"#, &[r#"{"a\"b":1}"#]);
        check::<Spec>("delimiter: →", r#"{"ä":{"b\n":null}}"#, &[r#"{"ä→b\n":null}"#]);
        check::<Spec>("{}", r#"{"":{"":{"x":true}}}"#, &[r#"{"..x":true}"#]);
    }

    #[test]
    fn arrays_stay_and_empty_objects_disappear() {
        check::<Spec>(
            "{}",
            r#"{"a":{"l":[ {"b":1}, {} ]},"e":{},"f":{"g":{}}}"#,
            &[r#"{"a.l":[ {"b":1}, {} ]}"#],
        );
        check::<Spec>("{}", r#"{"e":{}}"#, &["{}"]);
    }

    #[test]
    fn nested_wins_over_what_was_there() {
        check::<Spec>("{}", r#"{"a.b":1,"a":{"b":2}}"#, &[r#"{"a.b":2}"#]);
        check::<Spec>("{}", r#"{"a":{"b":2},"a.b":1}"#, &[r#"{"a.b":2}"#]);
        check::<Spec>("{}", r#"{"a":{"b":2,"b":3},"c":{}}"#, &[r#"{"a.b":3}"#]);
        check::<Spec>("{}", r#"{"a":{"b.c":1},"a.b":{"c":2}}"#, &[r#"{"a.b.c":2}"#]);
        check::<Spec>("{}", r#"{"a.b":{"c":2},"a":{"b.c":1}}"#, &[r#"{"a.b.c":1}"#]);
        check::<Spec>("{}", r#"{"a":{"b":{"c":1},"b.c":2}}"#, &[r#"{"a.b.c":1}"#]);
        check::<Spec>("{}", r#"{"a":{"x":1},"a":5,"b":{}}"#, &[r#"{"a":5}"#]);
        check::<Spec>("{}", r#"{"a":{"x":1},"a":{"y":2}}"#, &[r#"{"a.y":2}"#]);
        check::<Spec>("{}", r#"{"\u0061":{"b":1},"a":{"b":2}}"#, &[r#"{"a.b":2}"#]);
    }

    #[test]
    fn what_holds_no_object_stays() {
        check_unchanged::<Spec>("{}", NOT_JSON);
        check_unchanged::<Spec>("{}", NOT_OBJECTS);
        check_unchanged::<Spec>(
            "{}",
            &[
                b"null",
                b"{ }",
                b" { \"a\" : [ {} ] } ",
                b"[{\"a\":{\"b\":1}}]",
                b"{\"a\":1,\"a\":2}",
            ],
        );
    }

    fn nested(depth: usize) -> String {
        format!("{}1{}", "{\"a\":".repeat(depth + 1), "}".repeat(depth + 1))
    }

    #[test]
    fn depth_is_bounded() {
        let name = vec!["a"; DEPTH_MAX + 1].join(".");
        check::<Spec>("{}", nested(DEPTH_MAX), &[&format!("{{\"{name}\":1}}")]);
        let error = "error: structFlatten: nesting depth exceeds 64";
        check::<Spec>("{}", nested(DEPTH_MAX + 1), &[error]);
        check::<Spec>("{}", nested(400), &[error]);
    }

    #[test]
    fn growth_is_bounded() {
        let long = "k".repeat(1000);
        let members: Vec<String> = (0..100).map(|at| format!("\"{at:04}\":1")).collect();
        let input = format!("{{\"{long}\":{{{}}}}}", members.join(","));
        let build = |bytes_max| StructFlatten {
            delimiter: (*b".").into(),
            bytes_max,
            prefix: Vec::new(),
            names: Vec::new(),
            leaves: Vec::new(),
            members: Vec::new(),
            sorted: Vec::new(),
        };
        assert!(run(&mut build(100 * 1005), &mut batch_of(&input)).is_ok());
        let mut batch = batch_of(&input);
        let error = run(&mut build(100 * 1005 - 1), &mut batch).unwrap_err();
        assert_eq!(error.to_string(), "structFlatten: the result exceeds 100499 bytes");
        assert_eq!(&*batch.payload(0), input.as_bytes());
    }

    #[test]
    fn settings() {
        check_problems::<Spec>("{}", &[]);
        check_problems::<Spec>(
            "delimiter: ''",
            &["config.delimiter: Invalid value: \"\": delimiter must be a non-empty string"],
        );
    }

    fn naive(
        object: &Map<String, Value>,
        prefix: &str,
        delimiter: &str,
        out: &mut Map<String, Value>,
    ) {
        for (key, value) in object.iter().filter(|(_, value)| !value.is_object()) {
            out.insert(format!("{prefix}{key}"), value.clone());
        }
        for (key, value) in object {
            if let Value::Object(nested) = value {
                naive(nested, &format!("{prefix}{key}{delimiter}"), delimiter, out);
            }
        }
    }

    proptest! {
        #[test]
        fn equals_the_naive_way(document in super::super::sample::object(), seed: u64, wide in any::<bool>()) {
            let delimiter = if wide { "ab" } else { "." };
            let mut step = step::<Spec>(&format!("delimiter: {delimiter}"), &TransformContext::default());
            let got = run(&mut *step, &mut batch_of(super::super::sample::written(&document, seed))).unwrap().concat();
            let mut expected = Map::new();
            naive(document.as_object().unwrap(), "", delimiter, &mut expected);
            let got: Value = serde_json::from_slice(&got).unwrap();
            prop_assert_eq!(got, Value::Object(expected));
        }
    }
}
