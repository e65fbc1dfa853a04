//! Reads the part of TOML that Cargo manifests and lock files use: tables and one-line keys.

/// One `key = value` line, with the table it stands in.
pub(super) struct Line<'a> {
    /// The line number, counted from 1.
    pub number: usize,
    /// The table's name as written, without brackets.
    pub table: &'a str,
    pub key: &'a str,
    /// What follows the first `=`, trimmed, comment included.
    pub value: &'a str,
}

/// The keys of a manifest, in order. Lines that continue a value of several lines are left out.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut table = "";
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.starts_with('[') {
            table = line.split('#').next().unwrap_or("").trim().trim_matches(['[', ']']);
            return None;
        }
        if line.starts_with([' ', '\t', '#', ']', '}']) {
            return None;
        }
        let (key, value) = line.split_once('=')?;
        Some(Line { number: index + 1, table, key: key.trim(), value: value.trim() })
    })
}

/// The dependencies that end up in the crate itself, with their line numbers; not those of its tests.
pub(super) fn dependencies(text: &str) -> Vec<(usize, &str)> {
    let mut found: Vec<(usize, &str)> = lines(text)
        .filter(|line| kind(line.table) == Some(Kind::Table))
        .map(|line| (line.number, line.key.split('.').next().unwrap_or(line.key).trim_matches('"')))
        .collect();
    // `[dependencies.name]`
    for (index, line) in text.lines().enumerate() {
        let table = line.trim().trim_matches(['[', ']']);
        if line.starts_with('[')
            && let Some(Kind::Named(name)) = kind(table)
        {
            found.push((index + 1, name));
        }
    }
    found
}

/// Whether a line of a dependency table takes its version from the workspace.
pub(super) fn is_from_workspace(line: &Line<'_>) -> bool {
    line.key.ends_with(".workspace") || line.value.contains("workspace = true")
}

/// Whether `table` lists dependencies of any kind, tests included.
pub(super) fn is_dependency_table(table: &str) -> bool {
    kind(table) == Some(Kind::Table) || table.ends_with("dev-dependencies")
}

#[derive(PartialEq, Eq)]
enum Kind<'a> {
    /// A table whose keys are dependencies.
    Table,
    /// A table of one dependency.
    Named(&'a str),
}

fn kind(table: &str) -> Option<Kind<'_>> {
    let table = match table.strip_prefix("target.") {
        // The condition may hold dots; the kind is what follows the last quote or the first dot.
        Some(rest) => rest.rsplit_once("'.").or_else(|| rest.split_once('.'))?.1,
        None => table,
    };
    if table == "dependencies" || table == "build-dependencies" {
        return Some(Kind::Table);
    }
    let name = table.strip_prefix("dependencies.");
    name.or_else(|| table.strip_prefix("build-dependencies.")).map(Kind::Named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_spelling_of_a_dependency() {
        let text = "\
[package]
name = \"x\" # a name

[dependencies]
a = { workspace = true }
b.workspace = true
# c = \"1\"
d = { version = \"1\", features = [
    \"e = 1\",
] }

[dev-dependencies]
f = \"1\"

[target.'cfg(target_os = \"a.b\")'.dependencies]
g = \"1\"

[build-dependencies]
h = \"1\"

[dependencies.i]
version = \"1\"
";
        let mut names: Vec<&str> = dependencies(text).into_iter().map(|(_, name)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "b", "d", "g", "h", "i"]);
    }
}
