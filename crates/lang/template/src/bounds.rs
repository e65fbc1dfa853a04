//! How much a template may be and do.

/// The longest template text, in bytes.
pub const TEXT_MAX: usize = 1 << 20;

/// How deep blocks and parentheses nest.
pub const NESTING_MAX: usize = 100;

/// How deep rendering goes: blocks, parentheses and templates within templates.
///
/// Differs: upstream allows 100000 templates, for which its stacks grow; the text is the same.
pub const DEPTH_MAX: usize = 250;

/// How much work rendering may be: one unit per node and value, and one per [`BYTES_PER_STEP`]
/// bytes of text.
pub const STEPS_MAX: usize = 2_000_000;

/// Bytes of text that count as one step.
pub const BYTES_PER_STEP: usize = 32;

/// The most bytes that a template writes, and that one of its values takes.
pub const OUTPUT_MAX: usize = 8 << 20;

/// How many copies of templates the contexts of an html template may need.
pub const CONTEXTS_MAX: usize = 1_000;
