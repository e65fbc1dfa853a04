//! What single nodes do where the examples of the reference are silent.

use crate::examples::check;

#[test]
fn nodes_behave_at_their_edges() {
    check(include_str!("../cases/nodes.txt"), 3);
}
