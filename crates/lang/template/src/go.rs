//! Texts of values as Go programs print them.
//!
//! ```text
//! print     %v: `map[a:1 b:2]`, `1e+06`, `1m30s`
//! printf    format strings with verbs and flags
//! json      numbers, HTML-safe strings, sorted maps
//! ```
//! Start at [`mod@print`]; the other modules hold one kind of value each.

pub mod duration;
pub mod float;
pub mod json;
pub mod layout;
pub mod print;
pub mod printf;
pub mod quote;
pub mod time;

mod verb;
