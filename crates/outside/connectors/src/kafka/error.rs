//! Which class an error of the client has.
//!
//! | what | class | so |
//! |---|---|---|
//! | no broker, no leader, a time-out, a coordinator that moves, a purge | connection, timeout, transient | again |
//! | wrong password, no right to a topic or group, a certificate that does not verify | auth | the flow ends |
//! | a record that is too large or that the broker calls invalid | invalid data | the record is rejected |
//! | a topic that is not there, and everything else | unknown | the flow ends |
//!
//! A topic that is missing ends the flow and does not make it wait: most often its name is misspelt, and
//! the brokers were asked to create it, as the original does, and would not.

use levada_model::ErrorClass;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::traits::{SinkError, SourceError};

/// What went wrong, before it is known whether it concerns a source or a sink.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) class: ErrorClass,
    pub(crate) message: String,
}

// === impl Problem ===

impl Problem {
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Problem { class, message: message.into() }
    }

    /// Makes the problem of a call that failed.
    pub(crate) fn of(what: &str, error: &KafkaError) -> Self {
        let class = error.rdkafka_error_code().map_or(ErrorClass::Unknown, class_of);
        Problem { class, message: format!("{what}: {error}") }
    }
}

impl From<Problem> for SourceError {
    fn from(problem: Problem) -> Self {
        SourceError::new(problem.class, problem.message)
    }
}

impl From<Problem> for SinkError {
    fn from(problem: Problem) -> Self {
        SinkError::new(problem.class, problem.message)
    }
}

/// Gives the class of an error code.
pub(crate) fn class_of(code: Code) -> ErrorClass {
    match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::NetworkException
        | Code::BrokerNotAvailable
        | Code::DestroyBroker
        | Code::BrokerDestroy => ErrorClass::ConnectionError,
        Code::OperationTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue
        | Code::RequestTimedOut => ErrorClass::Timeout,
        Code::Authentication
        | Code::SSL
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SecurityDisabled
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => ErrorClass::AuthError,
        code if is_about_record(code) => ErrorClass::InvalidData,
        code if is_passing(code) || is_fencing(code) => ErrorClass::Transient,
        _ => ErrorClass::Unknown,
    }
}

/// Tells whether the cluster says that it may work later.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::ISRInsufficient
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::WaitingForCoordinator
            | Code::NotController
            | Code::KafkaStorageError
            | Code::UnknownLeaderEpoch
            | Code::FencedLeaderEpoch
            | Code::PreferredLeaderNotAvailable
            | Code::EligibleLeadersNotAvailable
            | Code::OffsetNotAvailable
            | Code::StaleBrokerEpoch
            | Code::ReassignmentInProgress
            | Code::ConcurrentTransactions
            | Code::PurgeQueue
            | Code::PurgeInflight
            | Code::QueueFull
            | Code::Retry
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::Outdated
            | Code::WaitCache
            | Code::UnknownBroker
            | Code::PollExceeded
            | Code::OutOfOrderSequenceNumber
            | Code::UnknownProducerId
            | Code::InvalidProducerIdMapping
            | Code::FetchSessionIdNotFound
            | Code::InvalidFetchSessionEpoch
            | Code::State
            | Code::Interrupted
            | Code::CriticalSystemResource
    )
}

/// Tells whether somebody else has taken over what was worked on: a group's partitions, a transaction.
///
/// Harmless for a commit: who has taken over goes on from the last one that passed.
pub(crate) fn is_fencing(code: Code) -> bool {
    matches!(
        code,
        Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::RebalanceInProgress
            | Code::FencedInstanceId
            | Code::AssignmentLost
            | Code::Fenced
            | Code::InvalidProducerEpoch
            | Code::TransactionCoordinatorFenced
            | Code::Fatal
    )
}

/// Tells whether a record is at fault and not the cluster.
pub(crate) fn is_about_record(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::InvalidTimestamp
            | Code::InvalidRecord
            | Code::InvalidDifferentRecord
            | Code::PolicyViolation
    )
}

/// Tells whether a topic or a partition is not there.
pub(crate) fn is_missing_topic(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_say_what_happens_next() {
        for (code, class) in [
            (Code::AllBrokersDown, ErrorClass::ConnectionError),
            (Code::MessageTimedOut, ErrorClass::Timeout),
            (Code::NotLeaderForPartition, ErrorClass::Transient),
            (Code::IllegalGeneration, ErrorClass::Transient),
            (Code::TopicAuthorizationFailed, ErrorClass::AuthError),
            (Code::Authentication, ErrorClass::AuthError),
            (Code::MessageSizeTooLarge, ErrorClass::InvalidData),
            (Code::UnknownTopicOrPartition, ErrorClass::Unknown),
            (Code::InvalidTopic, ErrorClass::Unknown),
        ] {
            assert_eq!(class_of(code), class, "{code:?}");
        }
    }
}
