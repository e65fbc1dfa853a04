//! Every admission rule as a pair: the smallest manifest that breaks it, with the problems that
//! `check` prints, and the smallest valid one beside it. Both generations, from `data/rules.txt`.

use super::binary::Folder;
use super::cases::{Block, Generation, blocks};

const RULES: &str = include_str!("data/rules.txt");

/// One rule in one generation.
struct Rule {
    invalid: String,
    problems: Vec<String>,
    valid: String,
    warnings: Vec<String>,
}

/// Reads a rule; `None`: it is about the other generation.
fn rule(block: &Block<'_>, generation: Generation) -> Option<Rule> {
    let (mut invalid, mut valid) = (Vec::new(), Vec::new());
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let (mut is_valid, mut completes) = (false, true);
    for &line in &block.lines {
        match line {
            "ok" => is_valid = true,
            "bare" => completes = false,
            "only typed" if generation == Generation::Config => return None,
            "only config" if generation == Generation::Typed => return None,
            "only typed" | "only config" => {}
            _ => match (line.strip_prefix("-> "), is_valid) {
                (Some(problem), false) => problems.push(generation.write(problem)),
                (Some(warning), true) => warnings.push(generation.write(warning)),
                (None, false) => invalid.push(line),
                (None, true) => valid.push(line),
            },
        }
    }
    Some(Rule {
        invalid: generation.manifest(&invalid, completes),
        problems,
        valid: generation.manifest(&valid, true),
        warnings,
    })
}

/// Gives what differs between the lines that were printed and those that were expected.
fn compare(printed: &[&str], file: &str, expected: &[String]) -> Option<String> {
    let got: Vec<&str> =
        printed.iter().filter_map(|line| line.strip_prefix(file)?.strip_prefix(':')).collect();
    let is_same = got.len() == expected.len()
        && got.iter().zip(expected).all(|(got, expected)| {
            // `line:column: path: text`, or no place where it is of no interest.
            let without_place = got.splitn(3, ':').nth(2).map(str::trim_start);
            *got == expected || without_place == Some(expected.as_str())
        });
    (!is_same).then(|| format!("expected {expected:#?}\ngot      {got:#?}"))
}

fn check(generation: Generation) {
    let folder = Folder::new();
    let mut failures = Vec::new();
    let mut valid = Vec::new();
    for block in blocks(RULES) {
        let at = format!("rules.txt:{}: {}", block.line, block.title);
        let Some(rule) = rule(&block, generation) else { continue };
        assert!(!rule.problems.is_empty(), "{at} expects no problem");
        let name = format!("invalid-{}.yaml", block.line);
        folder.file(&name, &rule.invalid);
        let ran = folder.run(&["check", &name]);
        // Warnings alone refuse nothing.
        let is_refused = rule.problems.iter().any(|problem| !problem.contains("warning: "));
        let code = i32::from(is_refused);
        let difference = compare(&ran.lines(), &name, &rule.problems);
        if let Some(difference) = difference {
            failures.push(format!("{at}\n{}{difference}\n{}", rule.invalid, ran.stderr));
        } else if ran.code != code {
            failures.push(format!("{at}\nended with {}, not {code}", ran.code));
        }
        let name = format!("valid-{}.yaml", block.line);
        folder.file(&name, &rule.valid);
        valid.push((name, at, rule));
    }
    let mut args = vec!["check"];
    args.extend(valid.iter().map(|(name, _, _)| name.as_str()));
    let ran = folder.run(&args);
    for (name, at, rule) in &valid {
        if let Some(difference) = compare(&ran.lines(), name, &rule.warnings) {
            failures.push(format!("{at}: its valid neighbour\n{}{difference}", rule.valid));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
    assert_eq!(ran.code, 0);
}

#[test]
fn every_rule_in_the_typed_shape() {
    check(Generation::Typed);
}

#[test]
fn every_rule_in_the_config_shape() {
    check(Generation::Config);
}
