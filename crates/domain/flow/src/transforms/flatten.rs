//! `flatten`: makes one record per element of an array.
//!
//! ```text
//! {"order":7,"items":[{"sku":"A"},{"sku":"B"}]}
//!   parent  "order":7                    printed once
//!   child   { parent , members of the element }     appended to the text of the batch
//! ```

use levada_condition::path::Path;
use levada_model::text::encode_string;
use levada_model::tree::{EncodedKey, NodeId, NodeKind};
use levada_model::{RecordBatch, RecordError, Root};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::keys::{KeyHasher, compiled, room_for};
use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

const ELEMENTS_MAX_DEFAULT: u32 = 10_000;

/// Makes one record per element of an array: the rest of the object with the members of the element.
///
/// Members of the element win over those of the object, in their place; an element that is no object
/// becomes a member with the last name of the path. An empty array leaves the object without it. An
/// object whose member `array` is an array (Avro) counts as that array. Anything else passes unchanged.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The path of the array: keys and indexes.
    pub field: String,
    /// The most elements an array may have; a record with more fails. Default: 10,000.
    pub max_elements: Option<u32>,
    /// A member that gets the place of the element, counted from zero. Default: none.
    pub index_field: Option<String>,
    /// What is put in front of the names of the object's own members, so that no element can
    /// override them. Default: nothing.
    pub parent_prefix: String,
}

impl TransformSpec for Spec {
    const NAME: &'static str = "flatten";
    const SUMMARY: &'static str = "makes one record per element of an array";
    const EXAMPLE: &'static str = "\
type: flatten
config:
  field: $.items
  indexField: line
  parentPrefix: order_
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        if self.field.trim().is_empty() {
            report.required(&at.child("field"), "field is required");
        } else if let Err(message) = self.path() {
            report.invalid(&at.child("field"), self.field.as_str(), &message);
        }
        if self.max_elements == Some(0) {
            report.invalid(&at.child("maxElements"), 0, "must be greater than zero");
        }
    }

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        let path = self.path()?;
        let hasher = KeyHasher::default();
        let last = path.last_key().to_owned();
        let mut prefix = Vec::new();
        encode_string(&self.parent_prefix, &mut prefix);
        Ok(Box::new(Flatten {
            elements_max: self.max_elements.unwrap_or(ELEMENTS_MAX_DEFAULT) as usize,
            index: self.index_field.as_deref().map(|name| Name::new(name, &hasher)),
            prefix: self.parent_prefix.as_str().into(),
            prefix_json: prefix[1..prefix.len() - 1].into(),
            scalar: Name::new(&last, &hasher),
            path,
            parent: Parent { hasher, ..Parent::default() },
            elements: Vec::new(),
            added: Vec::new(),
        }))
    }
}

impl Spec {
    fn path(&self) -> Result<Path, String> {
        let path = compiled(&self.field)?;
        match path.check_settable() {
            Ok(()) if path.is_simple() => Ok(path),
            Ok(()) => Err(format!("path `{path}`: `-1` is no element that can be read")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A member name that the step writes.
struct Name {
    text: Box<str>,
    json: EncodedKey,
    hash: u64,
}

impl Name {
    fn new(text: &str, hasher: &KeyHasher) -> Self {
        Name { json: EncodedKey::new(text), hash: hasher.hash(text.as_bytes()), text: text.into() }
    }
}

struct Flatten {
    path: Path,
    elements_max: usize,
    index: Option<Name>,
    prefix: Box<str>,
    /// The prefix with its escapes.
    prefix_json: Box<[u8]>,
    /// What an element that is no object is called.
    scalar: Name,
    /// What follows is memory that is used again.
    parent: Parent,
    elements: Vec<NodeId>,
    /// Members of the element at hand that the parent does not have.
    added: Vec<NodeId>,
}

/// The object without the array, printed member by member.
#[derive(Default)]
struct Parent {
    hasher: KeyHasher,
    /// `"a":1,"b":2`
    json: Vec<u8>,
    /// The names without escapes, one after the other.
    names: Vec<u8>,
    members: Vec<Member>,
    /// Hash and place of the members, sorted; only for many of them.
    by_hash: Vec<(u64, u32)>,
    /// How many members have another of the same name behind them.
    hidden: usize,
    /// The members that the element at hand overrides.
    overridden: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Member {
    hash: u64,
    /// Where in `names` its name stands.
    name: (u32, u32),
    /// Where in `json` its name and its value stand.
    key: (u32, u32),
    value: (u32, u32),
    is_hidden: bool,
    replaced_by: Option<NodeId>,
}

impl Transform for Flatten {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let Some(root) = batch.document(index) else {
            return Ok(Verdict::Keep);
        };
        if batch.tree.kind(root) != NodeKind::Object {
            return Ok(Verdict::Keep);
        }
        let Some(field) = self.path.find_node(&batch.text, &batch.tree, root) else {
            return Ok(Verdict::Keep);
        };
        let array = match batch.tree.kind(field) {
            NodeKind::Object => batch.tree.member(&batch.text, field, b"array"),
            _ => Some(field),
        };
        let Some(array) = array.filter(|&node| batch.tree.kind(node) == NodeKind::Array) else {
            return Ok(Verdict::Keep);
        };
        self.elements.clear();
        let most = self.elements_max + 1;
        self.elements.extend(batch.tree.children(array).take(most));
        if self.elements.is_empty() {
            self.path.remove(&batch.text, &mut batch.tree, root);
            return Ok(Verdict::Keep);
        }
        if self.elements.len() == most {
            return Err(self.too_many());
        }
        self.read_parent(batch, root)?;
        self.write_children(batch, index, scope)?;
        Ok(Verdict::Split)
    }
}

impl Flatten {
    #[cold]
    fn too_many(&self) -> RecordError {
        RecordError::transform(format!(
            "flatten: `{}` has more than {} elements; raise maxElements or split the array upstream",
            self.path, self.elements_max
        ))
    }

    /// Prints the object without the array, leaving it as it is.
    fn read_parent(&mut self, batch: &mut RecordBatch, root: NodeId) -> Result<(), RecordError> {
        let top = self.path.top_key().unwrap_or_default();
        let last = batch.tree.member(&batch.text, root, top.as_bytes());
        let is_nested = last != self.path.find_node(&batch.text, &batch.tree, root);
        let trimmed = match last {
            Some(last) if is_nested => Some(self.without_array(batch, last)?),
            _ => None,
        };
        self.parent.clear();
        for node in batch.tree.children(root) {
            let value = match trimmed {
                _ if !batch.tree.has_key(&batch.text, node, top.as_bytes()) => node,
                Some(trimmed) if Some(node) == last => trimmed,
                // The array itself, or an earlier duplicate of it.
                _ => continue,
            };
            self.parent.push(batch, node, value, &self.prefix, &self.prefix_json);
        }
        self.parent.finish(self.index.as_ref());
        Ok(())
    }

    /// Copies a member of the object and takes the array out of the copy.
    fn without_array(
        &self,
        batch: &mut RecordBatch,
        member: NodeId,
    ) -> Result<NodeId, RecordError> {
        let top = self.path.top_key().unwrap_or_default();
        // Each byte may need an escape of six.
        room_for(batch, "flatten", top.len() * 6 + 16)?;
        let holder = batch.tree.new_container(NodeKind::Object);
        let copy = batch.tree.copy_deep(member);
        let held = batch.tree.insert_named(&mut batch.text, holder, top);
        batch.tree.set_node(held, copy);
        self.path.remove(&batch.text, &mut batch.tree, holder);
        Ok(held)
    }

    fn write_children(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<(), RecordError> {
        let text_before = batch.text.len();
        let children_before = scope.children.len();
        for place in 0..self.elements.len() {
            self.write_child(batch, place, &mut scope.scratch);
            if let Err(error) = room_for(batch, "flatten", scope.scratch.len() + 1) {
                batch.text.truncate(text_before);
                scope.children.truncate(children_before);
                return Err(error);
            }
            let mut child = batch.records[index];
            child.start = batch.text.len() as u32;
            batch.text.extend_from_slice(&scope.scratch);
            child.end = batch.text.len() as u32;
            child.root = Root::Unparsed;
            batch.text.push(b'\n');
            scope.children.push(child);
        }
        Ok(())
    }

    fn write_child(&mut self, batch: &RecordBatch, place: usize, out: &mut Vec<u8>) {
        let (tree, text) = (&batch.tree, &batch.text);
        let element = self.elements[place];
        let is_object = tree.kind(element) == NodeKind::Object;
        self.added.clear();
        let mut scalar_is_new = false;
        if is_object {
            for member in tree.children(element) {
                let name = tree.key_bytes(text, member);
                let hash = self.parent.hasher.hash(&name);
                let is_index = self
                    .index
                    .as_ref()
                    .is_some_and(|own| own.hash == hash && own.text.as_bytes() == &*name);
                if !is_index && !self.parent.replace(hash, &name, member) {
                    self.added.push(member);
                }
            }
        } else {
            let name = &self.scalar;
            let is_index = self.index.as_ref().is_some_and(|own| own.text == name.text);
            scalar_is_new =
                !is_index && !self.parent.replace(name.hash, name.text.as_bytes(), element);
        }
        out.clear();
        out.push(b'{');
        self.parent.print(batch, out);
        for &member in &self.added {
            comma(out);
            out.push(b'"');
            out.extend_from_slice(tree.raw_key(text, member));
            out.extend_from_slice(b"\":");
            tree.print(text, member, out);
        }
        if scalar_is_new {
            comma(out);
            out.extend_from_slice(&self.scalar.json.bytes);
            out.push(b':');
            tree.print(text, element, out);
        }
        if let Some(name) = &self.index {
            comma(out);
            out.extend_from_slice(&name.json.bytes);
            out.push(b':');
            out.extend_from_slice(itoa::Buffer::new().format(place).as_bytes());
        }
        out.push(b'}');
    }
}

/// Separates a member from the one before it, if there is one.
fn comma(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

// === impl Parent ===

impl Parent {
    /// Up to this many members, looking at all hashes is faster than a search.
    const FEW: usize = 16;

    fn clear(&mut self) {
        self.json.clear();
        self.names.clear();
        self.members.clear();
        self.by_hash.clear();
        self.overridden.clear();
        self.hidden = 0;
    }

    /// Adds a member with the name of `node` and the value of `value`.
    fn push(
        &mut self,
        batch: &RecordBatch,
        node: NodeId,
        value: NodeId,
        prefix: &str,
        prefix_json: &[u8],
    ) {
        let name_start = self.names.len();
        self.names.extend_from_slice(prefix.as_bytes());
        let name = batch.tree.key(&batch.text, node).unwrap_or_default();
        self.names.extend_from_slice(name.as_bytes());
        if !self.members.is_empty() {
            self.json.push(b',');
        }
        let key_start = self.json.len();
        self.json.push(b'"');
        self.json.extend_from_slice(prefix_json);
        self.json.extend_from_slice(batch.tree.raw_key(&batch.text, node));
        self.json.extend_from_slice(b"\":");
        let value_start = self.json.len();
        batch.tree.print(&batch.text, value, &mut self.json);
        self.members.push(Member {
            hash: self.hasher.hash(&self.names[name_start..]),
            name: (name_start as u32, self.names.len() as u32),
            key: (key_start as u32, value_start as u32),
            value: (value_start as u32, self.json.len() as u32),
            is_hidden: false,
            replaced_by: None,
        });
    }

    /// Hides all but the last of members with the same name, and those called as the index field.
    fn finish(&mut self, index: Option<&Name>) {
        let by_hash = self.members.iter().zip(0..).map(|(member, place)| (member.hash, place));
        self.by_hash.extend(by_hash);
        self.by_hash.sort_unstable();
        for at in 1..self.by_hash.len() {
            let ((hash, place), (next_hash, next)) = (self.by_hash[at - 1], self.by_hash[at]);
            if hash == next_hash && self.name(place) == self.name(next) {
                self.hide(place);
            }
        }
        if let Some(index) = index
            && let Some(place) = self.find(index.hash, index.text.as_bytes())
        {
            self.hide(place);
        }
    }

    fn hide(&mut self, place: u32) {
        self.members[place as usize].is_hidden = true;
        self.hidden += 1;
    }

    fn name(&self, place: u32) -> &[u8] {
        let (start, end) = self.members[place as usize].name;
        &self.names[start as usize..end as usize]
    }

    /// Gives the last member of this name that is not hidden.
    fn find(&self, hash: u64, name: &[u8]) -> Option<u32> {
        let fits = |place: u32| {
            let member = &self.members[place as usize];
            member.hash == hash && !member.is_hidden && self.name(place) == name
        };
        if self.members.len() <= Self::FEW {
            return (0..self.members.len() as u32).rev().find(|&place| fits(place));
        }
        let first = self.by_hash.partition_point(|&(known, _)| known < hash);
        let same = self.by_hash[first..].iter().take_while(|&&(known, _)| known == hash);
        same.map(|&(_, place)| place).filter(|&place| fits(place)).last()
    }

    /// Overrides the member of this name for the element at hand; tells whether there is one.
    fn replace(&mut self, hash: u64, name: &[u8], by: NodeId) -> bool {
        let Some(place) = self.find(hash, name) else {
            return false;
        };
        self.members[place as usize].replaced_by = Some(by);
        self.overridden.push(place);
        true
    }

    /// Appends the members and forgets what the element at hand overrides.
    fn print(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) {
        if self.overridden.is_empty() && self.hidden == 0 {
            out.extend_from_slice(&self.json);
            return;
        }
        let span = |(start, end): (u32, u32)| &self.json[start as usize..end as usize];
        for member in self.members.iter().filter(|member| !member.is_hidden) {
            comma(out);
            out.extend_from_slice(span(member.key));
            match member.replaced_by {
                Some(node) => batch.tree.print(&batch.text, node, out),
                None => out.extend_from_slice(span(member.value)),
            }
        }
        for place in self.overridden.drain(..) {
            self.members[place as usize].replaced_by = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, NOT_JSON, NOT_OBJECTS};
    use super::*;

    fn check(config: &str, input: &str, expected: &[&str]) {
        testing::check::<Spec>(config, input, expected);
    }

    #[test]
    fn each_element_makes_a_record() {
        check(
            "{field: items}",
            r#"{"order":7,"items":[{"sku":"A","qty":1},{"sku":"B","order":9}]}"#,
            &[r#"{"order":7,"sku":"A","qty":1}"#, r#"{"order":9,"sku":"B"}"#],
        );
        check(
            "{field: tags}",
            r#"{"id":1,"tags":["x",null]}"#,
            &[r#"{"id":1,"tags":"x"}"#, r#"{"id":1,"tags":null}"#],
        );
        check("{field: tags}", r#"{"id":1,"tags":[]}"#, &[r#"{"id":1}"#]);
        check("{field: rows}", r#"{"k":1,"rows":{"array":[{"v":2}]}}"#, &[r#"{"k":1,"v":2}"#]);
        check("{field: a}", r#"{"a":[[1, 2],{}]}"#, &[r#"{"a":[1, 2]}"#, "{}"]);
    }

    #[test]
    fn a_nested_array_is_removed() {
        check(
            "{field: $.orders.items}",
            r#"{"id":1,"orders":{"items":[{"n":1},5]},"z":2}"#,
            &[r#"{"id":1,"orders":{},"z":2,"n":1}"#, r#"{"id":1,"orders":{},"z":2,"items":5}"#],
        );
        check(
            "{field: 'o[1].rows'}",
            r#"{"o":[0,{"k":1, "rows":{"array":[true]}}]}"#,
            &[r#"{"o":[0,{"k":1}],"rows":true}"#],
        );
        check("{field: o.rows}", r#"{"o":{"rows":[]}}"#, &[r#"{"o":{}}"#]);
    }

    #[test]
    fn the_name_of_scalars_is_the_last_of_the_path() {
        check("{field: $.items}", r#"{"items":[1]}"#, &[r#"{"items":1}"#]);
        check(r"{field: 'a\.b'}", r#"{"x":0,"a.b":["я"]}"#, &[r#"{"x":0,"a.b":"я"}"#]);
        check("{field: o.id}", r#"{"id":7,"o":{"id":[1]}}"#, &[r#"{"id":1,"o":{}}"#]);
    }

    #[test]
    fn values_keep_their_bytes() {
        check(
            "{field: a}",
            r#"{"n":12345678901234567890,"e": 1e21 ,"u":"\u003c<","o":{ "x" : 10.0 },"a":[{"m":1.50,"s":"é"}]}"#,
            &[
                r#"{"n":12345678901234567890,"e":1e21,"u":"\u003c<","o":{ "x" : 10.0 },"m":1.50,"s":"é"}"#,
            ],
        );
    }

    #[test]
    fn of_duplicate_keys_the_last_counts() {
        check("{field: a}", r#"{"k":1,"a":[0],"k":2,"a":[{"v":3}]}"#, &[r#"{"k":2,"v":3}"#]);
        check("{field: a}", r#"{"k":1,"z":0,"k":2,"a":[{"k":3,"k":4}]}"#, &[r#"{"z":0,"k":4}"#]);
        check("{field: a}", r#"{"k":1,"a":[{"\u006b":2}]}"#, &[r#"{"k":2}"#]);
    }

    #[test]
    fn the_place_can_be_added() {
        check(
            "{field: a, indexField: n}",
            r#"{"n":"p","a":[{"n":"e","x":1},{}]}"#,
            &[r#"{"x":1,"n":0}"#, r#"{"n":1}"#],
        );
        check("{field: a, indexField: a}", r#"{"a":["x"]}"#, &[r#"{"a":0}"#]);
    }

    #[test]
    fn the_parents_names_can_have_a_prefix() {
        check(
            r#"{field: a, parentPrefix: 'p"'}"#,
            r#"{"id":1,"a":[{"id":2},{"p\"id":3}]}"#,
            &[r#"{"p\"id":1,"id":2}"#, r#"{"p\"id":3}"#],
        );
    }

    #[test]
    fn elements_are_capped() {
        check("{field: a, maxElements: 2}", r#"{"a":[1,2]}"#, &[r#"{"a":1}"#, r#"{"a":2}"#]);
        check(
            "{field: a, maxElements: 2}",
            r#"{"a":[1,2,3]}"#,
            &[
                "error: flatten: `a` has more than 2 elements; raise maxElements or split the array upstream",
            ],
        );
        let input = format!("{{\"a\":[{}1]}}", "1,".repeat(10_000));
        let mut step = testing::step::<Spec>("{field: a}", &TransformContext::default());
        assert!(testing::run(&mut *step, &mut testing::batch_of(&input)).is_err());
    }

    #[test]
    fn what_cannot_be_exploded_passes_unchanged() {
        testing::check_unchanged::<Spec>("{field: a}", NOT_JSON);
        testing::check_unchanged::<Spec>("{field: a}", NOT_OBJECTS);
        let others: &[&[u8]] = &[
            b"null",
            b"[[1]]",
            b"{ \"b\" : 1 }",
            b"{\"a\":null}",
            b"{\"a\":\"x\"}",
            b"{\"a\":{\"array\":1}}",
            b"{\"a\":{}}",
        ];
        testing::check_unchanged::<Spec>("{field: a}", others);
    }

    #[test]
    fn many_members_take_no_quadratic_time() {
        let names = |from: usize| -> Vec<String> {
            (from..from + 50_000).map(|n| format!("\"k{n}\":{n}")).collect()
        };
        let (parent, element) = (names(0).join(","), names(25_000).join(","));
        let all: Vec<String> = (0..75_000).map(|n| format!("\"k{n}\":{n}")).collect();
        check(
            "{field: a}",
            &format!("{{{parent},\"a\":[{{{element}}}]}}"),
            &[&format!("{{{}}}", all.join(","))],
        );
    }

    #[test]
    fn settings_are_checked() {
        let expected = "config.field: Required value: field is required";
        testing::check_problems::<Spec>("{}", &[expected]);
        testing::check_problems::<Spec>("{field: ' '}", &[expected]);
        testing::check_problems::<Spec>(
            "{field: a, maxElements: 0}",
            &["config.maxElements: Invalid value: 0: must be greater than zero"],
        );
        for path in ["a.#.b", "a.-1", "$", "a["] {
            let problems = testing::spec::<Spec>(&format!("{{field: '{path}'}}")).1;
            let start = format!("config.field: Invalid value: \"{path}\": ");
            assert!(problems[0].starts_with(&start), "{problems:?}");
        }
    }
}
