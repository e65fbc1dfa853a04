//! Which permission allows what.

use std::fmt;

use hyper::Method;
use serde::{Deserialize, Serialize};

/// What a request does to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Looks at it.
    Read,
    /// Makes or changes it.
    Write,
    /// Deletes it.
    Delete,
}

/// What a user was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Nothing.
    None,
    /// The API, without points and configuration.
    Api,
    /// The configuration.
    ConfigApi,
    /// Points, of every database unless the user is bound to some.
    WritePoints,
    /// Everything but users.
    All,
}

/// Says yes or no for a path and what is below it; the longest one that fits decides.
type Grants = &'static [(&'static str, bool)];

impl Action {
    /// Gives what a method does; nothing where it needs no privilege.
    pub fn of(method: &Method) -> Option<Action> {
        match *method {
            Method::HEAD | Method::OPTIONS => None,
            Method::GET => Some(Action::Read),
            Method::DELETE => Some(Action::Delete),
            _ => Some(Action::Write),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Read => "read",
            Action::Write => "write",
            Action::Delete => "delete",
        })
    }
}

impl Permission {
    /// Reads the name of a permission.
    pub fn parse(text: &str) -> Option<Permission> {
        [Self::None, Self::Api, Self::ConfigApi, Self::WritePoints, Self::All]
            .into_iter()
            .find(|permission| permission.name() == text)
    }

    /// Gives its name.
    pub fn name(self) -> &'static str {
        match self {
            Permission::None => "none",
            Permission::Api => "api",
            Permission::ConfigApi => "config_api",
            Permission::WritePoints => "write_points",
            Permission::All => "all",
        }
    }

    /// Tells whether it lets in to a resource such as `/api/tasks`. All actions are granted alike.
    pub fn allows(self, resource: &str) -> bool {
        let grants: Grants = match self {
            Permission::None => &[],
            // Differs: users are for administrators; whoever may make users may do everything.
            Permission::Api => &[
                ("/api", true),
                ("/api/write", false),
                ("/api/config", false),
                ("/api/users", false),
                ("/api/storage/backup", false),
            ],
            Permission::ConfigApi => &[("/api/ping", true), ("/api/config", true)],
            Permission::WritePoints => &[("/api/ping", true), ("/api/write", true)],
            Permission::All => &[("/api", true), ("/api/users", false)],
        };
        let deciding = grants
            .iter()
            .filter(|(path, _)| is_within(resource, path))
            .max_by_key(|(path, _)| path.len());
        deciding.is_some_and(|(_, allowed)| *allowed)
    }

    /// Tells whether it lets points in.
    pub fn allows_points(self) -> bool {
        matches!(self, Permission::WritePoints | Permission::All)
    }
}

/// Gives the resource of a path.
pub(super) fn resource(path: &str) -> String {
    for prefix in ["/kapacitor/v1preview/", "/kapacitor/v1/"] {
        if let Some(rest) = path.strip_prefix(prefix) {
            return format!("/api/{rest}");
        }
    }
    format!("/api{path}")
}

fn is_within(resource: &str, path: &str) -> bool {
    resource.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_grant_decides() {
        let cases = [
            ("/kapacitor/v1/ping", "api config_api write_points all"),
            ("/kapacitor/v1/tasks/a", "api all"),
            ("/kapacitor/v1preview/tasks/a", "api all"),
            ("/kapacitor/v1/write", "write_points all"),
            ("/write", "write_points all"),
            ("/kapacitor/v1/writer", "api all"),
            ("/kapacitor/v1/config/influxdb", "config_api all"),
            ("/kapacitor/v1/users", ""),
            ("/kapacitor/v1/users/bob", ""),
            ("/kapacitor/v1/storage/backup", "all"),
            ("/metrics", "api all"),
        ];
        for (path, expected) in cases {
            let allowed: Vec<&str> = ["none", "api", "config_api", "write_points", "all"]
                .into_iter()
                .filter(|name| {
                    Permission::parse(name).is_some_and(|given| given.allows(&resource(path)))
                })
                .collect();
            assert_eq!(allowed.join(" "), expected, "{path}");
        }
    }
}
