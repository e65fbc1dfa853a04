//! Which query reads the rows: by time of change and key, by key, or all of them.

use std::time::Duration;

use levada_model::ErrorClass;
use sqlx::postgres::PgConnection;
use sqlx::{
    AssertSqlSafe, Column as _, Executor as _, SqlSafeStr as _, Statement as _, TypeInfo as _,
};

use super::settings::Settings;
use crate::postgres::{Fault, Kind, Table, quoted};

/// Keys behind the position that are read again when rows have no time of change.
///
/// Ours: as many rows may be inserted by others while a transaction that numbered its row is open.
const KEYS_BEHIND: i64 = 1000;

/// Rows that are counted at most: a number beyond says as much, and costs the server more.
const COUNTED_MAX: u32 = 1_000_000;

/// How rows are read.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// What is read: a quoted table, or a query in parentheses.
    from: String,
    columns: Vec<Field>,
    /// Expression and type of the time of change.
    change: Option<Sort>,
    /// Expression and type of the key; nothing: every poll reads everything.
    key: Option<Sort>,
    /// The row has a column `id`, and whether its values are integers.
    pub(super) id: Option<bool>,
    /// Expression that tells whether a row was changed after it was made.
    is_update: String,
    /// Rows have system columns.
    pub(super) has_xmin: bool,
    /// How far behind the position rows are read again, as SQL to subtract from its first part.
    behind: Option<String>,
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    kind: Kind,
    cast: String,
}

#[derive(Debug, Clone)]
struct Sort {
    expression: String,
    cast: String,
}

/// Where reading goes on: the texts of change and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) change: Option<String>,
    pub(super) key: String,
}

/// A query with its parameters.
pub(super) struct Query {
    pub(super) text: String,
    pub(super) parameters: Vec<String>,
}

// === impl Plan ===

impl Plan {
    /// Looks at the table or query, and decides.
    ///
    /// Errors: the table is missing, or a column that the settings name.
    pub(super) async fn read(
        connection: &mut PgConnection,
        settings: &Settings,
    ) -> Result<Plan, Fault> {
        let (from, columns, has_xmin) = match &settings.query {
            Some(query) => {
                // A comment at its end must not swallow the parenthesis.
                let from = format!("({query}\n)");
                let columns = columns_of_query(connection, &from).await?;
                (from, columns, false)
            }
            None => match Table::read(connection, &settings.table).await? {
                Some(table) => {
                    let field = |column: &crate::postgres::catalog::Column| Field {
                        name: column.name.clone(),
                        kind: column.kind.clone(),
                        cast: column.cast.clone(),
                    };
                    (
                        table.quoted.clone(),
                        table.columns.iter().map(field).collect(),
                        table.is_plain,
                    )
                }
                None => {
                    let text = format!(
                        "the table {} does not exist; create it, or set autoCreateTable to true",
                        settings.table.to_create()
                    );
                    return Err(Fault::new(ErrorClass::Unknown, text));
                }
            },
        };
        let mut plan = Plan {
            from,
            columns,
            change: None,
            key: None,
            id: None,
            is_update: "false".to_owned(),
            has_xmin,
            behind: None,
        };
        plan.id = plan.field("id").map(|field| matches!(field.kind, Kind::Int(_)));
        plan.find_change(settings)?;
        let reads_all = settings.query.is_some() && settings.change.is_none();
        if !reads_all {
            plan.find_key(settings)?;
        }
        plan.find_window(settings.overlap);
        Ok(plan)
    }

    fn field(&self, name: &str) -> Option<&Field> {
        let folded = name.to_ascii_lowercase();
        let find = |name: &str| self.columns.iter().find(|field| field.name == name);
        find(name).or_else(|| find(&folded))
    }

    /// Source: dataflow-operator.md §3.3: `updated_at`, or `created_at` where that is empty.
    fn find_change(&mut self, settings: &Settings) -> Result<(), Fault> {
        let column = |field: &Field| format!("t.{}", quoted(&field.name));
        let created = self.field("created_at").cloned();
        let updated = match &settings.change {
            Some(name) => Some(self.field(name).cloned().ok_or_else(|| {
                let text = format!("changeTrackingColumn: there is no column `{name}`");
                Fault::new(ErrorClass::Unknown, text)
            })?),
            None if settings.query.is_some() => None,
            None => self.field("updated_at").cloned(),
        };
        let is_default = updated.as_ref().is_some_and(|field| field.name == "updated_at");
        let (expression, field) = match (updated, created) {
            (Some(updated), Some(created)) if is_default && created.cast == updated.cast => {
                let (u, c) = (column(&updated), column(&created));
                self.is_update = format!("coalesce({u} > {c}, false)");
                (format!("coalesce({u}, {c})"), updated)
            }
            (Some(updated), _) => (column(&updated), updated),
            (None, Some(created)) if settings.query.is_none() => (column(&created), created),
            (None, _) => return Ok(()),
        };
        let expression = match field.kind {
            // Rows without a time come first.
            Kind::Timestamp | Kind::TimestampTz | Kind::Date => {
                format!("coalesce({expression}, '-infinity')")
            }
            _ => expression,
        };
        self.change = Some(Sort { expression, cast: field.cast });
        Ok(())
    }

    fn find_key(&mut self, settings: &Settings) -> Result<(), Fault> {
        let field = self.field(&settings.order_by).ok_or_else(|| {
            let text = format!(
                "orderByColumn: there is no column `{}`; name one whose values are unique",
                settings.order_by
            );
            Fault::new(ErrorClass::Unknown, text)
        })?;
        let (expression, cast) = (format!("t.{}", quoted(&field.name)), field.cast.clone());
        self.key = Some(Sort { expression, cast });
        Ok(())
    }

    fn find_window(&mut self, overlap: Duration) {
        let behind = match (&self.change, &self.key) {
            _ if overlap.is_zero() => None,
            (Some(change), _)
                if change.cast.starts_with("timestamp") || change.cast.starts_with("TIMESTAMP") =>
            {
                Some(format!("interval '{} microseconds'", overlap.as_micros()))
            }
            (None, Some(key)) if matches!(key.cast.as_str(), "integer" | "bigint") => {
                Some(KEYS_BEHIND.to_string())
            }
            _ => None,
        };
        self.behind = behind;
    }

    /// Tells whether rows behind the position are read again.
    pub(super) fn has_window(&self) -> bool {
        self.behind.is_some()
    }

    /// Tells whether there is a position at all.
    pub(super) fn has_position(&self) -> bool {
        self.key.is_some()
    }

    /// Tells whether rows have a time of change.
    pub(super) fn has_change(&self) -> bool {
        self.change.is_some()
    }

    /// Gives the query for the rows behind a mark, and those shortly before it that may be new.
    ///
    /// Columns: change, key, id, whether the row is an update, the row as JSON, whether it is behind the mark.
    pub(super) fn query(
        &self,
        mark: Option<&Mark>,
        floor: Option<&Mark>,
        limit: Option<i32>,
    ) -> Query {
        let mut parameters = Vec::new();
        let is_ahead = match mark.filter(|_| self.behind.is_some()) {
            Some(mark) => format!("({})::text", self.compare(">", mark, &mut parameters)),
            None => "'true'::text".to_owned(),
        };
        let mut text = format!(
            "SELECT {}, {}, {}, ({})::text, row_to_json(\"levada row\")::text, {} FROM {} AS t \
             CROSS JOIN LATERAL (SELECT {}) AS \"levada row\"",
            self.text_of(self.change.as_ref()),
            self.text_of(self.key.as_ref()),
            if self.id.is_some() { "t.\"id\"::text" } else { "NULL::text" },
            self.is_update,
            is_ahead,
            self.from,
            self.members(),
        );
        let mut tests = Vec::new();
        if let Some(mark) = mark {
            match self.behind {
                Some(_) => tests.push(self.window(mark, &mut parameters)),
                None => tests.push(self.compare(">", mark, &mut parameters)),
            }
        }
        if let Some(floor) = floor {
            tests.push(self.compare(">", floor, &mut parameters));
        }
        if let Some(change) =
            self.change.as_ref().filter(|change| !change.expression.contains("infinity"))
        {
            tests.push(format!("{} IS NOT NULL", change.expression));
        }
        if !tests.is_empty() {
            text.push_str(&format!(" WHERE {}", tests.join(" AND ")));
        }
        let order: Vec<&str> =
            self.change.iter().chain(&self.key).map(|sort| sort.expression.as_str()).collect();
        if self.key.is_some() {
            text.push_str(&format!(" ORDER BY {}", order.join(", ")));
        }
        if let Some(limit) = limit.filter(|_| self.behind.is_none()) {
            text.push_str(&format!(" LIMIT {limit}"));
        }
        Query { text, parameters }
    }

    /// Gives the query for the number of rows behind a mark, or of all of them.
    pub(super) fn count(&self, mark: Option<&Mark>) -> Query {
        let mut parameters = Vec::new();
        let test = match mark {
            Some(mark) => self.compare(">", mark, &mut parameters),
            None => "true".to_owned(),
        };
        let from = &self.from;
        let text = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {from} AS t WHERE {test} LIMIT {COUNTED_MAX}) AS q"
        );
        Query { text, parameters }
    }

    /// Gives the query for what was read already: change, key and transaction of the rows in the window
    /// up to a mark.
    pub(super) fn known(&self, mark: &Mark) -> Query {
        let mut parameters = Vec::new();
        let window = self.window(mark, &mut parameters);
        let upto = self.compare("<=", mark, &mut parameters);
        let text = format!(
            "SELECT {}, {}, t.xmin::text FROM {} AS t WHERE {window} AND {upto}",
            self.text_of(self.change.as_ref()),
            self.text_of(self.key.as_ref()),
            self.from,
        );
        Query { text, parameters }
    }

    fn text_of(&self, sort: Option<&Sort>) -> String {
        sort.map_or("NULL::text".to_owned(), |sort| format!("({})::text", sort.expression))
    }

    fn window(&self, mark: &Mark, parameters: &mut Vec<String>) -> String {
        let behind = self.behind.as_deref().unwrap_or("0");
        let (sort, from) = match (&self.change, &self.key) {
            (Some(change), _) => (change, mark.change.as_ref().unwrap_or(&mark.key)),
            (None, Some(key)) => (key, &mark.key),
            (None, None) => return "true".to_owned(),
        };
        parameters.push(from.clone());
        // Wider by one step of any number, so that a subtraction cannot leave the type.
        let at = format!("${}::text::{}", parameters.len(), sort.cast);
        let at = if self.change.is_some() { at } else { format!("({at})::bigint") };
        format!("{} >= {at} - {behind}", sort.expression)
    }

    fn compare(&self, operator: &str, mark: &Mark, parameters: &mut Vec<String>) -> String {
        let mut sides = (Vec::new(), Vec::new());
        let values = [(&self.change, mark.change.as_ref()), (&self.key, Some(&mark.key))];
        for (sort, value) in values {
            if let (Some(sort), Some(value)) = (sort, value) {
                parameters.push(value.clone());
                sides.0.push(sort.expression.clone());
                sides.1.push(format!("${}::text::{}", parameters.len(), sort.cast));
            }
        }
        format!("({}) {operator} ({})", sides.0.join(", "), sides.1.join(", "))
    }

    /// Gives the members of a row: bytes as base64, times without a zone as UTC.
    fn members(&self) -> String {
        let members: Vec<String> = self
            .columns
            .iter()
            .map(|field| {
                let name = quoted(&field.name);
                match field.kind {
                    Kind::Bytea => {
                        format!("translate(encode(t.{name}, 'base64'), E'\\n', '') AS {name}")
                    }
                    Kind::Timestamp => format!("(t.{name} AT TIME ZONE 'UTC') AS {name}"),
                    _ => format!("t.{name} AS {name}"),
                }
            })
            .collect();
        members.join(", ")
    }
}

async fn columns_of_query(connection: &mut PgConnection, from: &str) -> Result<Vec<Field>, Fault> {
    let text = format!("SELECT * FROM {from} AS t");
    let statement = connection.prepare(AssertSqlSafe(text).into_sql_str()).await?;
    let fields = statement.columns().iter().map(|column| {
        let cast = column.type_info().name().to_owned();
        let kind = match cast.as_str() {
            "INT2" => Kind::Int(2),
            "INT4" => Kind::Int(4),
            "INT8" => Kind::Int(8),
            "BYTEA" => Kind::Bytea,
            "TIMESTAMP" => Kind::Timestamp,
            "TIMESTAMPTZ" => Kind::TimestampTz,
            "DATE" => Kind::Date,
            _ => Kind::Other,
        };
        Field { name: column.name().to_owned(), kind, cast }
    });
    Ok(fields.collect())
}
