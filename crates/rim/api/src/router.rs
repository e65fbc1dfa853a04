//! Finds the route of a request.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyper::Method;

use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::request::Request;

/// A route: one line in the table of its dialect.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path; `{name}` is one segment, `{*name}` all that follow.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What body it takes.
    pub body: Body,
    /// Does it.
    pub handle: Handle,
    /// What is answered when it is not done.
    pub refuse: Refuse,
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody: it tells nothing and changes nothing.
    Open,
    /// Those with Kapacitor's privilege for its path: read, write or delete by its method.
    Privilege,
    /// Those with a token of the gateway; where it has none, as [`Access::Privilege`].
    Token,
}

/// What body a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// None; one that is sent is not read.
    None,
    /// A document, up to the setting for documents.
    Document,
    /// Points, up to the setting for points.
    Points,
    /// Points for the gateway, up to its own setting.
    Gateway,
}

/// Does what a route is for.
pub type Handle = fn(Arc<Api>, Request) -> BoxFuture<'static, Result<Answer, ApiError>>;

/// Makes the answer of a refusal, as its dialect has it.
pub type Refuse = fn(&ApiError) -> Answer;

/// All routes.
#[derive(Debug)]
pub struct Router {
    routes: Vec<Route>,
    methods: HashMap<Method, matchit::Router<usize>>,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// To the route of this place, with what its path leaves open.
    Route(usize, Vec<(String, String)>),
    /// To the cleaned path.
    Moved(String),
    /// Nowhere.
    Unknown,
}

/// Kapacitor's preview of its next API. Source: reference (server) §1.1.
const PREVIEW: &str = "/kapacitor/v1preview/";
const STABLE: &str = "/kapacitor/v1/";

// === impl Route ===

impl Route {
    /// Makes a route that needs the privilege of its path and takes no body.
    pub const fn new(method: Method, path: &'static str, handle: Handle) -> Self {
        let refuse = ApiError::answer;
        Route { method, path, access: Access::Privilege, body: Body::None, handle, refuse }
    }

    /// The same for everybody.
    #[must_use]
    pub const fn open(mut self) -> Self {
        self.access = Access::Open;
        self
    }

    /// The same for whoever has a token of the gateway.
    #[must_use]
    pub const fn token(mut self) -> Self {
        self.access = Access::Token;
        self
    }

    /// The same with other refusals.
    #[must_use]
    pub const fn refuses(mut self, refuse: Refuse) -> Self {
        self.refuse = refuse;
        self
    }

    /// The same with a body.
    #[must_use]
    pub const fn takes(mut self, body: Body) -> Self {
        self.body = body;
        self
    }
}

// === impl Router ===

impl Router {
    /// Builds the tables.
    ///
    /// - Errors: two routes take the same paths.
    pub fn new(tables: &[&[Route]]) -> Result<Self, String> {
        let routes: Vec<Route> = tables.iter().flat_map(|table| table.iter().cloned()).collect();
        let mut methods: HashMap<Method, matchit::Router<usize>> = HashMap::new();
        for (place, route) in routes.iter().enumerate() {
            let table = methods.entry(route.method.clone()).or_default();
            table
                .insert(route.path, place)
                .map_err(|error| format!("route {} {}: {error}", route.method, route.path))?;
        }
        Ok(Router { routes, methods })
    }

    /// Gives all routes in the order of the tables.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Finds the route of a decoded path. `OPTIONS` reaches every path that another method has.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Found {
        if let Some(cleaned) = cleaned(path) {
            return Found::Moved(cleaned);
        }
        let stable = path.strip_prefix(PREVIEW).map(|rest| format!("{STABLE}{rest}"));
        for path in std::iter::once(path).chain(stable.as_deref()) {
            let table = self.methods.get(method).and_then(|table| table.at(path).ok());
            let found = match table {
                None if method == Method::OPTIONS => {
                    self.methods.values().find_map(|table| table.at(path).ok())
                }
                found => found,
            };
            if let Some(found) = found {
                let params = found.params.iter();
                let params = params.map(|(name, value)| (name.to_owned(), value.to_owned()));
                return Found::Route(*found.value, params.collect());
            }
        }
        Found::Unknown
    }
}

/// Gives the path without `//`, `.` and `..`, when it has such.
fn cleaned(path: &str) -> Option<String> {
    let is_clean = path.starts_with('/')
        && !path.contains("//")
        && !path.split('/').any(|segment| segment == "." || segment == "..");
    if is_clean {
        return None;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    Some(format!("/{}{end}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NOTHING: Handle = |_, _| Box::pin(async { Err(ApiError::not_found("")) });

    fn find(method: Method, path: &str) -> String {
        let routes = [
            Route::new(Method::GET, "/kapacitor/v1/tasks", NOTHING),
            Route::new(Method::GET, "/kapacitor/v1/tasks/{id}", NOTHING),
            Route::new(Method::GET, "/kapacitor/v1/tasks/{id}/{*endpoint}", NOTHING),
            Route::new(Method::GET, "/kapacitor/v1preview/logs", NOTHING),
        ];
        match Router::new(&[&routes]).unwrap().find(&method, path) {
            Found::Route(place, params) => {
                let params: Vec<String> = params.iter().map(|(n, v)| format!(" {n}={v}")).collect();
                format!("{place}{}", params.concat())
            }
            Found::Moved(path) => format!("moved {path}"),
            Found::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn paths_find_their_routes() {
        let cases = [
            ("/kapacitor/v1/tasks", "0"),
            ("/kapacitor/v1/tasks/a b", "1 id=a b"),
            ("/kapacitor/v1/tasks/a/b/c", "2 id=a endpoint=b/c"),
            ("/kapacitor/v1preview/tasks", "0"),
            ("/kapacitor/v1preview/logs", "3"),
            ("/kapacitor/v1/logs", "unknown"),
            ("/kapacitor/v1/tasks/", "unknown"),
            ("/kapacitor//v1/./x/../tasks", "moved /kapacitor/v1/tasks"),
            ("/..", "moved /"),
            ("/a/../b/", "moved /b/"),
        ];
        for (path, expected) in cases {
            assert_eq!(find(Method::GET, path), expected, "{path}");
        }
        assert_eq!(find(Method::POST, "/kapacitor/v1/tasks"), "unknown");
        assert_eq!(find(Method::OPTIONS, "/kapacitor/v1/tasks"), "0");
        assert_eq!(find(Method::OPTIONS, "/kapacitor/v1/none"), "unknown");
    }

    #[test]
    fn routes_of_the_same_path_are_refused() {
        let routes = [
            Route::new(Method::GET, "/a/{b}", NOTHING),
            Route::new(Method::GET, "/a/{c}", NOTHING),
        ];
        assert!(Router::new(&[&routes]).unwrap_err().starts_with("route GET /a/{c}: "));
    }
}
