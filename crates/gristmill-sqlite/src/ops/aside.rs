use rusqlite::params;
use serde_json::json;

use super::ended::end_damaged;
use super::facts::facts;
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::whereabouts::Waiter;

/// Keeps for people what is known of a task that can't be read, says why, and ends it, so that whoever waits for it learns that it
/// will not run. It has left its place.
pub(super) fn set_aside(tx: &mut Tx<'_>, waiter: &Waiter, why: &str) -> Result<(), Fault> {
    let &Waiter { key, queue, kind, priority, line, attempt, claim_no, crashes, flags, .. } = waiter;
    tracing::error!(key, why, "a task can't be read and was set aside");
    let row = json!({
        "queue": queue, "priority": priority, "seq": key, "kind": kind, "line": [line.seq, line.turn],
        "attempt": attempt, "claim_no": claim_no, "crashes": crashes, "flags": flags.bits()
    });
    tx.conn.prepare_cached(sql::ASIDE_INSERT)?.execute(params![key, tx.now.as_millis(), why, row.to_string()])?;
    match facts(tx.conn, key)? {
        Some(facts) if facts.id.is_some() => end_damaged(tx, waiter, facts.id, facts.retention, why),
        // Nobody can ask for it.
        _ => Ok(()),
    }
}
