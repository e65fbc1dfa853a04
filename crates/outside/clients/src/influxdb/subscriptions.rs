//! What `InfluxDB` 1.x sends on by itself: subscriptions, and the databases that may have them.

use levada_model::ErrorKind;
use serde::Deserialize;
use serde_json::Value;

use super::{InfluxDb, Query, quote_identifier};
use crate::error::ClientError;

/// A subscription: where the points of a retention policy are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The database.
    pub database: String,
    /// The retention policy.
    pub retention: String,
    /// Its name, unique in the retention policy.
    pub name: String,
    /// `ANY` or `ALL` of the destinations.
    pub mode: String,
    /// Where points are sent; these may hold credentials.
    pub destinations: Vec<String>,
}

/// Databases whose retention policies are asked for at once.
const DATABASES_AT_ONCE: usize = 100;

/// Says whether a server does not have subscriptions: `InfluxDB` 2 and 3 refuse the statement.
///
/// Source: kapacitor issue #2814, `not implemented: SHOW SUBSCRIPTIONS`.
pub fn has_no_subscriptions(error: &ClientError) -> bool {
    let text = error.to_string();
    error.kind() != ErrorKind::Unauthorized
        && (text.contains("not implemented") || text.contains("not supported"))
}

/// Lists all subscriptions.
pub async fn subscriptions(server: &dyn InfluxDb) -> Result<Vec<Subscription>, ClientError> {
    let mut found = Vec::new();
    for result in ask(server, "SHOW SUBSCRIPTIONS".to_owned()).await? {
        for series in result.rows()? {
            let place = |column: &str| series.columns.iter().position(|known| known == column);
            let places =
                (place("retention_policy"), place("name"), place("mode"), place("destinations"));
            let (Some(retention), Some(name), Some(mode), Some(destinations)) = places else {
                return Err(odd("a list of subscriptions lacks columns"));
            };
            for row in &series.values {
                let text =
                    |place: usize| row.get(place).and_then(Value::as_str).unwrap_or_default();
                let destinations = row.get(destinations).and_then(Value::as_array);
                let destinations = destinations.into_iter().flatten().filter_map(Value::as_str);
                found.push(Subscription {
                    database: series.name.clone(),
                    retention: text(retention).to_owned(),
                    name: text(name).to_owned(),
                    mode: text(mode).to_owned(),
                    destinations: destinations.map(str::to_owned).collect(),
                });
            }
        }
    }
    Ok(found)
}

/// Lists all retention policies, each with its database.
pub async fn retentions(server: &dyn InfluxDb) -> Result<Vec<(String, String)>, ClientError> {
    let mut databases = Vec::new();
    for result in ask(server, "SHOW DATABASES".to_owned()).await? {
        for series in result.rows()? {
            databases.extend(series.firsts());
        }
    }
    let mut found = Vec::new();
    for databases in databases.chunks(DATABASES_AT_ONCE) {
        let statements = databases
            .iter()
            .map(|database| format!("SHOW RETENTION POLICIES ON {}", quote_identifier(database)));
        let statements = statements.collect::<Vec<_>>().join("; ");
        let results = ask(server, statements).await?;
        for (database, result) in databases.iter().zip(results) {
            // A database may have been dropped since it was listed.
            if result.error.as_deref().is_some_and(|error| error.starts_with("database not found"))
            {
                continue;
            }
            for series in result.rows()? {
                found.extend(series.firsts().map(|retention| (database.clone(), retention)));
            }
        }
    }
    Ok(found)
}

/// Makes a subscription.
pub async fn create_subscription(
    server: &dyn InfluxDb,
    subscription: &Subscription,
) -> Result<(), ClientError> {
    let Subscription { database, retention, name, mode, destinations } = subscription;
    let destinations: Vec<String> = destinations.iter().map(|text| quote_text(text)).collect();
    let text = format!(
        "CREATE SUBSCRIPTION {} ON {}.{} DESTINATIONS {mode} {}",
        quote_identifier(name),
        quote_identifier(database),
        quote_identifier(retention),
        destinations.join(", ")
    );
    done(server, text).await
}

/// Ends a subscription.
pub async fn drop_subscription(
    server: &dyn InfluxDb,
    subscription: &Subscription,
) -> Result<(), ClientError> {
    let Subscription { database, retention, name, .. } = subscription;
    let text = format!(
        "DROP SUBSCRIPTION {} ON {}.{}",
        quote_identifier(name),
        quote_identifier(database),
        quote_identifier(retention)
    );
    done(server, text).await
}

/// Gives a text of `InfluxQL` in quotes.
pub fn quote_text(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
    format!("'{escaped}'")
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<StatementAnswer>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct StatementAnswer {
    #[serde(default)]
    series: Vec<Rows>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Rows {
    #[serde(default)]
    name: String,
    #[serde(default)]
    columns: Vec<String>,
    #[serde(default)]
    values: Vec<Vec<Value>>,
}

// === impl StatementAnswer ===

impl StatementAnswer {
    fn rows(self) -> Result<Vec<Rows>, ClientError> {
        match self.error {
            Some(error) => Err(odd(&error)),
            None => Ok(self.series),
        }
    }
}

// === impl Rows ===

impl Rows {
    /// Gives the texts of the first column.
    fn firsts(&self) -> impl Iterator<Item = String> {
        self.values.iter().filter_map(|row| row.first()?.as_str().map(str::to_owned))
    }
}

async fn ask(server: &dyn InfluxDb, text: String) -> Result<Vec<StatementAnswer>, ClientError> {
    let body = server.query(&Query { text, ..Query::default() }).await?;
    let answer: Answer = serde_json::from_str(&body)
        .map_err(|error| odd(&format!("an answer is not what it should be: {error}")))?;
    match answer.error {
        Some(error) => Err(odd(&error)),
        None => Ok(answer.results),
    }
}

async fn done(server: &dyn InfluxDb, text: String) -> Result<(), ClientError> {
    ask(server, text).await?.into_iter().try_for_each(|result| result.rows().map(|_| ()))
}

fn odd(message: &str) -> ClientError {
    ClientError::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Mutex;

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;
    use crate::influxdb::{FluxQuery, WriteTarget};

    /// Answers in order, and keeps what was asked.
    struct Scripted {
        answers: Mutex<Vec<&'static str>>,
        asked: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl InfluxDb for Scripted {
        async fn ping(&self) -> Result<String, ClientError> {
            Ok(String::new())
        }

        async fn query(&self, query: &Query) -> Result<String, ClientError> {
            self.asked.lock().unwrap().push(query.text.clone());
            Ok(self.answers.lock().unwrap().remove(0).to_owned())
        }

        async fn flux(&self, _: &FluxQuery) -> Result<String, ClientError> {
            Err(odd("no Flux"))
        }

        async fn write(&self, _: &WriteTarget, _: Bytes) -> Result<(), ClientError> {
            Err(odd("no writes"))
        }

        async fn create_database(&self, _: &str, _: &str) -> Result<(), ClientError> {
            Err(odd("no databases"))
        }
    }

    fn scripted(answers: &[&'static str]) -> Scripted {
        Scripted { answers: Mutex::new(answers.to_vec()), asked: Mutex::default() }
    }

    fn subscription() -> Subscription {
        Subscription {
            database: "d\"b".into(),
            retention: "r.p".into(),
            name: "n".into(),
            mode: "ANY".into(),
            destinations: vec!["http://a'b".into()],
        }
    }

    #[tokio::test]
    async fn subscriptions_are_read_by_the_names_of_columns() {
        let server = scripted(&[
            r#"{"results":[{"statement_id":0,"series":[
                {"name":"d","columns":["retention_policy","name","mode","destinations"],"values":[["r","n","ALL",["a","b"]],["r","m","ANY",[]]]},
                {"name":"e","columns":["name","retention_policy","destinations","mode"],"values":[["n","r",["c"],"ANY"]]}]}]}"#,
            r#"{"results":[{"statement_id":0}]}"#,
            r#"{"results":[{"series":[{"name":"d","columns":["name"],"values":[["n"]]}]}]}"#,
            r#"{"results":[{"error":"not implemented: SHOW SUBSCRIPTIONS"}]}"#,
            "<html>",
        ]);
        let found = subscriptions(&server).await.unwrap();
        let shown: Vec<String> = found
            .iter()
            .map(|s| {
                format!("{}.{} {} {} {:?}", s.database, s.retention, s.name, s.mode, s.destinations)
            })
            .collect();
        assert_eq!(shown, [r#"d.r n ALL ["a", "b"]"#, "d.r m ANY []", r#"e.r n ANY ["c"]"#]);
        assert_eq!(subscriptions(&server).await.unwrap(), []);
        assert!(!has_no_subscriptions(&subscriptions(&server).await.unwrap_err()));
        assert!(has_no_subscriptions(&subscriptions(&server).await.unwrap_err()));
        assert!(subscriptions(&server).await.is_err());
    }

    #[tokio::test]
    async fn retention_policies_are_asked_for_together() {
        let server = scripted(&[
            r#"{"results":[{"series":[{"name":"databases","columns":["name"],"values":[["a"],["gone"],["c\"d"]]}]}]}"#,
            r#"{"results":[{"series":[{"columns":["name","duration"],"values":[["x","0s"],["y","1h"]]}]},
                {"error":"database not found: gone"},{"series":[{"columns":["name"],"values":[["z"]]}]}]}"#,
        ]);
        let found = retentions(&server).await.unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(found, [pair("a", "x"), pair("a", "y"), pair("c\"d", "z")]);
        let asked = server.asked.lock().unwrap();
        assert_eq!(
            asked[1],
            r#"SHOW RETENTION POLICIES ON "a"; SHOW RETENTION POLICIES ON "gone"; SHOW RETENTION POLICIES ON "c\"d""#
        );
    }

    #[tokio::test]
    async fn names_and_destinations_are_quoted_and_errors_count() {
        let server = scripted(&[
            r#"{"results":[{"statement_id":0}]}"#,
            r#"{"results":[{"error":"subscription already exists"}]}"#,
            r#"{"error":"no"}"#,
        ]);
        create_subscription(&server, &subscription()).await.unwrap();
        let error = create_subscription(&server, &subscription()).await.unwrap_err();
        assert_eq!(error.to_string(), "subscription already exists");
        assert!(drop_subscription(&server, &subscription()).await.is_err());
        let asked = server.asked.lock().unwrap();
        assert_eq!(
            asked[0],
            r#"CREATE SUBSCRIPTION "n" ON "d\"b"."r.p" DESTINATIONS ANY 'http://a\'b'"#
        );
        assert_eq!(asked[2], r#"DROP SUBSCRIPTION "n" ON "d\"b"."r.p""#);
    }
}
