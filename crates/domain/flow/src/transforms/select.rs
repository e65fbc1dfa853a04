//! `select`: makes a new, flat object of some fields.

use levada_condition::path::{Found, Path};
use levada_model::tree::{EncodedKey, NodeId, NodeKind};
use levada_model::{RecordBatch, RecordError};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::keys::{check_paths, compiled, room_for};
use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// Makes a new, flat object of some fields, in the order in which they are listed.
///
/// The name of a field is what follows the last dot of its path. Of two fields with the same name the
/// later one that exists wins, in the place of the first. Without any of the fields the object is empty.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The paths of the fields, at least one; absent ones are skipped.
    pub fields: Vec<String>,
}

impl TransformSpec for Spec {
    const NAME: &'static str = "select";
    const SUMMARY: &'static str = "makes a new, flat object of some fields";
    const EXAMPLE: &'static str = "\
type: select
config:
  fields: [id, $.user.name, items.#.sku]
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        check_paths(&self.fields, at, report, |_| Ok(()));
    }

    fn build(&self, ctx: &TransformContext) -> Result<Box<dyn Transform>, String> {
        let mut fields: Vec<Field> = Vec::new();
        let mut names: Vec<String> = Vec::new();
        for text in &self.fields {
            let path = compiled(text)?;
            let name = output_name(text, &path);
            let slot = names.iter().position(|known| known == name);
            if slot.is_none() {
                names.push(name.to_owned());
            }
            fields.push(Field {
                slot: slot.unwrap_or(names.len() - 1),
                key: EncodedKey::new(name),
                may_share: fields.iter().any(|earlier| may_overlap(&earlier.path, &path)),
                path,
            });
        }
        /// A new member brings its name and a `null` to write over.
        const NULL: usize = 4;
        let bytes = fields.iter().map(|field| field.key.bytes.len() + NULL).sum();
        Ok(Box::new(Select {
            fields: fields.into(),
            bytes,
            passes_without_hit: ctx.compat,
            members: vec![None; names.len()],
        }))
    }
}

/// Gives the name that a selected value gets: what follows the last dot, also an escaped one.
///
/// Source: dataflow; names in brackets are ours and stay whole.
fn output_name<'p>(text: &str, path: &'p Path) -> &'p str {
    let name = path.last_key();
    if !path.is_plain() || text.ends_with(']') {
        return name;
    }
    name.rsplit('.').next().unwrap_or(name)
}

/// Tells whether two paths may mean the same value, or one a part of the other's. In doubt, yes.
fn may_overlap(one: &Path, other: &Path) -> bool {
    // Two spellings of an index are different keys but the same element.
    let is_name = |key: &&str| !key.starts_with(|c: char| c.is_ascii_digit());
    match (one.top_key().filter(is_name), other.top_key().filter(is_name)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}

struct Select {
    fields: Box<[Field]>,
    /// The most text that the names of all fields need.
    bytes: usize,
    passes_without_hit: bool,
    /// The members of the object under construction, by slot.
    members: Vec<Option<NodeId>>,
}

struct Field {
    path: Path,
    key: EncodedKey,
    /// Fields with the same name share a slot.
    slot: usize,
    /// An earlier field may have taken the same nodes, and both may be edited later.
    may_share: bool,
}

impl Transform for Select {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let Some(root) = batch.document(index) else {
            return Ok(Verdict::Keep);
        };
        room_for(batch, "select", self.bytes)?;
        self.members.fill(None);
        let object = batch.tree.new_container(NodeKind::Object);
        for field in &self.fields {
            let found = field.path.find(&batch.text, &batch.tree, root);
            if !found.exists() {
                continue;
            }
            let (text, tree) = (&mut batch.text, &mut batch.tree);
            let member = *self.members[field.slot]
                .get_or_insert_with(|| tree.insert_member(text, object, &field.key));
            match found {
                Found::Node(node) => {
                    let is_container =
                        matches!(batch.tree.kind(node), NodeKind::Object | NodeKind::Array);
                    let node = match field.may_share && is_container {
                        true => batch.tree.copy_deep(node),
                        false => node,
                    };
                    batch.tree.set_node(member, node);
                }
                other => set_made(batch, member, &other, &mut scope.scratch)?,
            }
        }
        let is_hit = self.members.iter().any(Option::is_some);
        if is_hit || !self.passes_without_hit {
            batch.set_root(index, object);
        }
        Ok(Verdict::Keep)
    }
}

/// Sets a value that is not in the document as such: a length, an array of what was found.
fn set_made(
    batch: &mut RecordBatch,
    member: NodeId,
    found: &Found,
    scratch: &mut Vec<u8>,
) -> Result<(), RecordError> {
    scratch.clear();
    found.write_json(&batch.text, &batch.tree, scratch);
    room_for(batch, "select", scratch.len())?;
    batch
        .tree
        .set_json(&mut batch.text, member, scratch)
        .map_err(|error| RecordError::transform(format!("select: {error}")))
}

#[cfg(test)]
mod tests {
    use super::super::mask;
    use super::super::testing::{self, NOT_JSON, NOT_OBJECTS};
    use super::*;

    fn check(config: &str, input: &str, expected: &str) {
        testing::check::<Spec>(config, input, &[expected]);
    }

    #[test]
    fn fields_make_a_flat_object() {
        check(
            "{fields: [id, user.name, missing]}",
            r#"{"id":1,"user":{"name":"n","age":3}}"#,
            r#"{"id":1,"name":"n"}"#,
        );
        check(
            "{fields: [$.b, $.a]}",
            r#"{"a":null,"b":12345678901234567890}"#,
            r#"{"b":12345678901234567890,"a":null}"#,
        );
        check(
            "{fields: [o]}",
            r#"{"o":{ "x" : [1e21 , 10.0] }}"#,
            r#"{"o":{ "x" : [1e21 , 10.0] }}"#,
        );
        check("{fields: [имя]}", r#"{"имя":"<я>"}"#, r#"{"имя":"<я>"}"#);
        check("{fields: [a]}", r#"{"a":1,"a":2}"#, r#"{"a":2}"#);
    }

    #[test]
    fn the_name_follows_the_last_dot() {
        check(r"{fields: ['a\.b']}", r#"{"a.b":1}"#, r#"{"b":1}"#);
        check("{fields: [\"['a.b']\"]}", r#"{"a.b":1}"#, r#"{"a.b":1}"#);
        check("{fields: [a.0]}", r#"{"a":[5]}"#, r#"{"0":5}"#);
    }

    #[test]
    fn arrays_are_collected() {
        check(
            "{fields: [items.#.sku, items.#]}",
            r#"{"items":[{"sku":"A"},{"x":1},{"sku":1.50}]}"#,
            r##"{"sku":["A",1.50],"#":3}"##,
        );
        check("{fields: ['#.a']}", r#"[{"a":1},{"a":2}]"#, r#"{"a":[1,2]}"#);
    }

    #[test]
    fn of_the_same_name_the_later_wins_in_place() {
        let config = "{fields: [user.name, id, name]}";
        check(config, r#"{"id":1,"name":"b","user":{"name":"a"}}"#, r#"{"name":"b","id":1}"#);
        check(config, r#"{"id":1,"user":{"name":"a"}}"#, r#"{"name":"a","id":1}"#);
    }

    #[test]
    fn without_a_hit_the_object_is_empty() {
        check("{fields: [x]}", r#"{"a":1}"#, "{}");
        testing::check_compat::<Spec>("{fields: [x]}", r#"{ "a":1}"#, &[r#"{ "a":1}"#]);
        for input in NOT_OBJECTS.iter().chain([&b"null".as_slice()]) {
            testing::check::<Spec>("{fields: [x]}", input, &["{}"]);
        }
        testing::check_unchanged::<Spec>("{fields: [x]}", NOT_JSON);
    }

    #[test]
    fn fields_that_overlap_can_be_edited_apart() {
        let mut select =
            testing::step::<Spec>("{fields: [a, a.b, '$']}", &TransformContext::default());
        let mut mask =
            testing::step::<mask::Spec>("{fields: [a.b.c]}", &TransformContext::default());
        let mut batch = testing::batch_of(r#"{"a":{"b":{"c":1}}}"#);
        assert!(testing::run(&mut *select, &mut batch).is_ok());
        assert!(testing::run(&mut *mask, &mut batch).is_ok());
        let payload = String::from_utf8_lossy(&batch.payload(0)).into_owned();
        let start = r#"{"a":{"b":{"c":"***"}},"b":{"c":1},"#;
        assert!(payload.starts_with(start), "{payload}");
        assert!(payload.ends_with(r#"{"a":{"b":{"c":1}}}}"#), "{payload}");
    }

    #[test]
    fn settings_are_checked() {
        let expected = "config.fields: Required value: at least one field is required";
        testing::check_problems::<Spec>("{}", &[expected]);
        let problems = testing::spec::<Spec>("{fields: [a, 'b[']}").1;
        let start = "config.fields[1]: Invalid value: \"b[\": syntax error at column ";
        assert!(problems[0].starts_with(start), "{problems:?}");
    }
}
