//! Kafka to Kafka, each record exactly once.
