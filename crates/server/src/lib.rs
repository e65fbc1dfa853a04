//! Composition root: settings become running roles.
