//! Keys that one task has at once. An enqueue takes them; nothing gives them back.

use super::limit;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// So many keys one look goes through.
const WALK: usize = 500;

/// How far the keys were looked through: behind that of this task type.
pub(crate) type KeysWalked = (String, String);

/// Forgets keys that nobody has any more, a part of them. Returns how far it came, and whether it is worth going on at once.
pub(crate) async fn prune_keys(s: &Session<'_>, walked: &KeysWalked) -> Result<(KeysWalked, bool), Fault> {
    let row = s.row(Q::UniquePrune, &[&s.now, &walked.0, &walked.1, &limit(WALK)]).await?;
    let Some(row) = row.filter(|row| row.try_get(0).unwrap_or(false)) else { return Ok((KeysWalked::default(), false)) };
    let gone: i64 = row.try_get(3)?;
    Ok(((row.try_get(1)?, row.try_get(2)?), gone.unsigned_abs() as usize > WALK / 2))
}
