//! The partitions of task and outcome: a day each, by the time in the ids.

use gristmill_core::Timestamp;
use uuid::Uuid;

use crate::conn::Conn;
use crate::error::Fault;
use crate::sql::Texts;

const DAY_MS: i64 = 86_400_000;
/// So many days beyond today have their partitions: a night without workers changes nothing.
const AHEAD: i64 = 3;
/// Rows of a day that came before its partition and are moved into it; with more, the day stays where its rows are.
const MOVED_MAX: i64 = 10_000;

/// The number of the last day that has to have its partition.
pub(crate) fn last_wanted(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(DAY_MS) + AHEAD
}

/// Makes the partitions for today and the days to come. Needs a transaction.
///
/// Made beside the table and then attached: that takes no lock that keeps others from reading and writing, but for the short
/// look through the default partition, which is small.
pub(crate) async fn make_ahead(conn: &Conn, texts: &Texts, now: Timestamp) -> Result<(), Fault> {
    let today = now.as_millis().div_euclid(DAY_MS);
    for day in today..=last_wanted(now) {
        for table in ["task", "outcome"] {
            make(conn, texts, table, day).await?;
        }
    }
    Ok(())
}

async fn make(conn: &Conn, texts: &Texts, table: &str, day: i64) -> Result<(), Fault> {
    let (name, low, high) = (name(table, day), bound(day), bound(day + 1));
    let look = texts.fill(&format!(
        "SELECT to_regclass('{{l}}.{name}') IS NOT NULL, (SELECT count(*) FROM (SELECT FROM {{s}}.{table}_rest \
         WHERE id >= '{low}' AND id < '{high}' LIMIT {MOVED_MAX} + 1) r) > {MOVED_MAX}"
    ));
    let row = conn.client().query_one(&look, &[]).await?;
    if row.try_get(0)? || row.try_get(1)? {
        return Ok(());
    }
    let make = texts.fill(&format!(
        "CREATE TABLE {{s}}.{name} (LIKE {{s}}.{table} INCLUDING ALL); \
         WITH moved AS (DELETE FROM {{s}}.{table}_rest WHERE id >= '{low}' AND id < '{high}' RETURNING *) \
           INSERT INTO {{s}}.{name} SELECT * FROM moved; \
         ALTER TABLE {{s}}.{table} ATTACH PARTITION {{s}}.{name} FOR VALUES FROM ('{low}') TO ('{high}')"
    ));
    Ok(conn.batch(&make).await?)
}

/// `task_20270115`.
fn name(table: &str, day: i64) -> String {
    let date = Timestamp::from_millis(day.saturating_mul(DAY_MS)).to_string();
    let digits: String = date.chars().take(10).filter(char::is_ascii_digit).collect();
    format!("{table}_{digits}")
}

/// The lowest id of a day.
fn bound(day: i64) -> Uuid {
    let ms = u128::try_from(day.saturating_mul(DAY_MS)).unwrap_or_default() & ((1 << 48) - 1);
    Uuid::from_u128(ms << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_holds_the_ids_of_its_time() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let day = now.as_millis().div_euclid(DAY_MS);
        assert_eq!(name("task", day), "task_20270115");
        let (env, _) = gristmill_core::Env::virtual_time(now, 1);
        let id = env.task_id().as_uuid();
        assert!(bound(day) <= id && id < bound(day + 1));
    }
}
