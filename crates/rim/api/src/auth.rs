//! Users, what they may do, and the gate that asks who somebody is.
//!
//! Source: reference (server) §7.4. Every route is closed to those without its privilege; only routes that are [`Access::Open`] are not.

mod credentials;
mod privilege;
mod token;
mod users;

use std::sync::Arc;

use async_trait::async_trait;
use hyper::StatusCode;

pub use credentials::Credentials;
pub use privilege::{Action, Permission};
pub use token::{TokenError, sign_token};
pub use users::{NewUser, User, UserError, UserKind, Users, UsersSettings};

use crate::api::{Gate, Visit};
use crate::error::ApiError;
use crate::router::Access;

/// Lets in those whom [`Users`] knows, as far as their privileges go.
#[derive(Debug)]
pub struct UserGate(pub Arc<Users>);

fn refused(text: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, text).compact()
}

#[async_trait]
impl Gate for UserGate {
    async fn admit(&self, visit: Visit<'_>) -> Result<Option<String>, ApiError> {
        if visit.access == Access::Open {
            return Ok(None);
        }
        let credentials = Credentials::find(visit.headers, visit.query).map_err(refused)?;
        let user = self.0.authenticate(&credentials).await.map_err(|error| match error {
            UserError::Refused(text) => refused(text),
            error => error.into(),
        })?;
        let Some(action) = Action::of(visit.method) else { return Ok(Some(user.name)) };
        match user.may(visit.path) {
            true => Ok(Some(user.name)),
            false => {
                let (name, path) = (&user.name, visit.path);
                let text = format!(
                    "user {name} does not have \"{action}\" privilege for API endpoint {path:?}"
                );
                Err(ApiError::new(StatusCode::FORBIDDEN, text).compact())
            }
        }
    }

    async fn may_write(&self, user: Option<&str>, database: &str) -> Result<(), String> {
        let name = user.unwrap_or_default();
        let refused =
            || format!("{name:?} user is not authorized to write to database {database:?}");
        let user = self.0.get(name).await.map_err(|error| error.to_string())?;
        match user.is_some_and(|user| user.may_write(database)) {
            true => Ok(()),
            false => Err(refused()),
        }
    }
}
