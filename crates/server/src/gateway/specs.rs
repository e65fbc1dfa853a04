//! What the settings say, as the gateway understands it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use levada_clients::http::TlsOptions;
use levada_condition::filter::Compat;
use levada_gateway::deliver::{BreakerPolicy, SendPolicy};
use levada_gateway::destination::{DestinationSpec, EndpointSpec, Spread};
use levada_gateway::ingest::Bounds;
use levada_gateway::rules::{
    DestinationId, FilterSource, GlobalTags, RulesSpec, SinkMode, SinkerSpec, Target,
};
use levada_gateway::tenants::TenantSpec;
use levada_gateway::wal::{Categories, Keep, QueueSettings, Sync, WhenFull};
use levada_model::Category;
use levada_runtime::BackoffPolicy;
use levada_settings::Gateway as Settings;
use levada_settings::gateway as set;

use super::GatewayError;

mod kinds;

/// Bodies at least this large are compressed when they are queued, smaller ones together when they are sent.
const COMPRESS_BYTES_MIN: usize = 16 << 10;

pub(super) fn bounds(settings: &Settings) -> Bounds {
    Bounds {
        body_bytes_max: settings.max_http_body_bytes.as_usize(),
        plain_bytes_max: settings.max_plain_bytes.as_usize(),
        record_bytes_max: settings.max_raw_body_size.as_usize(),
        compress_bytes_min: COMPRESS_BYTES_MIN,
    }
}

/// Gives all destinations: that of `urls`, those with a name, and one for each URL of a sinker.
pub(super) fn destinations(settings: &Settings) -> Result<Vec<DestinationSpec>, GatewayError> {
    let mut all = Vec::new();
    if !settings.urls.is_empty() {
        let endpoint = settings.urls.iter().map(|url| set::GatewayEndpoint {
            url: url.clone(),
            token: String::new().into(),
            proxy: String::new(),
            weight: 1,
            priority: 0,
        });
        let strategy = match settings.urls.len() {
            1 => set::Strategy::Failover,
            _ => set::Strategy::Broadcast,
        };
        all.push(destination(
            settings,
            &set::Destination {
                name: set::DEFAULT_DESTINATION.to_owned(),
                strategy,
                endpoint: endpoint.collect(),
                ..set::Destination::default()
            },
        )?);
    }
    for one in &settings.destination {
        all.push(destination(settings, one)?);
    }
    for (at, sinker) in settings.sinkers.iter().enumerate() {
        if sinker.url.expose().is_empty() {
            continue;
        }
        // Neither proxy nor anything else is inherited. Source: dataway reference §3.1.
        let endpoint = set::GatewayEndpoint {
            url: sinker.url.clone(),
            token: sinker.token.clone(),
            proxy: sinker.proxy.clone(),
            weight: 1,
            priority: 0,
        };
        let own = set::Destination {
            name: sinker_destination(at),
            endpoint: vec![endpoint],
            ..set::Destination::default()
        };
        let usual = Settings { http_proxy: String::new(), ..settings.clone() };
        all.push(destination(&usual, &own)?);
    }
    Ok(all)
}

fn destination(
    settings: &Settings,
    one: &set::Destination,
) -> Result<DestinationSpec, GatewayError> {
    let endpoints = one.endpoint.iter().map(|endpoint| EndpointSpec {
        url: endpoint.url.expose().clone(),
        token: endpoint.token.expose().clone(),
        proxy: match endpoint.proxy.is_empty() {
            true => settings.http_proxy.clone(),
            false => endpoint.proxy.clone(),
        },
        tls: tls(settings),
        weight: endpoint.weight,
        priority: endpoint.priority,
        timeout: settings.timeout.into(),
        user_agent: String::new(),
    });
    let age = one.drop_expired_package_at.unwrap_or(settings.drop_expired_package_at);
    let age_max = (!age.is_zero()).then(|| Duration::from(age));
    let retry = one.retry.over(&settings.retry);
    let breaker = one.breaker.over(&settings.breaker);
    let limit = one.limit.over(&settings.limit);
    Ok(DestinationSpec {
        name: one.name.clone(),
        kind: kinds::kind(settings, one),
        spread: match one.strategy {
            set::Strategy::Failover => Spread::Failover,
            set::Strategy::Weighted => Spread::Weighted,
            set::Strategy::Broadcast => Spread::Broadcast,
            set::Strategy::Hash => Spread::Hash { key: one.hash_key.clone() },
        },
        endpoints: endpoints.collect(),
        form: kinds::form(settings, one),
        policy: SendPolicy {
            retry: BackoffPolicy {
                initial: retry.initial.into(),
                max: retry.max.into(),
                attempts_max: 0,
            },
            age_max,
            breaker: BreakerPolicy {
                failures: breaker.failures,
                window: breaker.window.into(),
                open: breaker.open.into(),
                open_max: breaker.open_max.into(),
                half_open_probes: breaker.half_open_probes,
                pause: breaker.pause.into(),
            },
            requests_per_second: limit.requests_per_second,
            bytes_per_second: limit.bytes_per_second.bytes() as f64,
            in_flight_max: match one.kind {
                // Tasks count on the order of points.
                set::Kind::Task => 1,
                _ => limit.in_flight,
            },
            join_bytes_max: settings.max_raw_body_size.as_usize(),
            // A hundred destinations that each get ten lines of every body would cost more requests than points are worth.
            linger: one.linger.unwrap_or(settings.linger).into(),
        },
        queue: queue(&one.queue.over(&settings.queue), age_max)?,
    })
}

fn tls(settings: &Settings) -> TlsOptions {
    TlsOptions {
        ca_file: PathBuf::from(&settings.ca_file),
        cert_file: PathBuf::from(&settings.cert_file),
        key_file: PathBuf::from(&settings.key_file),
        insecure_skip_verify: settings.tls_insecure,
    }
}

fn queue(
    settings: &set::GatewayQueue,
    age_max: Option<Duration>,
) -> Result<QueueSettings, GatewayError> {
    let never = categories("gateway.queue.no-drop-categories", &settings.no_drop_categories)?;
    Ok(QueueSettings {
        keep: match settings.keep {
            set::QueueKeep::Disk => Keep::Disk,
            set::QueueKeep::Memory => Keep::Memory,
        },
        sync: match settings.sync {
            set::QueueSync::Always => Sync::Always,
            set::QueueSync::Interval => Sync::Interval(settings.sync_interval.into()),
            set::QueueSync::None => Sync::None,
        },
        bytes_max: settings.capacity.bytes(),
        age_max,
        when_full: match settings.when_full {
            set::WhenFull::Block => WhenFull::Block,
            set::WhenFull::DropNew => WhenFull::DropNew,
            set::WhenFull::DropOld => WhenFull::DropOld,
        },
        never_dropped: Categories::of(&never),
        segment_bytes: settings.segment_bytes.bytes(),
        memory_bytes_max: settings.memory_bytes.bytes(),
        fresh_age: settings.fresh_age.into(),
        fresh_share: settings.fresh_share,
        dead_letter_bytes_max: settings.dead_letter_bytes.bytes(),
        dead_letters_max: settings.dead_letters_max,
        ..QueueSettings::default()
    })
}

/// Gives the rules; `targets` are the destinations that are open.
pub(super) fn rules(
    settings: &Settings,
    targets: &BTreeMap<String, Target>,
) -> Result<RulesSpec, GatewayError> {
    let target = |name: &str| {
        let missing = || GatewayError::Setting(format!("there is no destination `{name}`"));
        targets.get(name).cloned().ok_or_else(missing)
    };
    let mut drop_filters = Vec::new();
    for (name, filters) in &settings.filters {
        let unknown = || GatewayError::Setting(format!("gateway.filters: no category `{name}`"));
        let category = Category::of_name(name).ok_or_else(unknown)?;
        if !filters.is_empty() {
            drop_filters.push((category, filters.clone()));
        }
    }
    let mut sinkers = Vec::new();
    for (at, sinker) in settings.sinkers.iter().enumerate() {
        let name = match sinker.destination.is_empty() {
            true => sinker_destination(at),
            false => sinker.destination.clone(),
        };
        sinkers.push(SinkerSpec {
            name: match sinker.name.is_empty() {
                true => format!("sinker-{}", at + 1),
                false => sinker.name.clone(),
            },
            categories: categories(
                &format!("gateway.sinkers[{at}].categories"),
                &sinker.categories,
            )?,
            filters: sinker.filters.clone(),
            target: target(&name)?,
        });
    }
    let default = match targets.contains_key(set::DEFAULT_DESTINATION) {
        true => Some(target(set::DEFAULT_DESTINATION)?),
        // With one destination and no rules there is no doubt where points go.
        false if settings.destination.len() == 1 && settings.sinkers.is_empty() => {
            Some(target(&settings.destination[0].name)?)
        }
        false => None,
    };
    let tags = settings.global_tags.iter().filter_map(|tag| tag.split_once('='));
    let global_tags = GlobalTags {
        tags: tags.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect(),
        customer_keys: settings.global_customer_keys.clone(),
        is_escaped: false,
    };
    Ok(RulesSpec {
        compat: match settings.filter_compat {
            set::FilterCompat::Strict => Compat::Strict,
            set::FilterCompat::Seed => Compat::Seed,
            set::FilterCompat::Head => Compat::Head,
        },
        sink_mode: match settings.sink_mode {
            set::SinkMode::All => SinkMode::All,
            set::SinkMode::First => SinkMode::First,
            set::SinkMode::Remaining => SinkMode::Remaining,
            set::SinkMode::Compat16 => SinkMode::Compat16,
        },
        drop_filters,
        drop_source: FilterSource::Local,
        sinkers,
        default,
        global_tags: (settings.enable_sinker && global_tags.is_active()).then_some(global_tags),
    })
}

pub(super) fn tenants(settings: &Settings) -> Vec<TenantSpec> {
    let specs = settings.tenants.iter().map(|tenant| TenantSpec {
        name: tenant.name.clone(),
        token: tenant.token.expose().clone(),
        requests_per_second: tenant.requests_per_second,
        points_per_second: tenant.points_per_second,
        bytes_per_second: tenant.bytes_per_second.bytes() as f64,
        burst: tenant.burst.into(),
    });
    specs.collect()
}

/// Says whether what waits is lost when the process ends.
pub(super) fn is_in_memory(spec: &DestinationSpec) -> bool {
    spec.queue.keep == Keep::Memory
}

/// Gives how many names the URLs of destinations have.
pub(super) fn names<'s>(destinations: impl Iterator<Item = &'s DestinationSpec>) -> usize {
    let urls = destinations.flat_map(|one| &one.endpoints);
    let hosts = urls.filter_map(|endpoint| {
        let rest = endpoint.url.split_once("//")?.1;
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = authority.rsplit('@').next()?;
        let is_address =
            host.starts_with('[') || host.split(':').next()?.parse::<std::net::IpAddr>().is_ok();
        (!is_address).then_some(host)
    });
    hosts.collect::<std::collections::BTreeSet<_>>().len()
}

/// Gives the destinations of a target.
pub(super) fn ids(target: &Target) -> Vec<DestinationId> {
    match target {
        Target::Each(ids) => ids.clone(),
        Target::Hash { among, .. } => among.iter().map(|(id, _)| *id).collect(),
    }
}

/// Gives the names of destinations that URLs of sinkers make.
pub(super) fn of_sinkers(settings: &Settings) -> Vec<String> {
    let sinkers = settings.sinkers.iter().enumerate();
    let with_url = sinkers.filter(|(_, sinker)| !sinker.url.expose().is_empty());
    with_url.map(|(at, _)| sinker_destination(at)).collect()
}

/// The name of the destination that the URL of a sinker makes.
pub(super) fn sinker_destination(at: usize) -> String {
    format!("sinker-{}", at + 1)
}

/// Reads aliases of categories, or their names. Source: dataway reference §3.1.
fn categories(key: &str, aliases: &[String]) -> Result<Vec<Category>, GatewayError> {
    let find = |alias: &String| {
        Category::of_alias(alias).or_else(|| Category::of_name(alias)).ok_or_else(|| {
            let known: Vec<&str> =
                Category::ALL.iter().filter_map(|category| category.alias()).collect();
            let known = known.join(", ");
            GatewayError::Setting(format!("{key}: no category `{alias}`; known: {known}"))
        })
    };
    aliases.iter().map(find).collect()
}
