//! What agents ask a Dataway beside writing: filters, elections, the time, tokens.
//!
//! What only a centre knows is asked of the centre, where there is one. Source: dataway reference §9.3–9.5.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::{Method, StatusCode};
use levada_gateway::tenants::Stranger;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::GatewayApi;
use super::admit::{gateway, refuse, token_of};
use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::request::Request;
use crate::router::{Body, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::GET, "/v1/datakit/pull", |api, request| Box::pin(pull(api, request)))
        .token()
        .refuses(refuse),
    Route::new(Method::GET, "/v2/logfilter/pull", |api, request| Box::pin(log_pull(api, request)))
        .token()
        .refuses(refuse),
    Route::new(Method::GET, "/v1/pipeline/pull", |api, request| Box::pin(pull(api, request)))
        .token()
        .refuses(refuse),
    Route::new(Method::POST, "/v1/election", |api, request| Box::pin(election(api, request)))
        .token()
        .refuses(refuse),
    Route::new(Method::POST, "/v1/election/heartbeat", |api, request| {
        Box::pin(election(api, request))
    })
    .token()
    .refuses(refuse),
    Route::new(Method::GET, "/v1/ntp", |api, _| Box::pin(ntp(api))).open().refuses(refuse),
    // Source: dataway reference §9.6: as the server writes it.
    Route::new(Method::GET, "/v1/ntp/", |api, _| Box::pin(ntp(api))).open().refuses(refuse),
    Route::new(Method::GET, "/v1/ping", |api, _| Box::pin(ping(api))).open().refuses(refuse),
    Route::new(Method::GET, "/v1/check/token/{token}", |api, request| {
        Box::pin(check_token(api, request))
    })
    .open()
    .refuses(refuse),
    // Source: dataway reference §9.6: as the server writes it.
    Route::new(Method::GET, "/v1/check/{token}", |api, request| {
        Box::pin(check_token(api, request))
    })
    .open()
    .refuses(refuse),
    Route::new(Method::GET, "/v1/global/{whose}/tags", |api, request| {
        Box::pin(global_tags(api, request))
    })
    .token()
    .refuses(refuse),
    Route::new(Method::GET, "/v1/lasterror", |api, _| Box::pin(last_error(api)))
        .token()
        .refuses(refuse),
    Route::new(Method::GET, "/v2/list/dataway", |api, _| Box::pin(list_dataway(api)))
        .token()
        .refuses(refuse),
    Route::new(Method::POST, "/v1/workspace", |api, request| Box::pin(workspace(api, request)))
        .token()
        .takes(Body::Document)
        .refuses(refuse),
    Route::new(Method::POST, "/v1/write/heartbeat", |_, _| Box::pin(taken()))
        .token()
        .refuses(refuse),
    Route::new(Method::POST, "/v1/datakit/usage_trace", |_, _| Box::pin(taken()))
        .token()
        .refuses(refuse),
];

/// How often agents pull. Source: dataway reference §9.3: nanoseconds.
const PULL_INTERVAL: Duration = Duration::from_secs(10);
/// Seconds until the next call. Source: dataway reference §9.4.
const ELECTION_INTERVAL: u64 = 4;
/// Who leads is silent for so long before another may. Source: dataway reference §9.4: about three intervals.
const ELECTION_LEASE: Duration = Duration::from_secs(3 * ELECTION_INTERVAL);
/// Elections that are known; beyond that the oldest is forgotten, and its next caller leads.
const ELECTIONS_MAX: usize = 10_000;
/// Longest namespace or id, bytes.
const ELECTION_NAME_BYTES_MAX: usize = 512;

/// Who leads, by token and namespace; agents that ask call again every few seconds.
#[derive(Debug, Default)]
pub struct Elections(Mutex<HashMap<(String, String), Leader>>);

#[derive(Clone, Debug)]
struct Leader {
    id: String,
    until: Duration,
}

#[derive(Serialize)]
struct ElectionAnswer<'a> {
    status: &'static str,
    namespace: &'a str,
    id: &'a str,
    incumbency_id: &'a str,
    error_msg: &'a str,
    interval: u64,
}

// === impl Elections ===

impl Elections {
    /// Gives who leads: the one that asks, unless another asked not long ago.
    fn ask(&self, key: (String, String), id: &str, now: Duration) -> String {
        let mut leaders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if leaders.len() >= ELECTIONS_MAX && !leaders.contains_key(&key) {
            leaders.retain(|_, leader| leader.until > now);
            let oldest = leaders.iter().min_by_key(|(_, leader)| leader.until);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone())
                && leaders.len() >= ELECTIONS_MAX
            {
                leaders.remove(&oldest);
            }
        }
        let leader = leaders.entry(key).or_insert_with(|| Leader { id: id.to_owned(), until: now });
        if leader.id == id || leader.until <= now {
            *leader = Leader { id: id.to_owned(), until: now + ELECTION_LEASE };
        }
        leader.id.clone()
    }

    /// Gives namespaces and who leads there.
    pub fn leaders(&self, now: Duration) -> BTreeSet<(String, String)> {
        let leaders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let leading = leaders.iter().filter(|(_, leader)| leader.until > now);
        leading.map(|((_, namespace), leader)| (namespace.clone(), leader.id.clone())).collect()
    }
}

async fn election(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    let (namespace, id) = (request.query.text("namespace"), request.query.text("id"));
    if id.is_empty()
        || id.len() > ELECTION_NAME_BYTES_MAX
        || namespace.len() > ELECTION_NAME_BYTES_MAX
    {
        return Err(ApiError::bad_request("id missing or too long").code("datakit.badRequest"));
    }
    // Wherever it stands, the agents of one token are in one election.
    let token = token_of(&request.query, &request.headers);
    let started = api.clock.monotonic();
    let incumbent = gateway.elections.ask((token, namespace.to_owned()), id, started);
    let status = if incumbent == id { "success" } else { "defeat" };
    if let Some(metrics) = &gateway.metrics {
        let took = api.clock.monotonic().saturating_sub(started);
        metrics.elections().answered(namespace, status, took);
    }
    let content = ElectionAnswer {
        status,
        namespace,
        id,
        incumbency_id: &incumbent,
        error_msg: "",
        interval: ELECTION_INTERVAL,
    };
    Ok(Answer::compact(StatusCode::OK, &json!({"content": content})))
}

/// Gives what an agent asks for: the drop filters that are in effect here, and the rest from the centre.
async fn pull(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    let is_filters_only =
        request.query.pairs().all(|(name, _)| matches!(name, "filters" | "token"));
    let mut answer = match (&gateway.centre, is_filters_only) {
        (Some(_), false) => ask_centre(gateway, &request).await?,
        _ => json!({"remote_pipelines": null, "kv": null, "dataways": null, "jvm_dump_job": null}),
    };
    if let Some(object) = answer.as_object_mut() {
        if request.query.get("filters").is_some_and(|value| !value.is_empty()) {
            object.insert("filters".to_owned(), filters(gateway));
        }
        object
            .entry("pull_interval")
            .or_insert_with(|| json!(u64::try_from(PULL_INTERVAL.as_nanos()).unwrap_or(u64::MAX)));
    }
    Ok(Answer::compact(StatusCode::OK, &answer))
}

/// Source: dataway reference §1.7: the log filters of older agents.
async fn log_pull(api: Arc<Api>, _: Request) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    let logging = filters(gateway).get("logging").cloned().unwrap_or_else(|| json!([]));
    Ok(Answer::compact(StatusCode::OK, &json!({"content": logging})))
}

fn filters(gateway: &GatewayApi) -> Value {
    let rules = gateway.gateway.rules();
    let lists = rules.spec().drop_filters.iter().filter(|(_, list)| !list.is_empty());
    Value::Object(lists.map(|(category, list)| (category.name().to_owned(), json!(list))).collect())
}

async fn ask_centre(gateway: &GatewayApi, request: &Request) -> Result<Value, ApiError> {
    let Some((client, endpoint)) = &gateway.centre else { return Ok(Value::Object(Map::new())) };
    let query: Vec<(&str, &str)> =
        request.query.pairs().filter(|(name, _)| *name != "token").collect();
    let failed = |text: String| {
        ApiError::new(StatusCode::BAD_GATEWAY, text).code("datakit.datakitPullFailed")
    };
    let body = client.get(endpoint, &request.path, &query).await;
    let body = body.map_err(|error| failed(format!("datakitPull failed: {error}")))?;
    serde_json::from_slice(&body).map_err(|error| failed(format!("datakitPull failed: {error}")))
}

async fn ntp(api: Arc<Api>) -> Result<Answer, ApiError> {
    let seconds = api.clock.now().0.div_euclid(1_000_000_000);
    Ok(Answer::compact(StatusCode::OK, &json!({"timestamp_sec": seconds})))
}

async fn ping(api: Arc<Api>) -> Result<Answer, ApiError> {
    let identity = &api.identity;
    let uptime = format!("{:?}", Duration::from_secs(api.clock.monotonic().as_secs()));
    let content = json!({
        "version": identity.version, "uptime": uptime, "host": identity.host, "commit": "",
    });
    Ok(Answer::compact(StatusCode::OK, &json!({"content": content})))
}

async fn check_token(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    let is_known = !gateway.tenants.asks() || gateway.tenants.find(request.param("token")).is_ok();
    if is_known {
        return Ok(Answer::compact(
            StatusCode::OK,
            &json!({"code": 200, "errorCode": "", "message": ""}),
        ));
    }
    let text = "token not found";
    let answer = json!({"code": 403, "errorCode": "kodo.tokenNotFound", "message": text});
    Ok(Answer::compact(StatusCode::FORBIDDEN, &answer))
}

/// Gives what does not work, in the shape in which agents tell it.
async fn last_error(api: Arc<Api>) -> Result<Answer, ApiError> {
    let failed = api.health.look().into_iter();
    let list: Vec<Value> = failed
        .filter_map(|(part, message)| Some(json!({"input": part, "err_content": message?})))
        .collect();
    Ok(Answer::compact(StatusCode::OK, &json!({"content": list})))
}

/// Gives the tags that stand for this host, or those of who leads: there are none, for no input runs here.
async fn global_tags(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    let tags = match request.param("whose") {
        "host" => gateway.gateway.rules().global_tags().map(|own| own.tags.clone()),
        "election" => None,
        _ => return Err(ApiError::not_found("not found")),
    };
    let tags: Map<String, Value> =
        tags.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into())).collect();
    Ok(Answer::compact(StatusCode::OK, &json!({"content": tags})))
}

async fn list_dataway(api: Arc<Api>) -> Result<Answer, ApiError> {
    gateway(&api)?;
    // Only this one is known, and it is known to who asks.
    Ok(Answer::compact(StatusCode::OK, &json!({"content": {"dataway_list": [], "interval": 60}})))
}

/// Gives the tenant of each token that is asked for.
async fn workspace(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    #[derive(serde::Deserialize)]
    struct Asked {
        token: Vec<String>,
    }
    let gateway = gateway(&api)?;
    let asked: Asked = request.json("invalid JSON: ")?;
    let content = asked.token.iter().filter_map(|token| match gateway.tenants.find(token) {
        Ok(name) => Some(json!({"token": {"ws_uuid": format!("wksp_{name}"), "token": token}})),
        Err(Stranger::NoToken | Stranger::WrongToken) => None,
    });
    Ok(Answer::compact(StatusCode::OK, &json!({"content": content.collect::<Vec<_>>()})))
}

async fn taken() -> Result<Answer, ApiError> {
    Ok(Answer::empty(StatusCode::OK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leads_until_it_is_silent() {
        let elections = Elections::default();
        let ask = |id: &str, seconds: u64| {
            let key = ("t".to_owned(), "n".to_owned());
            elections.ask(key, id, Duration::from_secs(seconds))
        };
        assert_eq!(ask("a", 0), "a");
        assert_eq!(ask("b", 4), "a");
        assert_eq!(ask("a", 8), "a");
        assert_eq!(ask("b", 19), "a");
        let leads = |id: &str| BTreeSet::from([("n".to_owned(), id.to_owned())]);
        assert_eq!(elections.leaders(Duration::from_secs(19)), leads("a"));
        assert!(elections.leaders(Duration::from_secs(20)).is_empty(), "it was silent too long");
        assert_eq!(ask("b", 20), "b");
        assert_eq!(elections.leaders(Duration::from_secs(20)), leads("b"));
        assert_eq!(ask("a", 21), "b");
        assert_eq!(elections.ask(("t".into(), "m".into()), "a", Duration::from_secs(21)), "a");
    }

    #[test]
    fn no_more_elections_are_known_than_may_be() {
        let elections = Elections::default();
        for number in 0..ELECTIONS_MAX + 10 {
            elections.ask(("t".into(), number.to_string()), "a", Duration::from_secs(1));
        }
        assert_eq!(elections.0.lock().unwrap_or_else(PoisonError::into_inner).len(), ELECTIONS_MAX);
    }
}
