//! Settings that several connectors share.

pub mod secret_ref;

pub use secret_ref::SecretRef;
