use gristmill_core::kit::check::{AHEAD_MS, Answers, Aside, COUNT_MAX, LATE_MS, Overlap, Unserved};
use gristmill_core::kit::migrate;
use gristmill_core::{Env, Finding, TaskId};
use tokio_postgres::types::ToSql;

use crate::error::Fault;
use crate::indexes::{BY_KIND, INDEXES};
use crate::ops::{awaited_workflows, served};
use crate::options::PostgresOptions;
use crate::session::Session;
use crate::sql::{Q, quote};
use crate::view;

/// The clocks of two machines that are kept well differ by less.
const CLOCKS_MS: i64 = 1_000;
/// More tasks than this in the default partition make a day's new partition hold everybody up, by about 0.1 s.
const STRAYS_MAX: i64 = 300_000;
/// A sweep looks at workflows within half a minute.
const STILL_MS: i64 = 300_000;
/// And tells of what has come as soon.
const UNTOLD_MS: i64 = 60_000;
/// How far each queue is looked into for tasks whose numbers have no names.
const HEAD: i64 = 1_000;

/// Looks for damage, broken invariants and settings that hurt.
pub(crate) async fn check(s: &mut Session<'_>, env: &Env, options: &PostgresOptions) -> Result<Vec<Finding>, Fault> {
    let mut findings = server(s, env).await?;
    findings.extend(answers(s).await?.findings());
    findings.push(horizon(s).await?);
    findings.push(slots(s).await?);
    findings.push(indexes(s, options).await?);
    findings.extend(tables(s, options).await?);
    findings.push(days(s).await?);
    findings.extend(locks(s).await?);
    findings.push(names(s, options).await?);
    findings.push(unnamed(s, options).await?);
    findings.push(workflows(s).await?);
    findings.push(waits(s).await?);
    if options.pgbouncer {
        let message = "pgbouncer=true: no wake-ups from other processes, no prepared statements, no timeouts of our own";
        findings.push(Finding::ok("pooler", message));
    }
    Ok(findings)
}

async fn server(s: &Session<'_>, env: &Env) -> Result<Vec<Finding>, Fault> {
    let before = env.now();
    let Some(row) = s.row(Q::CheckServer, &[]).await? else { return Ok(Vec::new()) };
    let after = env.now();
    let (version, number, schema): (String, i32, Option<i64>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(9)?);
    let role: String = row.try_get(10)?;
    let schema = migrate::version(schema.unwrap_or_default(), row.try_get(11)?);
    let mut findings = vec![if number >= 140_000 {
        Finding::ok("server", format!("PostgreSQL {version}, schema version {schema}, role {role}"))
    } else {
        Finding::error("server", format!("PostgreSQL {version} is too old"), "use PostgreSQL 14 or later")
    }];
    findings.push(match (row.try_get(2)?, row.try_get(3)?) {
        (true, _) => {
            let message = "the server is a standby, which can only be read";
            Finding::error("read_only", message, "connect to the primary, as with target_session_attrs=read-write")
        }
        (_, true) => Finding::error("read_only", "default_transaction_read_only is on", "turn it off for this role or database"),
        _ => Finding::ok("read_only", "the server can be written"),
    });
    findings.push(if row.try_get::<_, bool>(4)? && row.try_get::<_, bool>(5)? {
        Finding::ok("autovacuum", "autovacuum is on")
    } else {
        let hint = "turn on autovacuum and track_counts: without them the queue's tables only grow and become slow";
        Finding::error("autovacuum", "autovacuum is off on this server", hint)
    });
    let commit: String = row.try_get(7)?;
    findings.push(if row.try_get(6)? && commit != "off" {
        Finding::ok("durability", format!("fsync=on, synchronous_commit={commit}: what is acknowledged survives power loss"))
    } else {
        let message =
            format!("fsync or synchronous_commit is off (synchronous_commit={commit}): a crash may take the last commits");
        Finding::warning("durability", message, "turn them on unless that is acceptable")
    });
    if env.virtual_now().is_none() {
        findings.push(clocks(row.try_get(8)?, before.as_millis(), after.as_millis()));
    }
    Ok(findings)
}

/// The server's clock read between two readings of ours.
fn clocks(server: i64, before: i64, after: i64) -> Finding {
    let apart = (server - after).max(before - server).max(0);
    if apart < CLOCKS_MS {
        return Finding::ok("clock", "the clocks of server and client agree within a second");
    }
    Finding::warning(
        "clock",
        format!("the clocks of server and client differ by {:.1} s", apart as f64 / 1000.0),
        "keep both by NTP; tasks go by the server's clock, dates that clients compute by theirs",
    )
}

/// What every store is asked.
async fn answers(s: &mut Session<'_>) -> Result<Answers, Fault> {
    let unserved = Unserved::of(&view::queues(s).await?, !served(s).await?.0.is_empty());
    Ok(Answers {
        orphan_leases: count(s, Q::CheckOrphanLeases, &[]).await?,
        lost_leases: count(s, Q::CheckLostLeases, &[&s.now]).await?,
        overlap: Overlap::Running(count(s, Q::CheckOverlap, &[]).await?),
        ended_leases: count(s, Q::CheckEndedLeases, &[]).await?,
        owed: count(s, Q::CheckOwed, &[&COUNT_MAX]).await?,
        unserved,
        overdue: count(s, Q::CheckDue, &[&s.now, &COUNT_MAX, &LATE_MS]).await?,
        ahead: count(s, Q::CheckAhead, &[&s.now, &COUNT_MAX, &AHEAD_MS]).await?,
        still: still(s).await?,
        aside: Aside { table: "aside", reasons: aside(s).await? },
    })
}

async fn count(s: &Session<'_>, query: Q, params: &[&(dyn ToSql + Sync)]) -> Result<i64, Fault> {
    Ok(s.row(query, params).await?.map_or(Ok(0), |row| row.try_get(0))?)
}

async fn still(s: &Session<'_>) -> Result<Vec<TaskId>, Fault> {
    let rows = s.rows(Q::CheckStill, &[&COUNT_MAX]).await?;
    rows.iter().map(|row| Ok(TaskId::from_uuid(row.try_get(0)?))).collect()
}

async fn aside(s: &Session<'_>) -> Result<Vec<(String, i64)>, Fault> {
    let mut reasons = Vec::new();
    for row in s.rows(Q::AsideCount, &[]).await? {
        reasons.push((row.try_get(0)?, row.try_get(1)?));
    }
    Ok(reasons)
}

async fn horizon(s: &Session<'_>) -> Result<Finding, Fault> {
    let mut old = Vec::new();
    for row in s.rows(Q::CheckHorizon, &[]).await? {
        let (pid, age): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (user, program, state): (&str, &str, &str) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        old.push(format!("pid {pid} of {user} ({program}, {state}) since {} min", age / 60));
    }
    if old.is_empty() {
        return Ok(Finding::ok("horizon", "no transaction that we can see is older than five minutes"));
    }
    let message = format!("old transactions keep dead rows from being removed, which slows every queue: {}", old.join("; "));
    Ok(Finding::warning("horizon", message, "end them: SELECT pg_terminate_backend(pid), or ROLLBACK PREPARED"))
}

async fn slots(s: &Session<'_>) -> Result<Finding, Fault> {
    let mut idle = Vec::new();
    for row in s.rows(Q::CheckSlots, &[]).await? {
        idle.push(format!("{} ({} of WAL)", row.try_get::<_, &str>(0)?, row.try_get::<_, &str>(1)?));
    }
    if idle.is_empty() {
        return Ok(Finding::ok("slots", "no replication slot is idle"));
    }
    let hint = "start what uses them, or drop them: SELECT pg_drop_replication_slot(name)";
    Ok(Finding::warning("slots", format!("idle replication slots hold back WAL and rows: {}", idle.join(", ")), hint))
}

async fn indexes(s: &Session<'_>, options: &PostgresOptions) -> Result<Finding, Fault> {
    let rows = s.rows(Q::CheckIndexes, &[&options.schema]).await?;
    let mut invalid = rows.iter().map(|row| row.try_get::<_, String>(0)).collect::<Result<Vec<_>, _>>()?;
    // A part of ours is not valid yet while it is built, or is made anew if that was cut short.
    invalid.retain(|name| !INDEXES.iter().chain([&BY_KIND]).any(|index| index.is_part(name)));
    if !invalid.is_empty() {
        let message = format!("indexes are invalid: {}", invalid.join(", "));
        return Ok(Finding::error("indexes", message, "REINDEX INDEX each of them"));
    }
    let mut unbuilt = Vec::new();
    for index in INDEXES {
        if !index.is_whole(s.conn()?, s.texts()).await? {
            unbuilt.push(index.full_name());
        }
    }
    if !unbuilt.is_empty() {
        let message = format!("indexes are not built yet: {}", unbuilt.join(", "));
        let hint = "`gristmill migrate` builds them to the end; a worker whose role owns the tables does so by itself, as old \
                    transactions allow";
        return Ok(Finding::warning("indexes", message, hint));
    }
    Ok(Finding::ok("indexes", "all indexes are there and valid"))
}

async fn tables(s: &Session<'_>, options: &PostgresOptions) -> Result<Vec<Finding>, Fault> {
    let (mut off, mut closed) = (Vec::new(), Vec::new());
    for row in s.rows(Q::CheckTables, &[&options.schema]).await? {
        let name: String = row.try_get(0)?;
        if row.try_get(2)? {
            closed.push(name.clone());
        }
        if row.try_get(1)? {
            off.push(name);
        }
    }
    let mut findings = Vec::new();
    if !off.is_empty() {
        let hint = "ALTER TABLE ... RESET (autovacuum_enabled)";
        findings.push(Finding::error("autovacuum", format!("autovacuum is off for {}", off.join(", ")), hint));
    }
    findings.push(if closed.is_empty() {
        Finding::ok("rights", "the role may use all tables")
    } else {
        let hint =
            "a worker's role needs SELECT, INSERT, UPDATE and DELETE on them, as `gristmill migrate --roles` gives them to it";
        Finding::warning("rights", format!("this role lacks rights on {}", closed.join(", ")), hint)
    });
    Ok(findings)
}

async fn days(s: &Session<'_>) -> Result<Finding, Fault> {
    let Some(row) = s.row(Q::CheckDays, &[&s.now]).await? else { return Ok(Finding::ok("days", "")) };
    let (days, strays, tomorrow): (i64, Option<i64>, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let strays = strays.unwrap_or_default();
    let message = format!("{days} days have partitions; about {strays} tasks are in none of them");
    if !tomorrow {
        let hint = "start a worker: its sweeps make them three days ahead. If one runs, end old transactions, whose locks keep \
                    it from that: SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY 2";
        return Ok(Finding::warning("days", format!("tomorrow has no partition; {message}"), hint));
    }
    if strays > STRAYS_MAX {
        let hint = "they cost more to delete, and everybody waits while they are looked through once a day: shorten the retention \
                    of what is kept for long, and let gristmill make the ids, as only UUIDv7 belong to days";
        return Ok(Finding::warning("days", message, hint));
    }
    Ok(Finding::ok("days", message))
}

async fn locks(s: &Session<'_>) -> Result<Option<Finding>, Fault> {
    let Some(row) = s.row(Q::CheckLocks, &[]).await? else { return Ok(None) };
    let room = Room { each: row.try_get(2)?, connections: row.try_get(3)? };
    Ok(Some(room.for_days(row.try_get(0)?, row.try_get(1)?)))
}

/// Numbers of names are integers, and are not given a second time.
async fn names(s: &Session<'_>, options: &PostgresOptions) -> Result<Finding, Fault> {
    for row in s.rows(Q::CheckNames, &[&options.schema]).await? {
        let (table, used): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let most = i64::from(i32::MAX);
        if used > most / 10 * 8 {
            let message =
                format!("{used} of {most} numbers are used up in the table {table}; without one no new name can be kept");
            let hint = format!(
                "few of them are taken, as `SELECT id FROM {schema}.{table} ORDER BY id` shows: have them go on in a gap, with ALTER TABLE \
                 {schema}.{table} ALTER COLUMN id RESTART WITH its first number; and find out who makes so many names",
                schema = quote(&options.schema)
            );
            return Ok(Finding::warning("names", message, hint));
        }
    }
    Ok(Finding::ok("names", "there are numbers enough for new names of task types and queues"))
}

/// A program that outlived its database, through a failover or a restore, may have written numbers that this one never gave.
async fn unnamed(s: &Session<'_>, options: &PostgresOptions) -> Result<Finding, Fault> {
    let mut lost = Vec::new();
    for row in s.rows(Q::CheckUnnamed, &[&HEAD]).await? {
        let (what, number, tasks): (&str, i32, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        lost.push(format!("{tasks} with the {what} {number}"));
    }
    if lost.is_empty() {
        return Ok(Finding::ok("unnamed", "every task that waits has a queue and a type with a name"));
    }
    let message =
        format!("tasks wait whose number of a queue or type (kind) has no name, so that nobody runs them: {}", lost.join(", "));
    let hint = format!(
        "a failover or a restore lost the name. Find out from their arguments which it was, and give them its number of today, as with \
         UPDATE {schema}.task SET kind = (SELECT id FROM {schema}.kind WHERE name = '...') WHERE kind = the number, and the same in \
         ready, parked, scheduled, waiting and blocked",
        schema = quote(&options.schema)
    );
    Ok(Finding::error("unnamed", message, hint))
}

/// Sweeps look at each workflow that goes on all the time.
async fn workflows(s: &Session<'_>) -> Result<Finding, Fault> {
    let still = count(s, Q::CheckWorkflows, &[&s.now, &COUNT_MAX, &STILL_MS]).await?;
    if still == 0 {
        return Ok(Finding::ok("workflows", "workflows that go on are looked after"));
    }
    let message = format!("{still} workflows go on, and no sweep has looked at them for {} minutes", STILL_MS / 60_000);
    Ok(Finding::warning("workflows", message, "start a worker; if one runs, its log says why its sweeps fail"))
}

/// What has come is told within seconds by whoever sent it, and by sweeps.
async fn waits(s: &Session<'_>) -> Result<Finding, Fault> {
    let events = count(s, Q::CheckEvents, &[&s.now, &COUNT_MAX, &UNTOLD_MS]).await?;
    let workflows = count(s, Q::CheckWaits, &[&s.now, &awaited_workflows(s, COUNT_MAX).await?, &UNTOLD_MS]).await?;
    if events == 0 && workflows == 0 {
        return Ok(Finding::ok("waits", "whoever waited for an event or a workflow was told"));
    }
    let message =
        format!("{events} events were sent, and {workflows} workflows have ended, and not everybody who waits for them was told");
    let hint =
        "start a worker; if one runs, its log says why its sweeps fail, or an open transaction has the tasks that wait in hand";
    Ok(Finding::warning("waits", message, hint))
}

/// The server's table of locks, which all its databases share.
struct Room {
    /// `max_locks_per_transaction`.
    each: i64,
    /// How many times it is there.
    connections: i64,
}

impl Room {
    /// A statement that goes through all days locks all their tables and indexes. Two of them at once should find room, and what
    /// the applications lock besides.
    fn for_days(&self, days: i64, relations: i64) -> Finding {
        let all = self.each.saturating_mul(self.connections);
        let message = format!("{days} days have partitions, {relations} tables and indexes; the server has room for {all} locks");
        if relations.saturating_mul(2) <= all {
            return Finding::ok("locks", message);
        }
        let enough = (relations.saturating_mul(4) / self.connections.max(1)).saturating_add(1);
        let hint = format!(
            "raise max_locks_per_transaction from {} to {enough} (the server restarts for it), or shorten the retention of what is \
             kept for long, so that days are dropped: a list or a sweep may lock all of them, and without room fails with \"out \
             of shared memory\", as do the application's own statements",
            self.each
        );
        Finding::warning("locks", message, hint)
    }
}

#[cfg(test)]
mod tests {
    use gristmill_core::Severity;

    use super::*;

    #[test]
    fn days_beyond_the_room_for_locks_are_told_with_what_to_do() {
        let room = Room { each: 64, connections: 100 };
        assert_eq!(room.for_days(290, 3_190).severity, Severity::Ok);
        let told = room.for_days(369, 4_059);
        assert_eq!((told.severity, told.code.as_str()), (Severity::Warning, "locks"));
        assert_eq!(told.message, "369 days have partitions, 4059 tables and indexes; the server has room for 6400 locks");
        assert!(told.hint.starts_with("raise max_locks_per_transaction from 64 to 163 "), "{}", told.hint);
        assert_eq!(Room { each: 163, ..room }.for_days(369, 4_059).severity, Severity::Ok, "what is advised is enough");
        assert_eq!(Room { each: 1, connections: 0 }.for_days(1, i64::MAX).severity, Severity::Warning);
    }
}
