//! The points and the sinkers that the measurements of the gateway share; those of `cargo xtask bench gateway` look alike.

use bytes::Bytes;
use levada_codec::compression::{Compression, compress_all};
use levada_gateway::ingest::Form;
use levada_gateway::rules::{SinkerSpec, Target};
use levada_gateway::wal::Encoding;
use levada_model::Category;

/// Lines of a body.
pub(crate) const LINES: u64 = 5_000;
pub(crate) const SINKERS: u16 = 100;
/// How points go out.
pub(crate) const FORM: Form = Form {
    encoding: Encoding::LineProtocol,
    compression: Compression::Gzip,
    has_global_tags: false,
};

/// Gives a sinker of ten conditions, of which the last decides.
pub(crate) fn sinker(number: u16, tenant: &str, target: Target) -> SinkerSpec {
    let conditions = [
        "region match ['^eu-']".to_owned(),
        "usage_user >= 0".to_owned(),
        "idle >= 0".to_owned(),
        "service != 'none'".to_owned(),
        "rack notin ['r98', 'r99']".to_owned(),
        "load < 1000".to_owned(),
        "usage_system >= 0 and usage_system < 1000".to_owned(),
        "measurement = 'cpu'".to_owned(),
        "region in ['eu-0', 'eu-1', 'eu-2', 'eu-3']".to_owned(),
        format!("host = '{tenant}-{number:03}'"),
    ];
    SinkerSpec {
        name: format!("s{number}"),
        categories: vec![Category::Metric],
        filters: vec![format!("{{ {} }}", conditions.join(", "))],
        target,
    }
}

/// Gives lines with four tags and four fields.
pub(crate) fn body(seed: u64) -> Bytes {
    let mut random = seed;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    let line = |n: u64| {
        format!(
            "cpu,host=web-{:03},rack=r{:02},region=eu-{},service=svc-{} usage_user={}.{:03},usage_system={}.{:03},idle={}i,load={}.{} {}\n",
            next(500),
            next(40),
            next(4),
            next(30),
            next(100),
            next(1_000),
            next(100),
            next(1_000),
            next(1_000_000),
            next(16),
            next(100),
            1_700_000_000_000_000_000 + n * 1_000_000
        )
    };
    (0..LINES).map(line).collect::<String>().into()
}

/// Compresses a body, as clients do.
pub(crate) fn gzip(body: &Bytes) -> Bytes {
    compress_all(Compression::Gzip, body).expect("a vector takes everything").into()
}
