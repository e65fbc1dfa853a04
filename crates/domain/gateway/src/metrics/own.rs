//! The metrics of what comes in, and of senders.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use levada_telemetry::metrics::{
    Counter, CounterFamily, IntGauge, IntGaugeFamily, MetricsError, Registry,
};

use super::Shown;
use crate::deliver::{EndpointState, SendStats, Sender};
use crate::gateway::GatewayStats;

type ReadGateway = fn(&GatewayStats) -> &AtomicU64;
type ReadSender = fn(&SendStats) -> &AtomicU64;

/// What came in. `received = filtered + no field + nowhere + routed`, in points.
const GATEWAY_COUNTERS: &[(&str, &str, ReadGateway)] = &[
    ("levada_gateway_bodies_total", "Bodies that were taken.", |s| &s.bodies),
    ("levada_gateway_refused_bodies_total", "Bodies that were refused.", |s| &s.refused_bodies),
    ("levada_gateway_received_points_total", "Points of bodies that were taken.", |s| &s.received),
    ("levada_gateway_filtered_points_total", "Points that drop filters dropped.", |s| &s.filtered),
    ("levada_gateway_no_field_points_total", "Points that had no field.", |s| &s.no_field),
    ("levada_gateway_nowhere_points_total", "Points that no sinker and no default wants.", |s| {
        &s.nowhere
    }),
    ("levada_gateway_routed_points_total", "Points that go to one destination or more.", |s| {
        &s.routed
    }),
    ("levada_gateway_warnings_total", "Things that were changed in points.", |s| &s.warnings),
    ("datakit_filter_update_total", "Changes of rules that were made.", |s| &s.reloads),
    ("levada_gateway_rules_refused_total", "Changes of rules that were refused.", |s| {
        &s.reload_errors
    }),
];

const SENDER_COUNTERS: &[(&str, &str, ReadSender)] = &[
    ("levada_gateway_requests_total", "Requests to a destination.", |s| &s.requests),
    ("levada_gateway_repeated_requests_total", "Requests beside the first of each body.", |s| {
        &s.retries
    }),
    ("levada_gateway_splits_total", "Bodies that were halved.", |s| &s.splits),
    ("levada_gateway_joined_total", "Bodies that were sent together with others.", |s| &s.joined),
];

/// The metrics of what comes in, and of senders, as of the last look.
pub struct GatewayMetrics {
    gateway: Vec<Shown>,
    senders: Vec<CounterFamily<1>>,
    in_flight: IntGaugeFamily<1>,
    beyond_usage: IntGaugeFamily<1>,
    endpoint_up: IntGaugeFamily<2>,
    known: Vec<Known>,
}

/// The metrics of one sender.
struct Known {
    name: String,
    counters: Vec<Shown>,
    in_flight: IntGauge,
    beyond_usage: IntGauge,
}

// === impl GatewayMetrics ===

impl GatewayMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let gateway = GATEWAY_COUNTERS.iter().map(|(name, help, _)| registry.counter(name, help));
        let senders = SENDER_COUNTERS
            .iter()
            .map(|(name, help, _)| registry.counter_family(name, help, &["destination"]));
        Ok(GatewayMetrics {
            gateway: gateway
                .map(|counter: Result<Counter, _>| counter.map(Shown::new))
                .collect::<Result<_, _>>()?,
            senders: senders.collect::<Result<_, _>>()?,
            in_flight: registry.int_gauge_family(
                "levada_gateway_in_flight_requests",
                "Flights of bodies under way to a destination.",
                &["destination"],
            )?,
            beyond_usage: registry.int_gauge_family(
                "levada_gateway_beyond_usage_timestamp_seconds",
                "When a destination last said that the data of the contract is used up, Unix seconds; 0 when it does not.",
                &["destination"],
            )?,
            endpoint_up: registry.int_gauge_family(
                "levada_gateway_endpoint_up",
                "1 while an endpoint answers, 0 while it rests.",
                &["destination", "endpoint"],
            )?,
            known: Vec::new(),
        })
    }

    /// Shows the numbers of one instant.
    pub fn show(&mut self, stats: &GatewayStats, senders: &[&Sender], now: Duration) {
        for (shown, (_, _, read)) in self.gateway.iter_mut().zip(GATEWAY_COUNTERS) {
            shown.show(read(stats).load(Ordering::Relaxed));
        }
        for sender in senders {
            let at = self.place(sender.name());
            let known = &mut self.known[at];
            for (shown, (_, _, read)) in known.counters.iter_mut().zip(SENDER_COUNTERS) {
                shown.show(read(sender.stats()).load(Ordering::Relaxed));
            }
            let gauge = |number: &AtomicU64| super::gauge_of(number.load(Ordering::Relaxed));
            known.in_flight.set(gauge(&sender.stats().in_flight));
            known.beyond_usage.set(gauge(&sender.stats().beyond_usage_since));
            for (endpoint, state) in sender.group().states(now) {
                let up = self.endpoint_up.with(&[sender.name(), &endpoint]);
                up.set(i64::from(state == EndpointState::Up));
            }
        }
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(at) = self.known.iter().position(|known| known.name == name) {
            return at;
        }
        self.known.push(Known {
            name: name.to_owned(),
            counters: self.senders.iter().map(|family| Shown::new(family.with(&[name]))).collect(),
            in_flight: self.in_flight.with(&[name]),
            beyond_usage: self.beyond_usage.with(&[name]),
        });
        self.known.len() - 1
    }
}

/// What tenants bring.
pub struct TenantFamilies {
    /// `levada_gateway_tenant_points_total{tenant}`.
    pub written: CounterFamily<1>,
    /// `levada_gateway_tenant_refused_total{tenant,reason}`.
    pub refused: CounterFamily<2>,
}

// === impl TenantFamilies ===

impl TenantFamilies {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(TenantFamilies {
            written: registry.counter_family(
                "levada_gateway_tenant_points_total",
                "Points that a tenant brought.",
                &["tenant"],
            )?,
            refused: registry.counter_family(
                "levada_gateway_tenant_refused_total",
                "Requests of a tenant that were refused because it brought too much.",
                &["tenant", "reason"],
            )?,
        })
    }
}
