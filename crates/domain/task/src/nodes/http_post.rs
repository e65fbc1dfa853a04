//! `httpPost`: sends each item to a server and hands it on when the answer is there.

mod running;
mod templates;

use levada_tick::script::{CallError, Value};
use serde_json::{Value as Json, json};

use crate::property::types::{text, text_argument, text_arguments};
use crate::property::{Flag, Nanos, Pairs, PropertyType, Strings, Text};
use crate::runtime::services::Endpoint;
use crate::runtime::{Node, StartContext};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::spec_json;

use running::Running;
use templates::Texts;

pub use running::WAITING_MAX;

/// `|httpPost('url')`
#[derive(Clone, Debug, Default)]
pub struct HttpPost {
    urls: Strings,
    endpoints: Endpoints,
    headers: Pairs,
    code_field: Text,
    capture_response: Flag,
    timeout: Nanos,
}

crate::properties! {
    HttpPost {
        "urls" => urls,
        "endpoint" => endpoints,
        "header" => headers,
        "codeField" => code_field,
        "captureResponse" => capture_response,
        "timeout" => timeout,
    }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "httpPost",
    type_name: "HTTPPostNode",
    desc: "http_post",
    json_type: "httpPost",
    summary: "sends each item to a server",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        let urls = Strings(text_arguments(args)?);
        builder.add(parent, Box::new(HttpPost { urls, ..HttpPost::default() }))
    },
    empty: || Box::new(HttpPost::default()),
};

/// `endpoint(name)`, which may be called once; more calls are refused when the task is defined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints(pub Vec<String>);

// === impl HttpPost ===

impl HttpPost {
    /// Gives the texts to be rendered, and the headers that the endpoint has.
    fn texts(&self, endpoint: Option<&Endpoint>) -> Result<Texts, String> {
        let url = match (self.urls.0.first(), endpoint) {
            (Some(url), _) => url,
            (None, Some(endpoint)) => &endpoint.url,
            (None, None) => return Err("must provide url or endpoint".to_owned()),
        };
        Texts::new(url, endpoint.map_or("", |endpoint| &endpoint.row_template))
    }
}

impl Spec for HttpPost {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn has_property(&self, name: &str) -> bool {
        !crate::property::is_same_name("urls", name)
            && crate::property::find::<Self>(name).is_some()
    }

    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<crate::spec::Set, CallError> {
        crate::property::set(self, name, args).map(|()| crate::spec::Set::Field)
    }

    fn read(&self, name: &str) -> Option<Value> {
        let property = crate::property::find::<Self>(name).filter(|_| self.has_property(name))?;
        Some((property.get)(self).read())
    }

    fn calls(&self) -> Vec<crate::property::PropertyCall> {
        let calls = crate::property::calls(self);
        calls.into_iter().filter(|call| call.name != "urls").collect()
    }

    fn boxed_clone(&self) -> Box<dyn Spec> {
        Box::new(self.clone())
    }

    spec_json!();

    fn args(&self) -> Vec<Value> {
        self.urls.0.iter().map(|url| text(url)).collect()
    }

    fn validate(&self) -> Result<(), String> {
        let (urls, endpoints) = (self.urls.0.len(), self.endpoints.0.len());
        if urls > 1 {
            return Err(format!("httpPost expects 0 or 1 arguments, got {urls}"));
        }
        if endpoints > 1 {
            return Err(format!("httpPost expects 0 or 1 endpoints, got {endpoints}"));
        }
        match (urls, endpoints) {
            (0, 0) => return Err("must provide url or endpoint".to_owned()),
            (1, 1) => return Err("only one endpoint and url may be specified".to_owned()),
            _ => {}
        }
        if self.headers.0.iter().any(|(name, _)| name.eq_ignore_ascii_case("authenticate")) {
            return Err("cannot set 'authenticate' header".to_owned());
        }
        Ok(())
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        if self.urls.0.is_empty() { Ok(()) } else { self.texts(None).map(|_| ()) }
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        let endpoint = match self.endpoints.0.first() {
            Some(name) => {
                let known = ctx.services.endpoint(name);
                Some(known.ok_or_else(|| format!("endpoint '{name}' does not exist"))?)
            }
            None => None,
        };
        let texts = self.texts(endpoint.as_ref())?;
        let mut headers = Vec::new();
        // Upstream: a body of a row template has no content type of its own.
        if !texts.has_row() {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        let of_endpoint = endpoint.into_iter().flat_map(|endpoint| endpoint.headers);
        for (name, value) in of_endpoint.chain(self.headers.0.iter().cloned()) {
            headers.retain(|(known, _): &(String, String)| !known.eq_ignore_ascii_case(&name));
            headers.push((name, value));
        }
        Ok(Box::new(Running::new(self, texts, headers)))
    }
}

// === impl Endpoints ===

impl PropertyType for Endpoints {
    fn set(&mut self, _name: &str, args: Vec<Value>) -> Result<(), CallError> {
        let [name] = crate::property::types::exactly::<1>(args)?;
        self.0.push(text_argument(name)?);
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        self.0.iter().map(|name| vec![text(name)]).collect()
    }

    fn json(&self) -> Json {
        json!(self.0)
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        let mut names = Strings::default();
        names.load(json)?;
        self.0 = names.0;
        Ok(())
    }

    fn read(&self) -> Value {
        Value::List(self.0.iter().map(|name| text(name)).collect())
    }
}
