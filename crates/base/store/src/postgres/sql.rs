//! Tables and statements.
//!
//! The key of a flow's lock is made of its name and of the table's identity, so that tables in several schemas of one database do
//! not share locks.

/// Says whether the tables are there. Asked first, because `CREATE TABLE IF NOT EXISTS` needs the right to create even when there
/// is nothing to do.
pub(super) const HAS_TABLES: &str = "SELECT to_regclass('levada_checkpoints') IS NOT NULL
    AND to_regclass('levada_checkpoint_audit') IS NOT NULL";

/// Makes what is missing. `body` is the file form of a checkpoint, with its checksum, and null when nothing is stored.
pub(super) const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS levada_checkpoints (
        flow text PRIMARY KEY,
        epoch bigint NOT NULL,
        saved_at timestamptz,
        holder_pid bigint,
        holder_host text,
        body text
    );
    CREATE TABLE IF NOT EXISTS levada_checkpoint_audit (
        id bigint GENERATED ALWAYS AS IDENTITY,
        flow text NOT NULL,
        at timestamptz NOT NULL,
        line text NOT NULL,
        PRIMARY KEY (flow, id)
    )";

/// Takes the lock of a flow for the session, if it is free.
pub(super) const LOCK: &str = "SELECT pg_try_advisory_lock(hashtextextended($1, 'levada_checkpoints'::regclass::oid::bigint))";

/// Takes the lock of a flow until the end of the transaction, if it is free.
pub(super) const LOCK_SHORT: &str = "SELECT pg_try_advisory_xact_lock(
    hashtextextended($1, 'levada_checkpoints'::regclass::oid::bigint))";

/// Gives the lock of a flow back.
pub(super) const UNLOCK: &str =
    "SELECT pg_advisory_unlock(hashtextextended($1, 'levada_checkpoints'::regclass::oid::bigint))";

/// Who took the lock of a flow last.
pub(super) const HOLDER: &str =
    "SELECT holder_pid, holder_host FROM levada_checkpoints WHERE flow = $1";

/// Gives out the next epoch; no row when there is none left.
pub(super) const NEXT_EPOCH: &str = "
    INSERT INTO levada_checkpoints AS c (flow, epoch, holder_pid, holder_host) VALUES ($1, 1, $2, $3)
    ON CONFLICT (flow) DO UPDATE
    SET epoch = c.epoch + 1, holder_pid = EXCLUDED.holder_pid, holder_host = EXCLUDED.holder_host
    WHERE c.epoch < 9223372036854775807
    RETURNING epoch";

/// Stores a checkpoint in one step: if the lock is ours ($5) or free, and the epoch is not older than the last one given out.
pub(super) const SAVE: &str = "
    WITH free AS MATERIALIZED (
        SELECT CASE WHEN $5 THEN true ELSE pg_try_advisory_xact_lock(
            hashtextextended($1, 'levada_checkpoints'::regclass::oid::bigint)) END AS ok
    ), saved AS (
        INSERT INTO levada_checkpoints AS c (flow, epoch, saved_at, body)
        SELECT $1, $2, timestamptz 'epoch' + $3 * interval '1 microsecond', $4 FROM free WHERE ok
        ON CONFLICT (flow) DO UPDATE
        SET epoch = EXCLUDED.epoch, saved_at = EXCLUDED.saved_at, body = EXCLUDED.body
        WHERE c.epoch <= EXCLUDED.epoch
        RETURNING true
    )
    SELECT ok, EXISTS (SELECT FROM saved) FROM free";

/// The highest epoch given out or stored.
pub(super) const EPOCH: &str = "SELECT epoch FROM levada_checkpoints WHERE flow = $1";

/// The stored checkpoint.
pub(super) const LOAD: &str = "SELECT body FROM levada_checkpoints WHERE flow = $1";

/// Epoch and stored checkpoint, which nobody can change until the end of the transaction.
pub(super) const LOAD_LOCKED: &str =
    "SELECT epoch, body FROM levada_checkpoints WHERE flow = $1 FOR UPDATE";

/// Forgets a checkpoint, if the lock is ours ($2) or free.
pub(super) const RESET: &str = "
    WITH free AS MATERIALIZED (
        SELECT CASE WHEN $2 THEN true ELSE pg_try_advisory_xact_lock(
            hashtextextended($1, 'levada_checkpoints'::regclass::oid::bigint)) END AS ok
    ), forgotten AS (
        UPDATE levada_checkpoints SET body = NULL, saved_at = NULL
        WHERE flow = $1 AND (SELECT ok FROM free)
    )
    SELECT ok FROM free";

/// Stores what an amendment made, with its epoch.
pub(super) const AMEND: &str = "
    INSERT INTO levada_checkpoints (flow, epoch, saved_at, body)
    VALUES ($1, $2, timestamptz 'epoch' + $3 * interval '1 microsecond', $4)
    ON CONFLICT (flow) DO UPDATE
    SET epoch = EXCLUDED.epoch, saved_at = EXCLUDED.saved_at, body = EXCLUDED.body";

/// Keeps an audit line.
pub(super) const KEEP_LINE: &str = "
    INSERT INTO levada_checkpoint_audit (flow, at, line)
    VALUES ($1, timestamptz 'epoch' + $2 * interval '1 microsecond', $3)";

/// Forgets audit lines of a flow but the newest $2.
pub(super) const FORGET_LINES: &str = "
    DELETE FROM levada_checkpoint_audit WHERE flow = $1 AND id <= (
        SELECT id FROM levada_checkpoint_audit WHERE flow = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)";

/// The audit lines of a flow, oldest first.
pub(super) const LINES: &str =
    "SELECT line FROM levada_checkpoint_audit WHERE flow = $1 ORDER BY id";

/// Some flows with what is stored of them.
pub(super) const LOAD_SOME: &str =
    "SELECT flow, body FROM levada_checkpoints WHERE flow = ANY($1) AND body IS NOT NULL";

/// The flows that have a checkpoint.
pub(super) const NAMES: &str = "SELECT flow FROM levada_checkpoints WHERE body IS NOT NULL";
