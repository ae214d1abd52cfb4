use gristmill_core::kit::migrate;
use gristmill_core::{Finding, Severity, StoreError, StoreErrorKind};
use rusqlite::{Connection, TransactionBehavior, params};

use crate::error::Fault;
use crate::open;
use crate::options::{SqliteOptions, Synchronous};
use crate::place;
use crate::reader::View;
use crate::sql;
use crate::text::Lossy;

/// Above this many bytes only the quick form of the integrity check is run, which does not read every index entry.
const QUICK_BYTES: i64 = 256 * 1024 * 1024;
/// Above this the WAL is larger than checkpoints leave it.
const WAL_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// With less space than this, a burst of tasks may fill the disk.
const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// What is written to see whether that goes: more than the pages that are cached for it.
const PROBE_BYTES: usize = 64 * 1024;
/// Rows that a finding names.
const NAMED_MAX: usize = 5;
const COUNT_MAX: i64 = 10_000;
/// Tasks that should have been promoted this long ago show that nobody sweeps.
const LATE_MS: i64 = 60_000;

/// Looks for damage, broken invariants and settings that hurt.
pub(crate) fn check(view: &mut View<'_>, options: &SqliteOptions) -> Result<Vec<Finding>, Fault> {
    let conn = view.conn;
    let mut findings = vec![integrity(conn)?];
    let now = view.now.as_millis();
    for case in CASES {
        findings.push(case.look(conn, now)?);
    }
    findings.push(aside(conn)?);
    findings.push(unreadable(conn)?);
    findings.push(durability(options));
    findings.push(wal(options));
    findings.push(space(conn)?);
    findings.push(write(options));
    findings.extend(disk(options));
    let (migrations, additions) = conn.query_row(sql::CHECK_SCHEMA, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let schema = migrate::version(migrations, additions);
    findings.push(ok("schema", format!("schema version {schema}, SQLite {}", rusqlite::version())));
    Ok(findings)
}

/// A count that should be zero.
struct Case {
    code: &'static str,
    sql: &'static str,
    params: fn(now: i64) -> Vec<i64>,
    severity: Severity,
    what: &'static str,
    hint: &'static str,
}

const CASES: &[Case] = &[
    Case {
        code: "orphan_lease",
        sql: sql::CHECK_ORPHAN_LEASES,
        params: |_| vec![],
        severity: Severity::Error,
        what: "leases of tasks that do not exist",
        hint: "any worker's sweep removes them once their worker has gone; if they stay, restore a backup",
    },
    Case {
        code: "lost_lease",
        sql: sql::CHECK_LOST_LEASES,
        params: |now| vec![now],
        severity: Severity::Warning,
        what: "tasks held by workers that are dead",
        hint: "start a worker: any worker's sweep takes them back",
    },
    Case {
        code: "overlap",
        sql: sql::CHECK_OVERLAP,
        params: |_| vec![],
        severity: Severity::Error,
        what: "tasks that run and wait at the same time",
        hint: "something else wrote to gristmill's tables; cancel these tasks and check that program",
    },
    Case {
        code: "ended_lease",
        sql: sql::CHECK_ENDED_LEASES,
        params: |_| vec![],
        severity: Severity::Error,
        what: "tasks that run though they have ended",
        hint: "something else wrote to gristmill's tables; check that program",
    },
    Case {
        code: "unserved",
        sql: sql::CHECK_PARKED,
        params: |_| vec![COUNT_MAX],
        severity: Severity::Warning,
        what: "ready tasks of types that no worker serves",
        hint: "start a worker that has these task types, or cancel the tasks; `queues` shows where they are",
    },
    Case {
        code: "overdue",
        sql: sql::CHECK_DUE,
        params: |now| vec![now.saturating_sub(LATE_MS), COUNT_MAX],
        severity: Severity::Warning,
        what: "scheduled tasks that are due for more than a minute",
        hint: "start a worker: workers make due tasks ready",
    },
];

impl Case {
    fn look(&self, conn: &Connection, now: i64) -> Result<Finding, Fault> {
        let Self { code, what, hint, .. } = self;
        let count: i64 = conn.query_row(self.sql, rusqlite::params_from_iter((self.params)(now)), |row| row.get(0))?;
        Ok(match count {
            0 => ok(code, format!("no {what}")),
            COUNT_MAX => finding(self.severity, code, format!("at least {count} {what}"), hint),
            _ => finding(self.severity, code, format!("{count} {what}"), hint),
        })
    }
}

fn integrity(conn: &Connection) -> Result<Finding, Fault> {
    let bytes = number(conn, "PRAGMA page_count")? * number(conn, "PRAGMA page_size")?;
    let pragma = if bytes > QUICK_BYTES { "PRAGMA quick_check(5)" } else { "PRAGMA integrity_check(5)" };
    let mut check = conn.prepare(pragma)?;
    let lines: Vec<String> = check.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if lines == ["ok"] {
        return Ok(ok("integrity", format!("the file is sound ({} bytes, {})", bytes, &pragma["PRAGMA ".len()..])));
    }
    let hint = "stop all writers, keep a copy of the file and its -wal, and restore a backup";
    Ok(finding(Severity::Error, "integrity", format!("the file is damaged: {}", lines.join("; ")), hint))
}

fn aside(conn: &Connection) -> Result<Finding, Fault> {
    let mut list = conn.prepare(sql::ASIDE_COUNT)?;
    let rows = list.query_map(params![], |row| Ok(format!("{} ({})", row.get::<_, Lossy>(0)?.0, row.get::<_, i64>(1)?)))?;
    let reasons: Vec<String> = rows.collect::<Result<_, _>>()?;
    if reasons.is_empty() {
        return Ok(ok("aside", "no task was set aside as unreadable".to_owned()));
    }
    let message = format!("tasks that could not be read were set aside: {}", reasons.join(", "));
    Ok(finding(Severity::Error, "aside", message, "look at them in the table gristmill_aside; delete the rows when you are done"))
}

/// Text that is not UTF-8, which SQLite keeps without a word.
fn unreadable(conn: &Connection) -> Result<Finding, Fault> {
    let small = number(conn, "PRAGMA page_count")? * number(conn, "PRAGMA page_size")? <= QUICK_BYTES;
    let mut texts = conn.prepare(sql::CHECK_TEXT)?;
    let columns = texts.column_count();
    let mut rows = texts.query([small])?;
    let (mut count, mut named) = (0, Vec::new());
    while let Some(row) = rows.next()? {
        for column in 2..columns {
            let bad = row.get_ref(column)?.as_bytes().is_ok_and(|text| std::str::from_utf8(text).is_err());
            if bad {
                count += 1;
                if named.len() < NAMED_MAX {
                    named.push(format!("{} {}", row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
                }
                break;
            }
        }
    }
    if count == 0 {
        return Ok(ok("text", "all text that was read is UTF-8".to_owned()));
    }
    let message = format!("{count} rows hold text that is not UTF-8: {}", named.join(", "));
    let hint = "something else wrote to gristmill's tables; it is shown with U+FFFD and harms nothing else; correct those rows";
    Ok(finding(Severity::Error, "text", message, hint))
}

fn durability(options: &SqliteOptions) -> Finding {
    match options.synchronous {
        Synchronous::Full => ok("synchronous", "synchronous=full: what is acknowledged survives power loss".to_owned()),
        Synchronous::Normal => finding(
            Severity::Warning,
            "synchronous",
            "synchronous=normal: a power loss may take the last commits".to_owned(),
            "leave the option out unless that is acceptable",
        ),
    }
}

fn wal(options: &SqliteOptions) -> Finding {
    let mut path = options.path.clone().into_os_string();
    path.push("-wal");
    let bytes = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if bytes <= WAL_BYTES_MAX {
        return ok("wal", format!("the write-ahead log has {bytes} bytes"));
    }
    finding(
        Severity::Warning,
        "wal",
        format!("the write-ahead log has {bytes} bytes, as it can't be copied back"),
        "some connection keeps a read transaction open; find and end it",
    )
}

fn space(conn: &Connection) -> Result<Finding, Fault> {
    let (free, pages) = (number(conn, "PRAGMA freelist_count")?, number(conn, "PRAGMA page_count")?);
    let message = format!("{free} of {pages} pages are free and will be used again");
    if free > 100_000 && free > pages / 2 {
        return Ok(finding(Severity::Warning, "space", message, "run VACUUM while no worker runs, if the disk space is needed"));
    }
    Ok(ok("space", message))
}

/// Tries a write that is rolled back.
fn write(options: &SqliteOptions) -> Finding {
    match try_write(options) {
        Ok(()) => ok("write", "the file can be written".to_owned()),
        Err(error) if error.kind() == StoreErrorKind::Busy => {
            finding(Severity::Warning, "write", error.to_string(), "find the program that holds its transaction open for so long")
        }
        Err(error) => {
            finding(Severity::Error, "write", format!("the file can't be written: {error}"), "until then nothing is acknowledged")
        }
    }
}

fn try_write(options: &SqliteOptions) -> Result<(), StoreError> {
    let mut conn = open::writer(options)?;
    let mut insert = || {
        open::tune(&conn, options)?;
        // With so few pages it is written to the disk before the end of the transaction.
        conn.execute_batch("PRAGMA cache_size = 4; PRAGMA cache_spill = 4")?;
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute(sql::ASIDE_INSERT, params![0, 0, "a write of `doctor`, rolled back", "x".repeat(PROBE_BYTES)])?;
        tx.rollback()
    };
    insert().map_err(|error| open::explain(error, options))
}

/// Whether the disk is about to be full.
fn disk(options: &SqliteOptions) -> Option<Finding> {
    let free = place::free_bytes(&options.path)?;
    let message = format!("{} MiB of the disk are free", free / 1024 / 1024);
    Some(if free < FREE_BYTES_MIN {
        finding(Severity::Warning, "disk", message, "make room: on a full disk nothing is acknowledged")
    } else {
        ok("disk", message)
    })
}

fn number(conn: &Connection, pragma: &str) -> Result<i64, Fault> {
    Ok(conn.query_row(pragma, [], |row| row.get(0))?)
}

fn ok(code: &str, message: String) -> Finding {
    finding(Severity::Ok, code, message, "")
}

fn finding(severity: Severity, code: &str, message: String, hint: &str) -> Finding {
    Finding { severity, code: code.to_owned(), message, hint: hint.to_owned() }
}
