use gristmill_core::limits::PAGE_ITEMS_MAX;
use gristmill_core::{LockInfo, TaskId, Timestamp};
use tokio_postgres::Row;

use crate::error::Fault;
use crate::names::Sort;
use crate::ops::limit as bound;
use crate::session::Session;
use crate::sql::Q;

/// Locks that are held, by name.
pub(crate) async fn locks(s: &mut Session<'_>, prefix: &str, after: &str, limit: usize) -> Result<Vec<LockInfo>, Fault> {
    let rows = s.rows(Q::LockList, &[&after, &prefix, &bound(limit.clamp(1, PAGE_ITEMS_MAX))]).await?;
    read(s, &rows).await
}

/// Those that the running attempt of a task holds.
pub(crate) async fn locks_of(s: &mut Session<'_>, id: TaskId) -> Result<Vec<LockInfo>, Fault> {
    s.spare_days().await?;
    let rows = s.rows(Q::LockOf, &[&id.as_uuid()]).await?;
    read(s, &rows).await
}

async fn read(s: &mut Session<'_>, rows: &[Row]) -> Result<Vec<LockInfo>, Fault> {
    let kinds = rows.iter().map(|row| Ok(row.try_get(4)?)).collect::<Result<Vec<Option<i32>>, Fault>>()?;
    s.read_names(Sort::Kind, kinds.iter().copied().flatten()).await?;
    let lock = |(row, kind): (&Row, &Option<i32>)| {
        Ok(LockInfo {
            name: row.try_get(0)?,
            token: row.try_get::<_, i64>(1)?.unsigned_abs(),
            task: TaskId::from_uuid(row.try_get(3)?),
            kind: kind.and_then(|kind| s.name(Sort::Kind, kind)).map(|name| name.to_string()),
            worker: row.try_get(5)?,
            since: Timestamp::from_millis(row.try_get(2)?),
        })
    };
    rows.iter().zip(&kinds).map(lock).collect()
}
