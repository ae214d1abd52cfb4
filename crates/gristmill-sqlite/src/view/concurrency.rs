use gristmill_core::concurrency::{Holder, LimitInfo, LimitRecord, Need, Standby};
use gristmill_core::limits::COUNT_MAX;
use gristmill_core::{TaskId, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use crate::error::Fault;
use crate::ops::{count, key_state};
use crate::reader::View;
use crate::sql;

fn info(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<LimitInfo> {
    let key: String = row.get(7)?;
    Ok(key_state(&key, row)?.info(key, row.get::<_, i64>(8)?.unsigned_abs(), now))
}

fn id(row: &Row<'_>) -> rusqlite::Result<Option<TaskId>> {
    Ok(row.get_ref(0)?.as_blob().ok().and_then(TaskId::from_slice))
}

/// Keys by name.
pub(crate) fn list_limits(view: &View<'_>, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LimitInfo>, Fault> {
    let mut list = view.conn.prepare_cached(sql::KEY_LIST)?;
    let rows =
        list.query_map(params![prefix, after.unwrap_or_default(), count(limit), COUNT_MAX as i64], |row| info(row, view.now))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn limit_info(view: &View<'_>, key: &str) -> Result<Option<LimitInfo>, Fault> {
    Ok(view
        .conn
        .prepare_cached(sql::KEY_INFO)?
        .query_row(params![key, COUNT_MAX as i64], |row| info(row, view.now))
        .optional()?)
}

/// One key, with those who hold its slots and those who wait.
pub(crate) fn limit(view: &View<'_>, key: &str, limit: usize) -> Result<Option<LimitRecord>, Fault> {
    let Some(info) = limit_info(view, key)? else { return Ok(None) };
    let mut line = view.conn.prepare_cached(sql::STANDBY_IDS)?;
    let line = line.query_map(params![key, count(limit)], id)?.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    Ok(Some(LimitRecord { info, holders: holders(view, key, limit)?, line }))
}

fn holders(view: &View<'_>, key: &str, limit: usize) -> Result<Vec<Holder>, Fault> {
    let mut holders = view.conn.prepare_cached(sql::SLOT_HOLDERS)?;
    let rows = holders.query_map(params![key, count(limit)], |row| {
        let running_since = row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis);
        let cost = row.get(1)?;
        Ok(id(row)?.map(|task| Holder { task, cost, running_since }))
    })?;
    Ok(rows.filter_map(Result::transpose).collect::<Result<_, _>>()?)
}

/// Where a task waits for slots.
pub(crate) fn stands_by(view: &View<'_>, task: TaskId) -> Result<Option<Standby>, Fault> {
    let find = view.conn.prepare_cached(sql::TASK_FIND)?.query_row([task.as_bytes().as_slice()], |row| row.get(0)).optional()?;
    let Some(seq): Option<i64> = find else { return Ok(None) };
    let of = view
        .conn
        .prepare_cached(sql::STANDBY_OF)?
        .query_row([seq], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?)));
    let Some((key, late, needs)) = of.optional()? else { return Ok(None) };
    let needs: Vec<Need> = serde_json::from_str(&needs).unwrap_or_default();
    let state = view.conn.prepare_cached(sql::KEY_GET)?.query_row([&key], |row| key_state(&key, row))?;
    let before: i64 =
        view.conn.prepare_cached(sql::STANDBY_BEFORE)?.query_row(params![key, late, seq, COUNT_MAX as i64], |row| row.get(0))?;
    let cost = needs.iter().find(|need| need.key == key).map_or(1, |need| need.cost);
    let holders = holders(view, &key, Standby::HOLDERS_MAX)?.into_iter().map(|holder| holder.task).collect();
    Ok(Some(state.standby(key, cost, before.unsigned_abs(), holders, view.now)))
}
