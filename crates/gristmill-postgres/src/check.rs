use gristmill_core::kit::migrate;
use gristmill_core::{Env, Finding, Severity};

use crate::error::Fault;
use crate::indexes::INDEXES;
use crate::options::PostgresOptions;
use crate::session::Session;
use crate::sql::Q;

const COUNT_MAX: i64 = 10_000;
/// The clocks of two machines that are kept well differ by less.
const CLOCKS_MS: i64 = 1_000;
/// More tasks than this in the default partition make a day's new partition hold everybody up, by about 0.1 s.
const STRAYS_MAX: i64 = 300_000;

/// Looks for damage, broken invariants and settings that hurt.
pub(crate) async fn check(s: &mut Session<'_>, env: &Env, options: &PostgresOptions) -> Result<Vec<Finding>, Fault> {
    let mut findings = server(s, env).await?;
    for case in CASES {
        findings.push(case.look(s).await?);
    }
    findings.push(aside(s).await?);
    findings.push(horizon(s).await?);
    findings.push(slots(s).await?);
    findings.push(indexes(s, options).await?);
    findings.extend(tables(s, options).await?);
    findings.push(days(s).await?);
    if options.pgbouncer {
        let message = "pgbouncer=true: no wake-ups from other processes, no prepared statements, no timeouts of our own";
        findings.push(ok("pooler", message.to_owned()));
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
        ok("server", format!("PostgreSQL {version}, schema version {schema}, role {role}"))
    } else {
        finding(Severity::Error, "server", format!("PostgreSQL {version} is too old"), "use PostgreSQL 14 or later")
    }];
    findings.push(match (row.try_get(2)?, row.try_get(3)?) {
        (true, _) => {
            let message = "the server is a standby, which can only be read".to_owned();
            finding(Severity::Error, "read_only", message, "connect to the primary, as with target_session_attrs=read-write")
        }
        (_, true) => finding(
            Severity::Error,
            "read_only",
            "default_transaction_read_only is on".to_owned(),
            "turn it off for this role or database",
        ),
        _ => ok("read_only", "the server can be written".to_owned()),
    });
    findings.push(if row.try_get::<_, bool>(4)? && row.try_get::<_, bool>(5)? {
        ok("autovacuum", "autovacuum is on".to_owned())
    } else {
        let hint = "turn on autovacuum and track_counts: without them the queue's tables only grow and become slow";
        finding(Severity::Error, "autovacuum", "autovacuum is off on this server".to_owned(), hint)
    });
    let commit: String = row.try_get(7)?;
    findings.push(if row.try_get(6)? && commit != "off" {
        ok("durability", format!("fsync=on, synchronous_commit={commit}: what is acknowledged survives power loss"))
    } else {
        let message =
            format!("fsync or synchronous_commit is off (synchronous_commit={commit}): a crash may take the last commits");
        finding(Severity::Warning, "durability", message, "turn them on unless that is acceptable")
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
        return ok("clock", "the clocks of server and client agree within a second".to_owned());
    }
    finding(
        Severity::Warning,
        "clock",
        format!("the clocks of server and client differ by {:.1} s", apart as f64 / 1000.0),
        "keep both by NTP; tasks go by the server's clock, dates that clients compute by theirs",
    )
}

/// A count that should be zero.
struct Case {
    code: &'static str,
    query: Q,
    /// Whether it asks for the time, and whether it is told where to stop.
    takes: (bool, bool),
    severity: Severity,
    what: &'static str,
    hint: &'static str,
}

const CASES: &[Case] = &[
    Case {
        code: "orphan_lease",
        query: Q::CheckOrphanLeases,
        takes: (false, false),
        severity: Severity::Error,
        what: "leases of tasks that do not exist",
        hint: "any worker's sweep removes them once their worker has gone; if they stay, restore a backup",
    },
    Case {
        code: "lost_lease",
        query: Q::CheckLostLeases,
        takes: (true, false),
        severity: Severity::Warning,
        what: "tasks held by workers that are dead",
        hint: "start a worker: any worker's sweep takes them back",
    },
    Case {
        code: "overlap",
        query: Q::CheckOverlap,
        takes: (false, false),
        severity: Severity::Error,
        what: "tasks that run and wait at the same time",
        hint: "something else wrote to gristmill's tables; cancel these tasks and check that program",
    },
    Case {
        code: "ended_lease",
        query: Q::CheckEndedLeases,
        takes: (false, false),
        severity: Severity::Error,
        what: "tasks that run though they have ended",
        hint: "something else wrote to gristmill's tables; check that program",
    },
    Case {
        code: "owed",
        query: Q::CheckOwed,
        takes: (false, true),
        severity: Severity::Warning,
        what: "ended tasks whose end set off something that this version does not know",
        hint: "start a worker of the version that enqueued them; until then they are kept",
    },
    Case {
        code: "unserved",
        query: Q::CheckParked,
        takes: (false, true),
        severity: Severity::Warning,
        what: "ready tasks of types that no worker serves",
        hint: "start a worker that has these task types, or cancel the tasks; `queues` shows where they are",
    },
    Case {
        code: "overdue",
        query: Q::CheckDue,
        takes: (true, true),
        severity: Severity::Warning,
        what: "scheduled tasks that are due for more than a minute",
        hint: "start a worker: workers make due tasks ready",
    },
];

impl Case {
    async fn look(&self, s: &Session<'_>) -> Result<Finding, Fault> {
        let Self { code, what, hint, .. } = self;
        let row = match self.takes {
            (false, false) => s.row(self.query, &[]).await?,
            (true, false) => s.row(self.query, &[&s.now]).await?,
            (false, true) => s.row(self.query, &[&COUNT_MAX]).await?,
            (true, true) => s.row(self.query, &[&s.now, &COUNT_MAX]).await?,
        };
        Ok(match row.map_or(Ok(0), |row| row.try_get::<_, i64>(0))? {
            0 => ok(code, format!("no {what}")),
            COUNT_MAX => finding(self.severity, code, format!("at least {COUNT_MAX} {what}"), hint),
            count => finding(self.severity, code, format!("{count} {what}"), hint),
        })
    }
}

async fn aside(s: &Session<'_>) -> Result<Finding, Fault> {
    let mut reasons = Vec::new();
    for row in s.rows(Q::AsideCount, &[]).await? {
        reasons.push(format!("{} ({})", row.try_get::<_, &str>(0)?, row.try_get::<_, i64>(1)?));
    }
    if reasons.is_empty() {
        return Ok(ok("aside", "no task was set aside as unreadable".to_owned()));
    }
    let message = format!("tasks that could not be read were set aside: {}", reasons.join(", "));
    Ok(finding(Severity::Error, "aside", message, "look at them in the table aside; delete the rows when you are done"))
}

async fn horizon(s: &Session<'_>) -> Result<Finding, Fault> {
    let mut old = Vec::new();
    for row in s.rows(Q::CheckHorizon, &[]).await? {
        let (pid, age): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (user, program, state): (&str, &str, &str) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        old.push(format!("pid {pid} of {user} ({program}, {state}) since {} min", age / 60));
    }
    if old.is_empty() {
        return Ok(ok("horizon", "no transaction that we can see is older than five minutes".to_owned()));
    }
    let message = format!("old transactions keep dead rows from being removed, which slows every queue: {}", old.join("; "));
    Ok(finding(Severity::Warning, "horizon", message, "end them: SELECT pg_terminate_backend(pid), or ROLLBACK PREPARED"))
}

async fn slots(s: &Session<'_>) -> Result<Finding, Fault> {
    let mut idle = Vec::new();
    for row in s.rows(Q::CheckSlots, &[]).await? {
        idle.push(format!("{} ({} of WAL)", row.try_get::<_, &str>(0)?, row.try_get::<_, &str>(1)?));
    }
    if idle.is_empty() {
        return Ok(ok("slots", "no replication slot is idle".to_owned()));
    }
    let hint = "start what uses them, or drop them: SELECT pg_drop_replication_slot(name)";
    Ok(finding(Severity::Warning, "slots", format!("idle replication slots hold back WAL and rows: {}", idle.join(", ")), hint))
}

async fn indexes(s: &Session<'_>, options: &PostgresOptions) -> Result<Finding, Fault> {
    let rows = s.rows(Q::CheckIndexes, &[&options.schema]).await?;
    let mut invalid = rows.iter().map(|row| row.try_get::<_, String>(0)).collect::<Result<Vec<_>, _>>()?;
    // A part of ours is not valid yet while it is built, or is made anew if that was cut short.
    invalid.retain(|name| !INDEXES.iter().any(|index| index.is_part(name)));
    if !invalid.is_empty() {
        let message = format!("indexes are invalid: {}", invalid.join(", "));
        return Ok(finding(Severity::Error, "indexes", message, "REINDEX INDEX each of them"));
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
        return Ok(finding(Severity::Warning, "indexes", message, hint));
    }
    Ok(ok("indexes", "all indexes are there and valid".to_owned()))
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
        findings.push(finding(Severity::Error, "autovacuum", format!("autovacuum is off for {}", off.join(", ")), hint));
    }
    findings.push(if closed.is_empty() {
        ok("rights", "the role may use all tables".to_owned())
    } else {
        let hint = "a worker's role needs SELECT, INSERT, UPDATE and DELETE on all tables of the schema";
        finding(Severity::Warning, "rights", format!("this role lacks rights on {}", closed.join(", ")), hint)
    });
    Ok(findings)
}

async fn days(s: &Session<'_>) -> Result<Finding, Fault> {
    let Some(row) = s.row(Q::CheckDays, &[&s.now]).await? else { return Ok(ok("days", String::new())) };
    let (days, strays, tomorrow): (i64, Option<i64>, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let strays = strays.unwrap_or_default();
    let message = format!("{days} days have partitions; about {strays} tasks are in none of them");
    if !tomorrow {
        let hint = "start a worker: its sweeps make them three days ahead. If one runs, end old transactions, whose locks keep \
                    it from that: SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY 2";
        return Ok(finding(Severity::Warning, "days", format!("tomorrow has no partition; {message}"), hint));
    }
    if strays > STRAYS_MAX {
        let hint = "they cost more to delete, and everybody waits while they are looked through once a day: shorten the retention \
                    of what is kept for long, and let gristmill make the ids, as only UUIDv7 belong to days";
        return Ok(finding(Severity::Warning, "days", message, hint));
    }
    Ok(ok("days", message))
}

fn ok(code: &str, message: String) -> Finding {
    finding(Severity::Ok, code, message, "")
}

fn finding(severity: Severity, code: &str, message: String, hint: &str) -> Finding {
    Finding { severity, code: code.to_owned(), message, hint: hint.to_owned() }
}
