//! Names of declared objects.

use std::fmt;

/// Identifies any declared object.
///
/// A reference resolves only inside its own tenant and namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// The tenant; `default` where nobody names one.
    pub tenant: String,
    /// The namespace; `default` where nobody names one.
    pub namespace: String,
    /// The kind, e.g. `DataFlow`.
    pub kind: String,
    /// The name.
    pub name: String,
}

impl ObjectRef {
    /// Makes the reference of an object of the default tenant.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        ObjectRef {
            tenant: "default".into(),
            namespace: namespace.into(),
            kind: kind.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}
