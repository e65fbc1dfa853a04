//! Finding the settings of a typed block in either generation's shape.

use levada_registry::{FieldPath, Named, Node, NodeValue, Report};

/// What a block is, in the words of the webhook's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Source,
    Sink,
    Transformation,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Sink => "sink",
            Role::Transformation => "transformation",
        }
    }
}

/// The settings of a source, sink or transformation.
pub(super) struct Block<'n, E: 'static> {
    /// The line of the table.
    pub(super) entry: &'static E,
    /// The settings.
    pub(super) node: &'n Node,
    /// The path of the settings: the type's name or `config`, as it was written.
    pub(super) path: FieldPath,
    outer: &'n Node,
    outer_path: FieldPath,
}

impl<'n, E: Named> Block<'n, E> {
    /// Finds the block for the type that `outer` names, or reports why there is none.
    ///
    /// Source: dataflow-operator.md §7.1 for order and texts, §7.2 for the second generation's.
    pub(super) fn find(
        role: Role,
        table: &'static [E],
        outer: Option<&'n Node>,
        at: &FieldPath,
        uses_config: bool,
        report: &mut Report,
    ) -> Option<Self> {
        let word = role.word();
        if let Some(node) = outer
            && node.map().is_none()
        {
            report.invalid(at, node.to_json(), "must be a map");
            return None;
        }
        let kind = outer.and_then(|node| node.get("type")).and_then(Node::scalar_text);
        let Some(kind) = kind.filter(|kind| !kind.is_empty()) else {
            report.required(&at.child("type"), &format!("{word} type is required"));
            return None;
        };
        let outer = outer?;
        let Some(entry) = table
            .iter()
            .find(|entry| entry.name() == kind || entry.aliases().contains(&kind.as_str()))
        else {
            report.unsupported(&at.child("type"), &kind, table.iter().map(Named::name));
            return None;
        };
        let typed = outer.get(&kind).map(|node| (kind.as_str(), node)).or_else(|| {
            let mut names = std::iter::once(entry.name()).chain(entry.aliases().iter().copied());
            names.find_map(|name| outer.get(name).map(|node| (name, node)))
        });
        let (name, node) = match (typed, outer.get("config")) {
            (Some((name, _)), Some(_)) => {
                let detail = format!("may not be set together with `{name}`; use one of them");
                report.forbidden(&at.child("config"), &detail);
                return None;
            }
            (Some(found), None) => found,
            (None, Some(node)) => ("config", node),
            (None, None) => {
                let (name, hint) = match (uses_config, kind.as_str()) {
                    (true, "router") => ("config", " (config or router)"),
                    (true, _) => ("config", ""),
                    (false, name) => (name, ""),
                };
                let text = format!("{kind} {word} configuration is required{hint}");
                report.required(&at.child(name), &text);
                return None;
            }
        };
        if !matches!(node.value, NodeValue::Map(_)) {
            report.invalid(&at.child(name), node.to_json(), "must be a map");
            return None;
        }
        let path = at.child(name);
        Some(Block { entry, node, path, outer, outer_path: at.clone() })
    }

    /// Warns about fields beside the block that have no effect.
    pub(super) fn warn_about_others(&self, table: &[E], known: &[&str], report: &mut Report) {
        let used = self.path.segments().last().cloned();
        for entry in self.outer.map().unwrap_or_default() {
            let key = entry.key.as_str();
            let is_used = used == Some(levada_registry::Segment::Field(key.to_owned()));
            if is_used || key == "type" || key == "config" || known.contains(&key) {
                continue;
            }
            let is_type = |other: &E| other.name() == key || other.aliases().contains(&key);
            let text = if table.iter().any(is_type) {
                let kind = self.entry.name();
                format!("the block `{key}` is ignored, because the type is `{kind}`")
            } else {
                let list = known.join(", ");
                let comma = if list.is_empty() { "" } else { ", " };
                format!("unknown field `{key}`; known: type, config{comma}{list} (ignored)")
            };
            report.warning(&self.outer_path.child(key), text);
        }
    }
}
