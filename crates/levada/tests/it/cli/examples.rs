//! The flows that users of the original start from, in both generations: all pass `check`.

use super::binary::Folder;
use super::cases::{Generation, blocks};

const EXAMPLES: &str = include_str!("data/examples.txt");

#[test]
fn the_originals_examples_pass() {
    for generation in Generation::BOTH {
        let folder = Folder::new();
        let mut names = Vec::new();
        for block in blocks(EXAMPLES) {
            let name = format!("{}.yaml", block.title);
            folder.file(&name, generation.write(&block.lines.join("\n")));
            let ran = folder.run(&["check", &name]);
            assert_eq!(ran.code, 0, "{name} {generation:?}\n{}", ran.text());
            names.push(name);
        }
        assert!(names.len() >= 20);
        let mut args = vec!["check", "--output", "json"];
        args.extend(names.iter().map(String::as_str));
        let ran = folder.run(&args).ends(0);
        let expected = ["polling source", "below recommended minimum"];
        for finding in ran.json() {
            let message = finding["message"].as_str().unwrap();
            assert!(expected.iter().any(|text| message.contains(text)), "{finding}");
        }
        // A graph and a dry run of each: they parse, compile, and contact nothing.
        folder.file("in.ndjson", "{\"id\":1}\n");
        for name in &names {
            folder.run(&["graph", name]).ends(0);
            let ran = folder.run(&["dry-run", name, "--input", "in.ndjson"]).ends(0);
            assert_eq!(ran.lines().len(), 1);
        }
    }
}
