use gristmill_core::concurrency::{Holder, LimitInfo, LimitRecord, Need, Standby};
use gristmill_core::kit::row::count;
use gristmill_core::limits::COUNT_MAX;
use gristmill_core::{TaskId, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Fault;
use crate::ops::limit as most;
use crate::session::Session;
use crate::sql::Q;

fn info(row: &Row) -> Result<LimitInfo, Fault> {
    let (declared, set) = (row.try_get::<_, Option<i32>>(1)?.map(count), row.try_get::<_, Option<i32>>(2)?.map(count));
    Ok(LimitInfo {
        key: row.try_get(0)?,
        limit: set.or(declared).unwrap_or_default(),
        declared,
        set,
        used: row.try_get::<_, i64>(3)?.unsigned_abs(),
        waiting: row.try_get::<_, i64>(4)?.unsigned_abs(),
    })
}

/// Keys by name.
pub(crate) async fn list_limits(
    s: &Session<'_>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<LimitInfo>, Fault> {
    let rows = s.rows(Q::KeyList, &[&prefix, &after.unwrap_or_default(), &most(limit), &(COUNT_MAX as i64)]).await?;
    rows.iter().map(info).collect()
}

async fn limit_info(s: &Session<'_>, key: &str) -> Result<Option<LimitInfo>, Fault> {
    s.row(Q::KeyInfo, &[&key, &(COUNT_MAX as i64)]).await?.as_ref().map(info).transpose()
}

/// One key, with those who hold its slots and those who wait.
pub(crate) async fn limit(s: &Session<'_>, key: &str, limit: usize) -> Result<Option<LimitRecord>, Fault> {
    let Some(info) = limit_info(s, key).await? else { return Ok(None) };
    let line = s.rows(Q::StandbyIds, &[&key, &most(limit)]).await?;
    let line = line.iter().map(|row| Ok(TaskId::from_uuid(row.try_get(0)?))).collect::<Result<_, Fault>>()?;
    Ok(Some(LimitRecord { info, holders: holders(s, key, limit).await?, line }))
}

async fn holders(s: &Session<'_>, key: &str, limit: usize) -> Result<Vec<Holder>, Fault> {
    let rows = s.rows(Q::SlotHolders, &[&key, &most(limit)]).await?;
    let holder = |row: &Row| {
        Ok(Holder {
            task: TaskId::from_uuid(row.try_get::<_, Uuid>(0)?),
            cost: count(row.try_get(1)?),
            running_since: row.try_get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
        })
    };
    rows.iter().map(holder).collect()
}

/// Where a task waits for slots.
pub(crate) async fn stands_by(s: &Session<'_>, id: TaskId) -> Result<Option<Standby>, Fault> {
    let Some(row) = s.row(Q::StandbyOf, &[&id.as_uuid(), &(COUNT_MAX as i64)]).await? else { return Ok(None) };
    let (key, needs): (String, &str) = (row.try_get(0)?, row.try_get(1)?);
    let needs: Vec<Need> = serde_json::from_str(needs).unwrap_or_default();
    let info = limit_info(s, &key).await?;
    Ok(Some(Standby {
        cost: needs.iter().find(|need| need.key == key).map_or(1, |need| need.cost),
        limit: info.as_ref().map_or(0, |info| info.limit),
        used: info.map_or(0, |info| info.used),
        before: row.try_get::<_, i64>(2)?.unsigned_abs(),
        holders: holders(s, &key, Standby::HOLDERS_MAX).await?.into_iter().map(|holder| holder.task).collect(),
        key,
    }))
}
