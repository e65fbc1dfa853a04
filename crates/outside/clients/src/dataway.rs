//! A Dataway: where points go, and what it answers.
//!
//! [`Endpoint`] makes the addresses of an endpoint from the URL of the settings; [`Dataway`] posts bodies to one.
//! Nothing is tried again here: [`Reply`] says what the server answered, and the caller knows what that means.
//!
//! Source: dataway reference §1.5, §1.6, §5; the numbers B1 to B50 are those of its §12.

mod client;
mod endpoint;
mod package;
#[cfg(test)]
mod tests;

pub(crate) use client::reply;
pub use client::{Dataway, DatawayOptions, Forward, Forwarded, Package, Reply};
pub use endpoint::{Endpoint, EndpointError, TokenError, check_token};
pub use package::PackageIds;
