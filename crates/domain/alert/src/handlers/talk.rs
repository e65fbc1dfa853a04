//! `talk`: posts to Talk.

use super::kind::Kind;

pub(super) static KIND: Kind =
    Kind { method: Some("talk"), option_kind: "talk", summary: "posts to Talk", ..Kind::BASE };
