//! What a request says about who sends it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};

use crate::request::Query;

/// The user name that says that the password is a token of a subscription.
const SUBSCRIBER: &str = "~subscriber";

/// What a request says about who sends it.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A signed token.
    Bearer(String),
    /// A name and a password.
    Password {
        /// The user.
        name: String,
        /// Its password.
        password: String,
    },
    /// The token of a subscription.
    Subscription(String),
}

impl Credentials {
    /// Finds them: a bearer token, a basic header, the parameters `u` and `p`; the first there is.
    ///
    /// - Errors: the text of the refusal.
    pub fn find(headers: &HeaderMap, query: &Query) -> Result<Self, &'static str> {
        const UNREADABLE: &str = "unable to parse authentication credentials";
        if let Some(header) = headers.get(AUTHORIZATION) {
            let header = header.to_str().map_err(|_| UNREADABLE)?;
            let (scheme, rest) = header.split_once(' ').ok_or(UNREADABLE)?;
            if scheme.eq_ignore_ascii_case("bearer") {
                return Ok(Credentials::Bearer(rest.trim().to_owned()));
            }
            if !scheme.eq_ignore_ascii_case("basic") {
                return Err(UNREADABLE);
            }
            let pair = STANDARD.decode(rest.trim()).map_err(|_| UNREADABLE)?;
            let pair = String::from_utf8(pair).map_err(|_| UNREADABLE)?;
            let (name, password) = pair.split_once(':').ok_or(UNREADABLE)?;
            return Self::password(name, password);
        }
        match (query.get("u"), query.get("p")) {
            (Some(name), Some(password)) => Self::password(name, password),
            _ => Err(UNREADABLE),
        }
    }

    fn password(name: &str, password: &str) -> Result<Self, &'static str> {
        match name {
            "" => Err("username required"),
            SUBSCRIBER => Ok(Credentials::Subscription(password.to_owned())),
            _ => Ok(Credentials::Password { name: name.into(), password: password.into() }),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credentials::Bearer(_) => "Bearer(***)",
            Credentials::Password { .. } => "Password(***)",
            Credentials::Subscription(_) => "Subscription(***)",
        })
    }
}
