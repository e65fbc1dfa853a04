//! The direction of dependencies between the crates of the workspace.

use super::manifest::dependencies;
use super::{Findings, Tree};

/// One layer: a folder of crates, or one crate, and the layers it may use.
struct Layer {
    name: &'static str,
    may_use: &'static [&'static str],
}

/// The table of the architecture, lowest first. A layer that may use itself holds crates that build on each other;
/// the others hold crates that must not know each other.
const LAYERS: &[Layer] = &[
    Layer { name: "base", may_use: &["base"] },
    Layer { name: "lang", may_use: &["base"] },
    Layer { name: "outside", may_use: &["base", "lang", "outside"] },
    Layer { name: "domain", may_use: &["base", "lang", "outside"] },
    Layer { name: "rim", may_use: &["base", "lang", "outside", "domain"] },
    Layer { name: "server", may_use: &["base", "lang", "outside", "domain", "rim"] },
    Layer { name: "levada", may_use: &["base", "lang", "outside", "domain", "rim", "server"] },
    // Only ever a dependency of tests, so it may know everything that is tested with it.
    Layer { name: "testkit", may_use: &["base", "lang", "outside", "domain"] },
    // The tooling must work when the product does not compile.
    Layer { name: "xtask", may_use: &[] },
];

/// Edges beside the table, each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    // An alert is raised by a task's node and carries the task's state; the two are one plane in two crates.
    ("task", "alert"),
];

/// What the pure layer must not use: it has no I/O, no clock and no runtime.
const IMPURE: &[&str] = &["axum", "mio", "reqwest", "rustix", "socket2", "tokio", "tokio-util"];

pub(super) fn check(tree: &Tree, findings: &mut Findings) {
    let crates: Vec<(&str, &str)> = tree.manifests().filter_map(|file| place(&file.path)).collect();
    for file in tree.manifests() {
        let Some((layer, name)) = place(&file.path) else {
            findings.problem(&file.path, 1, "not in the folder of a layer");
            continue;
        };
        let Some(rule) = LAYERS.iter().find(|rule| rule.name == layer) else {
            let known: Vec<&str> = LAYERS.iter().map(|rule| rule.name).collect();
            let known = known.join(", ");
            findings.problem(&file.path, 1, format!("unknown layer `{layer}`; known: {known}"));
            continue;
        };
        for (line, dependency) in dependencies(&file.text) {
            if layer == "lang" && IMPURE.contains(&dependency) {
                let text = format!("`{dependency}` in a language crate, which must stay pure");
                findings.problem(&file.path, line, text);
            }
            let Some(used) = dependency.strip_prefix("levada-") else {
                continue;
            };
            let Some((used_layer, _)) = crates.iter().find(|(_, name)| *name == used) else {
                findings.problem(&file.path, line, format!("no crate is called `{dependency}`"));
                continue;
            };
            if !rule.may_use.contains(used_layer) && !EXCEPTIONS.contains(&(name, used)) {
                let text = format!("`{name}` ({layer}) must not use `{used}` ({used_layer})");
                findings.problem(&file.path, line, text);
            }
        }
    }
}

/// The layer and the name of a crate, from the path of its manifest.
fn place(path: &str) -> Option<(&str, &str)> {
    let folder = path.strip_suffix("/Cargo.toml")?;
    let folder = folder.strip_prefix("crates/").unwrap_or(folder);
    match folder.split_once('/') {
        Some((layer, name)) if !name.contains('/') => Some((layer, name)),
        Some(_) => None,
        None => Some((folder, folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::problems_of;
    use super::*;

    /// Reports what is wrong when `from` depends on `to`, both existing.
    fn edge(from: &str, to: &str) -> Vec<String> {
        let from_path = format!("{from}/Cargo.toml");
        let to_path = format!("{to}/Cargo.toml");
        let name = to.rsplit('/').next().unwrap_or(to);
        let manifest = format!("[dependencies]\nlevada-{name} = {{ workspace = true }}\n");
        problems_of(check, &[(&from_path, &manifest), (&to_path, "[package]\n")])
    }

    #[test]
    fn down_is_allowed() {
        for (from, to) in [
            ("crates/base/codec", "crates/base/model"),
            ("crates/lang/condition", "crates/base/model"),
            ("crates/outside/connectors", "crates/outside/clients"),
            ("crates/domain/flow", "crates/outside/connectors"),
            ("crates/domain/task", "crates/domain/alert"),
            ("crates/server", "crates/rim/api"),
            ("crates/levada", "crates/server"),
            ("crates/testkit", "crates/outside/connectors"),
        ] {
            assert_eq!(edge(from, to), [""; 0], "{from} -> {to}");
        }
    }

    #[test]
    fn up_and_sideways_is_refused() {
        for (from, to) in [
            ("crates/base/model", "crates/lang/condition"),
            ("crates/lang/tick", "crates/lang/condition"),
            ("crates/outside/connectors", "crates/domain/flow"),
            ("crates/domain/alert", "crates/domain/task"),
            ("crates/domain/flow", "crates/domain/task"),
            ("crates/domain/flow", "crates/testkit"),
            ("crates/rim/operator", "crates/rim/api"),
            ("crates/server", "crates/levada"),
            ("xtask", "crates/base/model"),
        ] {
            assert_eq!(edge(from, to).len(), 1, "{from} -> {to}");
        }
        assert_eq!(
            edge("crates/domain/flow", "crates/domain/task"),
            ["crates/domain/flow/Cargo.toml:2: `flow` (domain) must not use `task` (domain)"]
        );
    }

    #[test]
    fn tests_may_use_the_testkit() {
        let manifest = "[dev-dependencies]\nlevada-testkit = { workspace = true }\n";
        let files = [("crates/base/model/Cargo.toml", manifest), ("crates/testkit/Cargo.toml", "")];
        assert_eq!(problems_of(check, &files), [""; 0]);
    }

    #[test]
    fn languages_are_pure() {
        let manifest = "[dependencies]\ntokio = { workspace = true }\n";
        assert_eq!(problems_of(check, &[("crates/lang/tick/Cargo.toml", manifest)]).len(), 1);
        assert_eq!(problems_of(check, &[("crates/base/runtime/Cargo.toml", manifest)]), [""; 0]);
    }

    #[test]
    fn unknown_places_and_crates_are_named() {
        let files = [("crates/common/utils/Cargo.toml", "")];
        assert!(problems_of(check, &files)[0].contains("unknown layer `common`"));
        let manifest = "[dependencies]\nlevada-ghost = { workspace = true }\n";
        let files = [("crates/base/model/Cargo.toml", manifest)];
        assert!(problems_of(check, &files)[0].contains("no crate is called `levada-ghost`"));
        let files = [("crates/base/model/inner/Cargo.toml", "")];
        assert!(problems_of(check, &files)[0].contains("not in the folder"));
    }
}
