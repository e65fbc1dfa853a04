//! `tcp`: sends a JSON line over a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levada_model::Str;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::address_filter::AddressFilter;
use super::deps::HandlerDeps;
use super::kind::{Kind, Place, Rule, StartError, Trouble};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("tcp"),
    option_kind: "tcp",
    summary: "sends a JSON line over a connection of its own",
    rules: &[Rule::text("address", "address").at(Place::Call)],
    check,
    ..Kind::starting(start)
};

struct Tcp {
    address: Str,
    timeout: Duration,
    filter: AddressFilter,
}

fn check(spec: &HandlerSpec) -> Result<(), Trouble> {
    match spec.text("address") {
        Some(_) => Ok(()),
        None => Err(Trouble::enable("tcp address must not be empty")),
    }
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let address = spec.text("address").unwrap_or_default().into();
    Ok(Arc::new(Tcp {
        address,
        timeout: deps.request_timeout,
        filter: deps.clients.filter().clone(),
    }))
}

impl Tcp {
    async fn send(&self, line: &[u8]) -> std::io::Result<()> {
        let addresses = tokio::net::lookup_host(&*self.address).await?;
        let addresses = self.filter.keep(addresses).map_err(std::io::Error::other)?;
        let mut stream = TcpStream::connect(&*addresses).await?;
        stream.write_all(line).await?;
        stream.shutdown().await
    }
}

#[async_trait]
impl Handler for Tcp {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let mut line = event.to_json();
        // Source: reference (server) §4.5: upstream sends an empty line behind the event.
        line.push(b'\n');
        let sent = tokio::time::timeout(self.timeout, self.send(&line)).await;
        let error = match sent {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not done within {:?}", self.timeout),
        };
        Err(HandlerError::new("failed to send event over TCP")
            .with("address", &*self.address)
            .with("error", error))
    }
}
