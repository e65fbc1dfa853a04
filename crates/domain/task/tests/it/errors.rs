//! What is refused, with exact texts, and what crashed upstream and does not here.

use crate::examples::check;

/// Scripts that cannot be defined or enabled, and one whose points fail.
#[test]
fn scripts_are_refused_with_exact_texts() {
    check(include_str!("../cases/errors.txt"), 46);
}

#[test]
fn what_crashed_upstream_does_not_crash() {
    check(include_str!("../cases/crashes.txt"), 13);
}
