//! The sink as the engine sees it.

use std::sync::Arc;

use async_trait::async_trait;
use levada_model::{ErrorClass, RecordBatch, RecordError};
use levada_runtime::{TaskKind, Tasks};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::producer::{Failure, Flight, Producer};
use crate::kafka::error::{class_of, is_about_record, is_missing_topic};
use crate::kafka::{Connection, Problem};
use crate::{BuildContext, Outcomes, Sink, SinkError, Transactional};

/// What the sink is made of.
pub(super) struct Plan {
    pub(super) connection: Connection,
    /// The settings of the producer beside those of the connection.
    pub(super) settings: Vec<(&'static str, String)>,
    /// The id of its transactions, when it makes some.
    pub(super) transactional_id: Option<String>,
}

/// Writes to one topic.
pub(super) struct KafkaSink {
    pub(super) plan: Plan,
    pub(super) ctx: BuildContext,
    /// Made when it is needed, and again when it is broken.
    pub(super) producer: Option<Arc<Producer>>,
    /// The producer has taken over its transactional id.
    pub(super) is_initialised: bool,
    /// A transaction is under way.
    pub(super) has_begun: bool,
}

// === impl KafkaSink ===

impl KafkaSink {
    pub(super) fn new(plan: Plan, ctx: &BuildContext) -> Self {
        KafkaSink {
            plan,
            ctx: ctx.clone(),
            producer: None,
            is_initialised: false,
            has_begun: false,
        }
    }

    /// Gives the producer, connected.
    pub(super) async fn connected(&mut self) -> Result<Arc<Producer>, SinkError> {
        if let Some(producer) = &self.producer {
            return Ok(producer.clone());
        }
        let connection = self.plan.connection.clone();
        let mut config =
            connection.client().map_err(|text| SinkError::new(ErrorClass::InvalidData, text))?;
        for (key, value) in &self.plan.settings {
            config.set(*key, value);
        }
        let tasks = self.ctx.tasks.clone();
        let connect = {
            let tasks = tasks.clone();
            move || Producer::connect(&config, &connection, &tasks)
        };
        let producer = Arc::new(blocking(&tasks, connect).await??);
        self.producer = Some(producer.clone());
        (self.is_initialised, self.has_begun) = (false, false);
        Ok(producer)
    }

    /// Sends a batch, and resolves what was delivered or is at fault.
    pub(super) async fn send(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        let producer = self.connected().await?;
        let flight = producer.send(&self.plan.connection.topic, batch).await;
        let result = self.resolve(&flight, &producer, outcomes);
        if result.is_err() && producer.is_broken() {
            self.producer = None;
        }
        result
    }

    fn resolve(
        &self,
        flight: &Flight,
        producer: &Producer,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        let mut next = 0;
        let mut failed: Option<(Code, bool)> = None;
        let is_alone = flight.failures.len() == 1;
        // What the brokers refuse spoils the transaction that it is in.
        let is_by_itself = self.plan.transactional_id.is_none();
        for &(index, failure) in &flight.failures {
            outcomes.delivered(next..index);
            next = index + 1;
            match failure {
                Failure::Refused(code) => outcomes.rejected(index, refused(code)),
                // The brokers refuse requests; of one that failed alone it is clear which record it was.
                Failure::Undelivered(code) if is_by_itself && is_alone && is_about_record(code) => {
                    outcomes.rejected(index, refused(code));
                }
                Failure::Undelivered(code) => {
                    let about = is_about_record(code);
                    // An error of the sink hides those about records: they show again.
                    if failed.is_none_or(|(_, known)| known && !about) {
                        failed = Some((code, about));
                    }
                }
            }
        }
        outcomes.delivered(next..flight.sent);
        if let Some(error) = &flight.stopped {
            return Err(self.failure(error, producer));
        }
        match failed {
            None => Ok(()),
            Some((code, true)) => Err(SinkError {
                is_about_records: true,
                ..SinkError::new(ErrorClass::InvalidData, refused(code).message)
            }),
            Some((code, false)) => {
                Err(self.failure(&KafkaError::MessageProduction(code), producer))
            }
        }
    }

    /// Makes the error of records that could not be delivered.
    fn failure(&self, error: &KafkaError, producer: &Producer) -> SinkError {
        let (topic, brokers) = (&self.plan.connection.topic, self.plan.connection.brokers());
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        let problem = if is_missing_topic(code) {
            Problem::new(class_of(code), format!("topic `{topic}` on {brokers} is not there"))
        } else if producer.is_broken() {
            // A new producer has none of this.
            let text =
                format!("cannot write to topic `{topic}` on {brokers}, starting anew: {code}");
            Problem::new(ErrorClass::Transient, text)
        } else {
            let what = format!("cannot write to topic `{topic}` on {brokers}: {code}");
            match class_of(code) {
                class if class.is_transient() => producer.events().explain(what, class),
                class => Problem::new(class, what),
            }
        };
        problem.into()
    }
}

fn refused(code: Code) -> RecordError {
    let text = match code {
        Code::MessageSizeTooLarge => {
            "the record is larger than the client or the brokers allow (maxMessageBytes, and \
             max.message.bytes of the topic)"
                .to_owned()
        }
        code => format!("the brokers refuse the record: {code}"),
    };
    RecordError::invalid(text)
}

/// Runs what blocks on a thread of its own.
pub(super) async fn blocking<T, F>(tasks: &Tasks, work: F) -> Result<T, SinkError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let thread = tasks.spawn_thread(TaskKind::Connector, "kafka sink call", work);
    thread.await.map_err(|error| {
        SinkError::new(ErrorClass::Unknown, format!("a call ended unexpectedly ({error})"))
    })
}

#[async_trait]
impl Sink for KafkaSink {
    async fn open(&mut self) -> Result<(), SinkError> {
        self.connected().await.map(|_| ())
    }

    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        match self.plan.transactional_id {
            None => self.send(batch, outcomes).await,
            // Not the sink that keeps the positions: a route, or where dead letters go.
            Some(_) => self.send_and_commit(batch, outcomes).await,
        }
    }

    fn transactional(&mut self) -> Option<&mut dyn Transactional> {
        self.plan.transactional_id.is_some().then_some(self as &mut dyn Transactional)
    }
}
