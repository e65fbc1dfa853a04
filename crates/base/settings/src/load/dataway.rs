//! `[dataway]` and `[io]` of the original's file, and its variables: the keys of `[gateway]` that they stand for.
//!
//! Source: dataway reference §2.

use toml::Value;

use super::layer::from_json;

/// What is done with a value of the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Take {
    /// Taken as it is; a list in a variable is separated by commas, or JSON.
    Same,
    /// A word in letters of any case.
    Word,
    /// A number of bytes.
    Bytes,
    /// A number of gigabytes.
    Gigabytes,
    /// In a variable, anything that is not empty is true.
    Flag,
    /// As [`Take::Flag`], but it says the opposite.
    Not,
    /// A JSON object: category to list of filters.
    Filters,
    /// It has no counterpart: what it tunes does not exist here, or needs no tuning.
    Nothing,
}

/// A key of the original.
struct Original {
    /// As in its file; empty when there is only the variable.
    key: &'static str,
    /// Empty when there is none.
    variable: &'static str,
    /// The key here.
    here: &'static str,
    take: Take,
}

/// What came of one key.
pub(super) enum Taken {
    /// Keys to set.
    Set(Vec<(String, Value)>),
    /// It is known and does nothing.
    Ignored,
    /// It cannot be read.
    Bad(&'static str),
}

/// The sections that are read.
pub(super) const SECTIONS: [&str; 2] = ["dataway", "io"];

const fn row(
    key: &'static str,
    variable: &'static str,
    here: &'static str,
    take: Take,
) -> Original {
    Original { key, variable, here, take }
}

const ORIGINALS: &[Original] = &[
    row("dataway.urls", "ENV_DATAWAY", "gateway.urls", Take::Same),
    row("dataway.timeout", "", "gateway.timeout", Take::Same),
    row("dataway.timeout_v2", "ENV_DATAWAY_TIMEOUT", "gateway.timeout", Take::Same),
    row("dataway.http_proxy", "ENV_DATAWAY_HTTP_PROXY", "gateway.http-proxy", Take::Same),
    row("dataway.retry_delay", "ENV_DATAWAY_RETRY_DELAY", "gateway.retry.initial", Take::Same),
    row(
        "dataway.content_encoding",
        "ENV_DATAWAY_CONTENT_ENCODING",
        "gateway.content-encoding",
        // Source: dataway reference §2.2.
        Take::Word,
    ),
    row("dataway.gzip", "", "gateway.gzip", Take::Same),
    row("", "ENV_DATAWAY_DISABLE_GZIP", "gateway.gzip", Take::Not),
    row(
        "dataway.max_raw_body_size",
        "ENV_DATAWAY_MAX_RAW_BODY_SIZE",
        "gateway.max-raw-body-size",
        Take::Bytes,
    ),
    row(
        "dataway.drop_expired_package_at",
        "ENV_DATAWAY_DROP_EXPIRED_PACKAGE_AT",
        "gateway.drop-expired-package-at",
        Take::Same,
    ),
    row("dataway.enable_sinker", "ENV_DATAWAY_ENABLE_SINKER", "gateway.enable-sinker", Take::Flag),
    row(
        "dataway.global_customer_keys",
        "ENV_SINKER_GLOBAL_CUSTOMER_KEYS",
        "gateway.global-customer-keys",
        Take::Same,
    ),
    row("dataway.tls_insecure", "ENV_DATAWAY_TLS_INSECURE", "gateway.tls-insecure", Take::Flag),
    row("dataway.sinkers", "ENV_SINKER", "gateway.sinkers", Take::Same),
    row("", "DK_SINKER", "gateway.sinkers", Take::Same),
    row(
        "dataway.wal.max_capacity_gb",
        "ENV_DATAWAY_WAL_CAPACITY",
        "gateway.queue.capacity",
        Take::Gigabytes,
    ),
    row(
        "dataway.wal.no_drop_categories",
        "ENV_DATAWAY_WAL_NO_DROP_CATEGORIES",
        "gateway.queue.no-drop-categories",
        Take::Same,
    ),
    row(
        "io.cache_max_size_gb",
        "ENV_IO_CACHE_MAX_SIZE_GB",
        "gateway.queue.capacity",
        Take::Gigabytes,
    ),
    row("io.filters", "ENV_IO_FILTERS", "gateway.filters", Take::Filters),
    // What is tuned here does not exist: connections and workers look after themselves, and everything is kept.
    row("dataway.max_retry_count", "ENV_DATAWAY_MAX_RETRY_COUNT", "", Take::Nothing),
    row("dataway.max_idle_conns", "ENV_DATAWAY_MAX_IDLE_CONNS", "", Take::Nothing),
    row(
        "dataway.max_idle_conns_per_host",
        "ENV_DATAWAY_MAX_IDLE_CONNS_PER_HOST",
        "",
        Take::Nothing,
    ),
    row("dataway.idle_timeout", "ENV_DATAWAY_IDLE_TIMEOUT", "", Take::Nothing),
    row("dataway.enable_httptrace", "ENV_DATAWAY_ENABLE_HTTPTRACE", "", Take::Nothing),
    row("dataway.proxy", "", "", Take::Nothing),
    row("dataway.ntp.enable", "ENV_DATAWAY_DISABLE_NTP", "", Take::Nothing),
    row("dataway.ntp.interval", "ENV_DATAWAY_NTP_INTERVAL", "", Take::Nothing),
    row("dataway.ntp.diff", "ENV_DATAWAY_NTP_DIFF", "", Take::Nothing),
    row("dataway.wal.path", "ENV_DATAWAY_WAL_PATH", "", Take::Nothing),
    row("dataway.wal.workers", "ENV_DATAWAY_WAL_WORKERS", "", Take::Nothing),
    row("dataway.wal.mem_cap", "ENV_DATAWAY_WAL_MEM_CAPACITY", "", Take::Nothing),
    row("dataway.wal.no_pos", "", "", Take::Nothing),
    row(
        "dataway.wal.fail_cache_clean_interval",
        "ENV_DATAWAY_WAL_FAIL_CACHE_CLEAN_INTERVAL",
        "",
        Take::Nothing,
    ),
    row("io.feed_chan_size", "", "", Take::Nothing),
    row("io.max_cache_count", "ENV_IO_MAX_CACHE_COUNT", "", Take::Nothing),
    row("io.flush_interval", "ENV_IO_FLUSH_INTERVAL", "", Take::Nothing),
    row("io.flush_workers", "ENV_IO_FLUSH_WORKERS", "", Take::Nothing),
    row("io.enable_cache", "ENV_IO_ENABLE_CACHE", "", Take::Nothing),
    row("io.cache_all", "ENV_IO_CACHE_ALL", "", Take::Nothing),
    row("io.cache_clean_interval", "ENV_IO_CACHE_CLEAN_INTERVAL", "", Take::Nothing),
    row("io.output_file", "", "", Take::Nothing),
    row("io.output_file_inputs", "", "", Take::Nothing),
    row("io.auto_timestamp_correction", "", "", Take::Nothing),
    row("io.global_blocking", "", "", Take::Nothing),
    row("io.max_dynamic_cache_count", "", "", Take::Nothing),
];

/// Takes a key of the original's file; nothing when it has none of that name.
pub(super) fn of_file(key: &str, value: Value) -> Option<Taken> {
    let original = ORIGINALS.iter().find(|original| original.key == key)?;
    Some(original.take(value))
}

/// Says whether a key of the original's file is one, and not the start of more.
pub(super) fn is_key(key: &str) -> bool {
    ORIGINALS.iter().any(|original| original.key == key)
}

/// Takes a variable of the original; nothing when it has none of that name, or the value is empty.
pub(super) fn of_variable(name: &str, value: &str) -> Option<Taken> {
    let original = ORIGINALS.iter().find(|original| original.variable == name)?;
    if value.is_empty() {
        return None;
    }
    let is_list = ["urls", "keys", "categories", "sinkers"];
    let value = match original.take {
        Take::Flag | Take::Not => Value::Boolean(original.take == Take::Flag),
        Take::Nothing => return Some(Taken::Ignored),
        Take::Bytes | Take::Gigabytes => match value.trim().parse::<f64>() {
            Ok(number) => Value::Float(number),
            Err(_) => return Some(Taken::Bad("is not a number")),
        },
        Take::Filters => match json(value) {
            Some(value) => value,
            None => return Some(Taken::Bad("is not a JSON object of category and filters")),
        },
        Take::Same if is_list.iter().any(|end| original.here.ends_with(end)) => {
            if value.trim_start().starts_with('[') {
                match json(value) {
                    Some(value) => value,
                    None => return Some(Taken::Bad("is not a JSON list")),
                }
            } else if original.here == "gateway.sinkers" {
                return Some(Taken::Bad("is not a JSON list"));
            } else {
                let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
                Value::Array(parts.map(Value::from).collect())
            }
        }
        Take::Same | Take::Word => Value::from(value),
    };
    Some(match original.take {
        Take::Flag | Take::Not => Taken::Set(vec![(original.here.to_owned(), value)]),
        _ => original.take(value),
    })
}

fn json(text: &str) -> Option<Value> {
    from_json(serde_json::from_str(text).ok()?)
}

/// Gives the variables of the original that are read.
pub(crate) fn variables() -> impl Iterator<Item = (&'static str, &'static str)> {
    let named = ORIGINALS.iter().filter(|original| !original.variable.is_empty());
    named.map(|original| (original.variable, original.here))
}

// === impl Original ===

impl Original {
    fn take(&self, value: Value) -> Taken {
        let one = |value| Taken::Set(vec![(self.here.to_owned(), value)]);
        let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
        let bytes = |scale: f64| match number {
            Some(number) if number.is_finite() && number >= 0.0 => {
                one(Value::from((number * scale).min(2_f64.powi(62)) as i64))
            }
            _ => Taken::Bad("is not a number"),
        };
        match self.take {
            Take::Nothing => Taken::Ignored,
            Take::Word => one(match value {
                Value::String(word) => Value::String(word.trim().to_ascii_lowercase()),
                other => other,
            }),
            Take::Bytes => bytes(1.0),
            Take::Gigabytes => bytes(f64::from(1 << 30)),
            Take::Not => one(Value::Boolean(value.as_bool() == Some(false))),
            Take::Filters => {
                let Value::Table(filters) = value else {
                    return Taken::Bad("is not a table of category and filters");
                };
                let set = filters.into_iter();
                Taken::Set(
                    set.map(|(category, list)| (format!("{}.{category}", self.here), list))
                        .collect(),
                )
            }
            Take::Same | Take::Flag => one(value),
        }
    }
}
