//! Settings that several connectors share.

pub mod avro;
pub mod basic_auth;
pub mod batch;
pub mod bearer;
pub mod catalog;
pub mod identifier;
pub mod kafka;
pub mod keycloak;
pub mod limits;
pub mod raw_mode;
pub mod sasl;
pub mod schema_registry;
pub mod secret_ref;
pub mod tls;
pub mod words;

pub use basic_auth::BasicAuth;
pub use bearer::Bearer;
pub use keycloak::Keycloak;
pub use sasl::Sasl;
pub use schema_registry::SchemaRegistry;
pub use secret_ref::SecretRef;
pub use tls::Tls;
