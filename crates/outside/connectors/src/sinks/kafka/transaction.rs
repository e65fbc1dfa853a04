//! Records and the source's offsets in one transaction.
//!
//! The offsets that count are those of the *source's group*: a transaction commits them with the records,
//! so [`Transactional::stored`] has nothing to tell, and the source starts from what its group has.
//!
//! **Who may commit.** Two things keep a former owner out. The group's generation (KIP-447): offsets are
//! sent on behalf of the source's membership, and once its partitions were given to another member the
//! brokers refuse them; the source itself refuses before, see [`crate::kafka::membership`]. And the
//! transactional id: whoever takes an id over ends the transaction that was open under it.
//!
//! **The transactional id** is `levada-<namespace>-<name>-<host>`, with a number behind it for further members
//! on the same host (see [`crate::kafka::slot`]). It must differ between members of a group that run at
//! the same time, or they would end each other's transactions; and it should be the same again after a
//! crash, because an open transaction keeps the group's offsets and everybody who reads the topic waiting
//! until it is ended: by the next owner of its id at once, else by the brokers after a minute.
//! `transactionalId` replaces it.
//!
//! **Errors.** An *abortable* error undoes the transaction; the engine opens source and sink again and goes
//! on from the group's offsets. A *fatal* one, being fenced included, costs the producer: the next one takes
//! the id over again. Being fenced by mistake (two members with one id) therefore shows as a warning that
//! comes again and again and names the id, while no record is lost or doubled.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levada_model::{ErrorClass, Position, RecordBatch, Str};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;

use super::producer::Producer;
use super::sink::{KafkaSink, blocking};
use crate::kafka::Problem;
use crate::kafka::error::class_of;
use crate::kafka::membership::Membership;
use crate::{Outcomes, SinkError, Transactional};

/// How long one call of a transaction may take.
const CALL: Duration = Duration::from_secs(30);

/// How long the cluster may take to tell its id.
const CLUSTER_ID: Duration = Duration::from_secs(5);

// === impl KafkaSink ===

impl KafkaSink {
    /// Gives a producer that has taken over its transactional id.
    async fn initialised(&mut self) -> Result<Arc<Producer>, SinkError> {
        let producer = self.connected().await?;
        if !self.is_initialised {
            let client = producer.client.clone();
            self.call("take over the transactional id", move || client.init_transactions(CALL))
                .await?;
            self.is_initialised = true;
        }
        Ok(producer)
    }

    async fn begun(&mut self) -> Result<Arc<Producer>, SinkError> {
        let producer = self.initialised().await?;
        if !self.has_begun {
            let result = producer.client.begin_transaction();
            self.settled("begin a transaction", result)?;
            self.has_begun = true;
        }
        Ok(producer)
    }

    /// Undoes the transaction under way, if there is one.
    async fn undo(&mut self) -> Result<(), SinkError> {
        let Some(producer) = self.producer.clone().filter(|_| self.has_begun) else {
            return Ok(());
        };
        self.has_begun = false;
        let client = producer.client.clone();
        let undone = self.call("undo a transaction", move || client.abort_transaction(CALL)).await;
        if undone.is_err() {
            // The next producer ends it by taking the id over.
            self.producer = None;
        }
        undone
    }

    /// Undoes a transaction that a message spoiled, and lets the producer go.
    ///
    /// The client purges what comes right behind such a transaction, so a producer that begins anew is the
    /// shorter way; it ends the transaction too when that could not be undone.
    async fn give_up(&mut self) {
        if let Err(error) = self.undo().await {
            tracing::debug!(%error, "a transaction is left to the next producer");
        }
        self.producer = None;
    }

    /// Sends a batch in a transaction of its own.
    pub(super) async fn send_and_commit(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        let producer = self.begun().await?;
        let mut sent = Outcomes::default();
        let client = producer.client.clone();
        let result = match self.send(batch, &mut sent).await {
            Ok(()) => {
                self.call("commit a transaction", move || client.commit_transaction(CALL)).await
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {
                self.has_begun = false;
                copy(&sent, outcomes);
                Ok(())
            }
            // Nothing of it counts as delivered, so nothing of it may stay.
            Err(error) => {
                self.give_up().await;
                Err(error)
            }
        }
    }

    /// Makes a call that blocks.
    async fn call(
        &mut self,
        what: &str,
        work: impl FnOnce() -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<(), SinkError> {
        let tasks = self.ctx.tasks.clone();
        let result = blocking(&tasks, work).await?;
        self.settled(what, result)
    }

    /// Decides what an error of a transaction costs.
    fn settled(&mut self, what: &str, result: Result<(), KafkaError>) -> Result<(), SinkError> {
        let Err(error) = result else { return Ok(()) };
        let id = self.plan.transactional_id.as_deref().unwrap_or_default();
        let brokers = self.plan.connection.brokers();
        let message = format!("cannot {what} as `{id}` on {brokers}: {error}");
        let class = error.rdkafka_error_code().map_or(ErrorClass::Unknown, class_of);
        let is_fatal = match &error {
            KafkaError::Transaction(error) => error.is_fatal(),
            _ => false,
        };
        let can_be_undone = match &error {
            KafkaError::Transaction(error) => error.txn_requires_abort() || error.is_retriable(),
            _ => class.is_transient(),
        };
        if is_fatal || !self.is_initialised {
            self.producer = None;
        }
        let class = match class {
            ErrorClass::AuthError => class,
            class if class.is_transient() => class,
            _ if is_fatal || can_be_undone => ErrorClass::Transient,
            class => class,
        };
        Err(SinkError::new(class, message))
    }

    /// Checks that source and sink talk to one cluster.
    async fn check_cluster(&mut self, membership: &Membership) -> Result<(), SinkError> {
        let producer = self.initialised().await?;
        let tasks = self.ctx.tasks.clone();
        let client = producer.client.clone();
        let own = blocking(&tasks, move || client.client().fetch_cluster_id(CLUSTER_ID)).await?;
        match (&own, &membership.cluster) {
            (Some(own), Some(other)) if own != other => {
                let text = format!(
                    "exactly once needs source and sink in one cluster; the source reads from \
                     {other} and the sink writes to {own}"
                );
                Err(SinkError::new(ErrorClass::Unknown, text))
            }
            _ => Ok(()),
        }
    }
}

fn copy(from: &Outcomes, to: &mut Outcomes) {
    for range in from.delivered_ranges() {
        to.delivered(range.clone());
    }
    for (index, error) in from.rejected_records() {
        to.rejected(*index, error.clone());
    }
}

#[async_trait]
impl Transactional for KafkaSink {
    async fn stored(&mut self) -> Result<Vec<(Str, Position)>, SinkError> {
        self.undo().await?;
        self.initialised().await?;
        Ok(Vec::new())
    }

    async fn prepare(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        self.begun().await?;
        let mut sent = Outcomes::default();
        let result = self.send(batch, &mut sent).await;
        match result {
            Ok(()) => copy(&sent, outcomes),
            Err(_) => self.give_up().await,
        }
        result
    }

    async fn commit(&mut self, positions: &[(Str, Position)]) -> Result<(), SinkError> {
        let membership = self.ctx.links.get::<Membership>().ok_or_else(|| {
            let text = "the source has not joined its group";
            SinkError::from(Problem::new(ErrorClass::Transient, text))
        })?;
        if !self.has_begun {
            self.check_cluster(&membership).await?;
        }
        let producer = self.begun().await?;
        let (offsets, member) = membership.offsets(positions)?;
        if offsets.count() > 0 {
            let client = producer.client.clone();
            self.call("commit offsets", move || {
                client.send_offsets_to_transaction(&offsets, &member, CALL)
            })
            .await?;
        }
        let client = producer.client.clone();
        self.call("commit a transaction", move || client.commit_transaction(CALL)).await?;
        self.has_begun = false;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), SinkError> {
        self.undo().await
    }

    fn keeps_positions_of_source(&self) -> bool {
        true
    }

    /// The group's offsets are the source's to set.
    async fn rewind(&mut self, _to: &[(Str, Position)]) -> Result<(), SinkError> {
        Ok(())
    }
}
