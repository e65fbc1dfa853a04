//! Problems with the path of the field they concern.

use std::fmt;

use crate::manifest::Node;

/// One step from an object to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A field, printed as `.name`.
    Field(String),
    /// An element, printed as `[3]`.
    Index(usize),
    /// A key of a free map, printed as `[key]`.
    Key(String),
}

/// The path of a field in Kubernetes notation, e.g. `spec.transformations[0].mask.fields`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldPath(Vec<Segment>);

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The object is refused.
    Error,
    /// The object is accepted; the author should know.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it refuses the object.
    pub severity: Severity,
    /// Where, counted from the root of the document.
    pub path: FieldPath,
    /// What, without the path.
    pub text: String,
}

/// Everything that was found wrong with one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    problems: Vec<Problem>,
}

// === impl FieldPath ===

impl FieldPath {
    /// Gives the path of the root.
    pub fn root() -> Self {
        Self::default()
    }

    /// Makes a path of one field.
    pub fn field(name: &str) -> Self {
        FieldPath::root().child(name)
    }

    /// Gives the path of a field below this one; dots in `name` separate fields.
    pub fn child(&self, name: &str) -> Self {
        let mut segments = self.0.clone();
        segments.extend(name.split('.').map(|part| Segment::Field(part.to_owned())));
        FieldPath(segments)
    }

    /// Gives the path of an element.
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// Gives the path of a key of a free map.
    pub fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    /// Gives the path one segment longer.
    pub fn with(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        FieldPath(segments)
    }

    /// Gives the path that starts with `self` and goes on with `rest`.
    pub fn join(&self, rest: &FieldPath) -> Self {
        FieldPath(self.0.iter().chain(&rest.0).cloned().collect())
    }

    /// Gives the steps from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Field(name) if index == 0 => write!(f, "{name}")?,
                Segment::Field(name) => write!(f, ".{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => write!(f, "[{key}]")?,
            }
        }
        Ok(())
    }
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

// === impl Report ===
//
// The texts are those of Kubernetes field errors, which users of the admission webhook know.

impl Report {
    /// Makes an empty report.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports that a value is missing.
    pub fn required(&mut self, path: &FieldPath, detail: &str) {
        self.error(path, format!("Required value: {detail}"));
    }

    /// Reports a value that is wrong; `value` is shown as JSON.
    pub fn invalid(&mut self, path: &FieldPath, value: impl Into<serde_json::Value>, detail: &str) {
        let value = value.into();
        self.error(path, format!("Invalid value: {value}: {detail}"));
    }

    /// Reports a word that is none of the supported ones.
    pub fn unsupported<'a>(
        &mut self,
        path: &FieldPath,
        value: &str,
        supported: impl IntoIterator<Item = &'a str>,
    ) {
        let list: Vec<String> = supported.into_iter().map(quoted).collect();
        self.error(
            path,
            format!("Unsupported value: {}: supported values: {}", quoted(value), list.join(", ")),
        );
    }

    /// Reports something that may not be there.
    pub fn forbidden(&mut self, path: &FieldPath, detail: &str) {
        self.error(path, format!("Forbidden: {detail}"));
    }

    /// Reports an error in other words.
    pub fn error(&mut self, path: &FieldPath, text: String) {
        self.push(Problem { severity: Severity::Error, path: path.clone(), text });
    }

    /// Reports something that the author should know but that refuses nothing.
    pub fn warning(&mut self, path: &FieldPath, text: String) {
        self.push(Problem { severity: Severity::Warning, path: path.clone(), text });
    }

    /// Adds a problem; one that is there already is not added again.
    pub fn push(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Gives the problems in the order in which they were found.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Tells whether nothing refuses the object.
    pub fn is_ok(&self) -> bool {
        !self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Tells whether a problem concerns this path or something below it.
    pub fn concerns(&self, path: &FieldPath) -> bool {
        self.problems.iter().any(|problem| problem.path.0.starts_with(&path.0))
    }

    /// Adds all problems of another report.
    pub fn extend(&mut self, other: Report) {
        for problem in other.problems {
            self.push(problem);
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Gives line and column (from 1) of the field a path names, or of the nearest thing around it.
pub fn locate(root: &Node, path: &FieldPath) -> (u32, u32) {
    let mut node = root;
    let mut place = (root.line, root.column);
    for segment in path.segments() {
        let next = match segment {
            Segment::Field(name) | Segment::Key(name) => node.entry(name).map(|entry| {
                place = (entry.line, entry.column);
                &entry.value
            }),
            Segment::Index(index) => {
                node.list().and_then(|items| items.get(*index)).inspect(|item| {
                    place = (item.line, item.column);
                })
            }
        };
        match next {
            Some(found) => node = found,
            None => break,
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_field_errors() {
        let mut report = Report::new();
        let at = FieldPath::field("spec").child("transformations").index(2).child("mask.fields");
        report.required(&at, "at least one field is required");
        report.invalid(&FieldPath::field("spec").child("resources.limits").key("cpu"), "-1", "no");
        report.unsupported(&FieldPath::field("type"), "x", ["a", "b"]);
        let texts: Vec<String> = report.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "spec.transformations[2].mask.fields: Required value: at least one field is required",
                "spec.resources.limits[cpu]: Invalid value: \"-1\": no",
                "type: Unsupported value: \"x\": supported values: \"a\", \"b\"",
            ]
        );
    }
}
