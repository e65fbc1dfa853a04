//! Compares the subscriptions of a cluster with what should be. Source: reference (server) §3.4.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use levada_api::auth::UserError;
use levada_clients::ClientError;
use levada_clients::influxdb::subscriptions::{
    Subscription, create_subscription, drop_subscription, has_no_subscriptions, retentions,
    subscriptions,
};
use levada_codec::line_protocol::Precision;
use levada_settings::{SubscriptionMode, SubscriptionProtocol};
use thiserror::Error;
use uuid::Uuid;

use super::cluster::{Cluster, Here};
use super::destination::Destination;
use crate::inputs::{Listener, Target, UdpSpec, UdpStatistics};

/// What points wait for at most when they came as datagrams of a subscription.
const UDP_BATCH_TIMEOUT: Duration = Duration::from_millis(100);
const UDP_BATCH_POINTS: usize = 1_000;
/// The name that versions before 1.0 gave. Source: reference (server) §3.4.
const OLD_NAME: &str = "kapacitor";
/// One destination is enough.
const MODE: &str = "ANY";

/// A database and a retention policy.
type Pair = (String, String);

/// The sockets of UDP subscriptions.
#[derive(Default)]
pub(super) struct Links {
    /// Held while subscriptions are compared: the API may ask for that at any moment.
    turn: tokio::sync::Mutex<()>,
    sockets: Mutex<BTreeMap<Pair, Arc<Listener>>>,
}

/// Why subscriptions are not what they should be.
#[derive(Debug, Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Server(#[from] ClientError),
    #[error("tokens of subscriptions")]
    Users(#[from] UserError),
    #[error("cannot listen for datagrams of a subscription")]
    Listen(#[from] io::Error),
    #[error("the server does not listen yet")]
    Early,
}

/// What became of a subscription that is there.
enum Found {
    /// It does; with its token.
    Kept(Option<String>),
    Stale,
}

// === impl Links ===

impl Links {
    pub(super) fn statistics(&self) -> Vec<UdpStatistics> {
        self.lock().values().map(|socket| socket.statistics()).collect()
    }

    /// Takes no more datagrams; waits until those that came have reached the tasks.
    pub(super) async fn stop(&self) {
        let sockets: Vec<_> = std::mem::take(&mut *self.lock()).into_values().collect();
        for socket in sockets {
            socket.stop().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Pair, Arc<Listener>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Cluster ===

impl Cluster {
    /// Drops what is stale, makes what is missing; gives how many there are.
    pub(super) async fn compare(&self) -> Result<usize, LinkError> {
        let here = self.here.get().ok_or(LinkError::Early)?;
        let _turn = self.links.turn.lock().await;
        let present = subscriptions(&*self.server).await?;
        let wanted: BTreeSet<Pair> = retentions(&*self.server)
            .await?
            .into_iter()
            .filter(|(database, retention)| self.wanted.wants(database, retention))
            .collect();
        self.links.lock().retain(|pair, _| wanted.contains(pair));
        let (mut kept, mut tokens) = (BTreeSet::new(), Vec::new());
        // What fails for one does not keep the others from being made.
        let mut failed = None;
        for subscription in present.iter().filter(|one| self.is_ours(one, here)) {
            let pair = (subscription.database.clone(), subscription.retention.clone());
            let is_candidate = subscription.name == self.own_name()
                && wanted.contains(&pair)
                && !kept.contains(&pair);
            let found = match is_candidate {
                true => self.look_at(subscription, &pair, here).await?,
                false => Found::Stale,
            };
            match found {
                Found::Kept(token) => {
                    kept.insert(pair);
                    tokens.extend(token);
                }
                Found::Stale => match drop_subscription(&*self.server, subscription).await {
                    Ok(()) => self.tell_change("dropped", subscription),
                    Err(error) => {
                        // Its token keeps its rights as long as it is there.
                        let first = subscription.destinations.first();
                        tokens.extend(first.and_then(|text| Destination::parse(text)?.token));
                        failed = Some(LinkError::from(error));
                    }
                },
            }
        }
        for pair in wanted.difference(&kept.clone()) {
            match self.create(pair, here).await {
                Ok(token) => {
                    kept.insert(pair.clone());
                    tokens.extend(token);
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(users) = &self.users {
            users.keep_subscriptions(&self.name, &tokens).await?;
        }
        failed.map_or(Ok(kept.len()), Err)
    }

    /// Drops all subscriptions of this server, and ends the rights of their tokens.
    pub(super) async fn unlink(&self) -> Result<(), LinkError> {
        let Some(here) = self.here.get() else { return Ok(()) };
        if let Some(users) = &self.users {
            users.keep_subscriptions(&self.name, &[]).await?;
        }
        if self.settings.disable_subscriptions {
            return Ok(());
        }
        let present = match subscriptions(&*self.server).await {
            Err(error) if has_no_subscriptions(&error) => return Ok(()),
            present => present?,
        };
        for subscription in present.iter().filter(|one| self.is_ours(one, here)) {
            drop_subscription(&*self.server, subscription).await?;
            self.tell_change("dropped", subscription);
        }
        Ok(())
    }

    /// Says whether a subscription is this server's, by its name, and for names that others may have, by where it goes.
    fn is_ours(&self, subscription: &Subscription, here: &Here) -> bool {
        let name = &*subscription.name;
        let comes_here = || {
            let first = subscription.destinations.first();
            first.and_then(|text| Destination::parse(text)).is_some_and(|destination| {
                destination.host.eq_ignore_ascii_case(&here.host)
                    && (destination.port == here.port || destination.scheme == "udp")
            })
        };
        let ids = [&self.identity.cluster_id, &self.identity.server_id];
        let is_named_by_us = || ids.iter().any(|id| name == format!("{OLD_NAME}-{id}"));
        name == self.own_name()
            || name == self.identity.cluster_id
            || (is_named_by_us() || name == OLD_NAME) && comes_here()
    }

    fn own_name(&self) -> String {
        let id = match self.settings.subscription_mode {
            SubscriptionMode::Cluster => &self.identity.cluster_id,
            SubscriptionMode::Server => &self.identity.server_id,
        };
        format!("{OLD_NAME}-{id}")
    }

    async fn look_at(
        &self,
        subscription: &Subscription,
        pair: &Pair,
        here: &Here,
    ) -> Result<Found, LinkError> {
        let first = subscription.destinations.first();
        let Some(found) = first.and_then(|text| Destination::parse(text)) else {
            return Ok(Found::Stale);
        };
        let port = match self.settings.subscription_protocol {
            SubscriptionProtocol::Udp => {
                self.links.lock().get(pair).map_or(0, |socket| socket.port())
            }
            _ => here.port,
        };
        let is_right = found.is_like(&self.destination(here, port))
            && subscription.destinations.len() == 1
            && subscription.mode.eq_ignore_ascii_case(MODE);
        if !is_right {
            return Ok(Found::Stale);
        }
        let is_known = match (self.tokens(), &found.token) {
            (None, None) => true,
            (Some(users), Some(token)) => {
                users.subscription(token).await?.as_ref() == Some(&pair.0)
            }
            _ => false,
        };
        Ok(if is_known { Found::Kept(found.token) } else { Found::Stale })
    }

    /// Makes a subscription; gives its token.
    async fn create(&self, pair: &Pair, here: &Here) -> Result<Option<String>, LinkError> {
        let port = match self.settings.subscription_protocol {
            SubscriptionProtocol::Udp => self.socket(pair, here)?,
            _ => here.port,
        };
        let mut destination = self.destination(here, port);
        if let Some(users) = self.tokens() {
            let token = token(&self.name);
            users.grant_subscription(&token, &self.name, &pair.0).await?;
            destination.token = Some(token);
        }
        let subscription = Subscription {
            database: pair.0.clone(),
            retention: pair.1.clone(),
            name: self.own_name(),
            mode: MODE.to_owned(),
            destinations: vec![destination.text()],
        };
        create_subscription(&*self.server, &subscription).await?;
        self.tell_change("created", &subscription);
        Ok(destination.token)
    }

    /// Gives the port of the socket for a pair; makes the socket when there is none.
    fn socket(&self, pair: &Pair, here: &Here) -> Result<u16, LinkError> {
        let mut sockets = self.links.lock();
        if let Some(socket) = sockets.get(pair) {
            return Ok(socket.port());
        }
        let every = match here.is_local {
            true => Ipv4Addr::LOCALHOST,
            false => Ipv4Addr::UNSPECIFIED,
        };
        let address = match self.settings.udp_bind.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, 0).to_string(),
            Err(_) if self.settings.udp_bind.is_empty() => {
                SocketAddr::new(every.into(), 0).to_string()
            }
            Err(_) => format!("{}:0", self.settings.udp_bind),
        };
        let spec = UdpSpec {
            bind: address,
            shown: format!("subscription {} {}.{}", self.name, pair.0, pair.1),
            read_buffer: self.settings.udp_read_buffer.as_usize(),
            buffer: self.settings.udp_buffer,
            target: Target {
                database: pair.0.as_str().into(),
                retention: pair.1.as_str().into(),
                precision: Precision::Nanoseconds,
                batch_points: UDP_BATCH_POINTS,
                batch_timeout: UDP_BATCH_TIMEOUT,
            },
        };
        let socket = Listener::udp(spec, &self.inputs)?;
        let port = socket.port();
        sockets.insert(pair.clone(), Arc::new(socket));
        Ok(port)
    }

    fn destination(&self, here: &Here, port: u16) -> Destination {
        let (scheme, path) = match self.settings.subscription_protocol {
            SubscriptionProtocol::Udp => ("udp", ""),
            SubscriptionProtocol::Http if !here.is_tls => {
                ("http", &*self.settings.subscription_path)
            }
            // A server with a certificate takes nothing else.
            _ => ("https", &*self.settings.subscription_path),
        };
        Destination {
            scheme: scheme.to_owned(),
            token: None,
            host: here.host.clone(),
            port,
            path: path.trim_end_matches('/').to_owned(),
        }
    }

    /// Gives the users when subscriptions need a token.
    fn tokens(&self) -> Option<&levada_api::auth::Users> {
        let is_udp = self.settings.subscription_protocol == SubscriptionProtocol::Udp;
        self.users.as_deref().filter(|_| !is_udp)
    }

    fn tell_change(&self, change: &str, subscription: &Subscription) {
        match change {
            "created" => self.metrics.created.inc(),
            _ => self.metrics.dropped.inc(),
        }
        let Subscription { database, retention, name, .. } = subscription;
        tracing::info!(cluster = self.name, database, retention, name, "subscription {change}");
    }
}

// === impl LinkError ===

impl LinkError {
    /// Says whether the server has no subscriptions at all.
    pub(super) fn is_unsupported(&self) -> bool {
        matches!(self, LinkError::Server(error) if has_no_subscriptions(error))
    }
}

/// Makes a token: the cluster's name and 64 random bytes.
fn token(cluster: &str) -> String {
    let mut bytes = format!("{cluster};").into_bytes();
    (0..4).for_each(|_| bytes.extend(Uuid::new_v4().as_bytes()));
    URL_SAFE_NO_PAD.encode(bytes)
}
