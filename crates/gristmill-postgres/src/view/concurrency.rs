use gristmill_core::concurrency::{Holder, KeyState, LimitInfo, LimitRecord, Need, Standby};
use gristmill_core::kit::row::count;
use gristmill_core::limits::COUNT_MAX;
use gristmill_core::{TaskId, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Fault;
use crate::ops::{key_state, limit as most};
use crate::session::Session;
use crate::sql::Q;

fn info(row: &Row) -> Result<LimitInfo, Fault> {
    let now = Timestamp::from_millis(row.try_get(8)?);
    let key: String = row.try_get(9)?;
    Ok(key_state(&key, row)?.info(key, row.try_get::<_, i64>(10)?.unsigned_abs(), now))
}

/// Keys by name.
pub(crate) async fn list_limits(
    s: &Session<'_>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<LimitInfo>, Fault> {
    let rows = s.rows(Q::KeyList, &[&s.now, &prefix, &after.unwrap_or_default(), &most(limit), &(COUNT_MAX as i64)]).await?;
    rows.iter().map(info).collect()
}

async fn key_row(s: &Session<'_>, key: &str) -> Result<Option<Row>, Fault> {
    s.row(Q::KeyInfo, &[&s.now, &key, &(COUNT_MAX as i64)]).await
}

/// One key, with those who hold its slots and those who wait.
pub(crate) async fn limit(s: &Session<'_>, key: &str, limit: usize) -> Result<Option<LimitRecord>, Fault> {
    let Some(info) = key_row(s, key).await?.as_ref().map(info).transpose()? else { return Ok(None) };
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
    let cost = needs.iter().find(|need| need.key == key).map_or(1, |need| need.cost);
    let before = row.try_get::<_, i64>(2)?.unsigned_abs();
    let holders = holders(s, &key, Standby::HOLDERS_MAX).await?.into_iter().map(|holder| holder.task).collect();
    let (state, now) = match key_row(s, &key).await? {
        Some(row) => (key_state(&key, &row)?, Timestamp::from_millis(row.try_get(8)?)),
        // Nobody has looked at it yet.
        None => (KeyState::default(), Timestamp::MAX),
    };
    Ok(Some(state.standby(key, cost, before, holders, now)))
}
