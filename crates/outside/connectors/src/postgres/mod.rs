//! What the PostgreSQL source and sink share: connections, names, the catalog, errors by SQLSTATE.

pub(crate) mod catalog;
pub(crate) mod connect;
pub(crate) mod error;
pub(crate) mod name;

pub(crate) use catalog::{Kind, Table};
pub(crate) use connect::Target;
pub(crate) use error::{Fault, FaultKind};
pub(crate) use name::{TableName, quoted};
