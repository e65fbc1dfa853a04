//! What a script says about its task: databases and type.

use levada_model::Str;

use crate::syntax::{Kind, Node};

/// How a task gets its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskType {
    /// Point by point.
    Stream,
    /// By queries.
    Batch,
}

// === impl TaskType ===

impl TaskType {
    /// Gives the word of the API, which is also the name of the source in scripts.
    pub fn word(self) -> &'static str {
        match self {
            TaskType::Stream => "stream",
            TaskType::Batch => "batch",
        }
    }
}

/// Gives the pairs of database and retention policy of the `dbrp` statements, in the order of the script.
pub fn dbrps(program: &Node) -> Vec<(Str, Str)> {
    let pairs = statements(program).iter().filter_map(|statement| match &statement.kind {
        Kind::Dbrp { database, retention } => Some((database.clone(), retention.clone())),
        _ => None,
    });
    pairs.collect()
}

/// Gives the type of the task: what every chain of the script that starts at a source starts at.
///
/// `None` when there is no such chain, or when they do not agree.
pub fn task_type(program: &Node) -> Option<TaskType> {
    let mut found = None;
    for statement in statements(program) {
        let source = match leftmost(statement) {
            "stream" => TaskType::Stream,
            "batch" => TaskType::Batch,
            _ => continue,
        };
        if found.is_some_and(|found| found != source) {
            return None;
        }
        found = Some(source);
    }
    found
}

fn statements(program: &Node) -> &[Node] {
    match &program.kind {
        Kind::Program(statements) => statements,
        _ => std::slice::from_ref(program),
    }
}

fn leftmost(statement: &Node) -> &str {
    let mut node = match &statement.kind {
        Kind::Declaration { value, .. } => value,
        _ => statement,
    };
    while let Kind::Chain { left, .. } = &node.kind {
        node = left;
    }
    match &node.kind {
        Kind::Identifier(name) => name,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::syntax::parse;

    #[test]
    fn the_type_is_what_all_chains_agree_on() {
        for (script, expected) in [
            ("stream|from()", Some(TaskType::Stream)),
            ("stream", Some(TaskType::Stream)),
            ("var x = 1 var b = batch|query('x').every(1s) b|log()", Some(TaskType::Batch)),
            ("stream|from() batch|query('x')", None),
            ("var x = stream|from() batch|query('x')", None),
            ("foo|from().stream(batch)", None),
            ("", None),
        ] {
            assert_eq!(task_type(&parse(script).unwrap()), expected, "{script}");
        }
    }

    #[test]
    fn databases_come_in_order() {
        let program = parse("dbrp \"b\".\"r\\\"p\" stream|from() dbrp \"a\".\"\"").unwrap();
        assert_eq!(dbrps(&program), [("b".into(), "r\"p".into()), ("a".into(), "".into())]);
    }
}
