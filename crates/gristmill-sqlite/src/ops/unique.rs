//! Keys that one task has at once. An enqueue takes them, in [`Plan`](crate::plan::Plan); nothing gives them back.

use rusqlite::params;

use super::sweep::count;
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;

/// So many keys one look goes through, and so many looks a sweep has as long as most of what they find can go.
const WALK: usize = 500;
const LOOKS: usize = 10;

/// Forgets keys that nobody has any more, a part of them at once.
pub(super) fn prune(tx: &mut Tx<'_>) -> Result<(), Fault> {
    for _ in 0..LOOKS {
        let (kind, key) = std::mem::take(&mut tx.memory.unique_walked);
        let walked: Vec<(i64, String, bool)> = {
            let mut walk = tx.conn.prepare_cached(sql::UNIQUE_WALK)?;
            let values = params![kind, key, tx.now.as_millis(), count(WALK)];
            let rows = walk.query_map(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        let free: Vec<_> = walked.iter().filter(|(.., is_free)| *is_free).collect();
        for (kind, key, _) in &free {
            tx.conn.prepare_cached(sql::UNIQUE_DELETE)?.execute(params![kind, key])?;
        }
        let Some((kind, key, _)) = walked.last().filter(|_| walked.len() == WALK) else { return Ok(()) };
        tx.memory.unique_walked = (*kind, key.clone());
        if free.len() < WALK / 2 {
            return Ok(());
        }
    }
    Ok(())
}
