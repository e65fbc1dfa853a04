//! Reads the case files: blocks that start with `== title`, lines that start with `#` left out.

/// A block of a case file.
pub(super) struct Block<'t> {
    pub(super) title: &'t str,
    /// The line of the title in the case file.
    pub(super) line: usize,
    pub(super) lines: Vec<&'t str>,
}

/// Splits a case file into its blocks.
pub(super) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(title) = line.strip_prefix("== ") {
            blocks.push(Block { title, line: number + 1, lines: Vec::new() });
        } else if !line.is_empty() && !line.starts_with('#') {
            let block = blocks.last_mut().expect("a case file starts with a title");
            block.lines.push(line);
        }
    }
    blocks
}

/// How a manifest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// Settings in a block named like the type.
    Typed,
    /// Settings in `config`.
    Config,
}

impl Generation {
    pub(super) const BOTH: [Generation; 2] = [Generation::Typed, Generation::Config];

    /// Writes `@kafka` as `kafka` or as `config`.
    pub(super) fn write(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut parts = text.split('@');
        out.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let end = part.find(|c| !is_name(c)).unwrap_or(part.len());
            let (name, rest) = part.split_at(end);
            out.push_str(if self == Generation::Typed { name } else { "config" });
            out.push_str(rest);
        }
        out
    }

    /// Makes a manifest of lines of a `spec`; without a source or a sink it gets the smallest ones.
    ///
    /// The first line of the spec is line 5 of the manifest, two columns further right.
    pub(super) fn manifest(self, spec: &[&str], completes: bool) -> String {
        let mut text = String::from(
            "apiVersion: dataflow.dataflow.io/v1\nkind: DataFlow\nmetadata: {name: t}\nspec:\n",
        );
        let has = |key: &str| spec.iter().any(|line| line.starts_with(key));
        let mut lines = spec.to_vec();
        if completes && !has("source:") {
            lines.push("source: {type: stdin, @stdin: {}}");
        }
        if completes && !has("sink:") {
            lines.push("sink: {type: blackhole, @blackhole: {}}");
        }
        for line in lines {
            text.push_str(&format!("  {}\n", self.write(line)));
        }
        text
    }
}
