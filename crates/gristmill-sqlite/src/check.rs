use gristmill_core::kit::check::{AHEAD_MS, Answers, Aside, COUNT_MAX, LATE_MS, Overlap, Unserved};
use gristmill_core::kit::encode::attempt_state_of;
use gristmill_core::kit::migrate;
use gristmill_core::{AttemptState, Finding, Severity, StoreError, StoreErrorKind, TaskId, Timestamp};
use rusqlite::{Connection, ToSql, TransactionBehavior, params};

use crate::directory;
use crate::error::Fault;
use crate::memory::served;
use crate::open;
use crate::options::{SqliteOptions, Synchronous};
use crate::reader::View;
use crate::text::Lossy;
use crate::{sql, view};

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

/// Workflows that are counted, those that have stood still for longest.
const WORKFLOWS_MAX: i64 = 1_000;

/// What to do about damage.
const DAMAGED_HINT: &str = "stop all writers, keep a copy of the file and its -wal, and restore a backup";

/// What is damaged in a file that can't be opened as a store for it; `None` if it is sound. Writes nothing, and reads the file as a whole
/// up to 256 MiB.
///
/// # Errors
/// If it is not there, can't be read, or is no SQLite database.
pub fn damage(url: &str) -> Result<Option<Finding>, StoreError> {
    let options: SqliteOptions = url.parse()?;
    let what = options.location();
    // The schema may be what is damaged, which is read at the first word.
    let looked = open::reader(&options).map_err(Fault::from).and_then(|conn| integrity(&conn, &what));
    let found = looked.or_else(|fault| damaged(fault, &what)).map_err(|fault| fault.explain(&what))?;
    Ok(Some(found).filter(|found| found.severity == Severity::Error))
}

/// Looks for damage, broken invariants and settings that hurt.
pub(crate) fn check(view: &mut View<'_>, options: &SqliteOptions) -> Result<Vec<Finding>, Fault> {
    let (conn, what) = (view.conn, options.location());
    let sound = integrity(conn, &what)?;
    let is_damaged = sound.severity == Severity::Error;
    let mut findings = vec![sound];
    match rows(view) {
        Ok(more) => findings.extend(more),
        // Of a damaged file not all can be asked, and it is told already.
        Err(_) if is_damaged => {}
        Err(fault) => findings.push(damaged(fault, &what)?),
    }
    findings.extend([durability(options), wal(options), write(options)]);
    findings.extend(disk(options));
    Ok(findings)
}

/// What the tables are asked.
fn rows(view: &mut View<'_>) -> Result<Vec<Finding>, Fault> {
    let conn = view.conn;
    let mut findings = answers(view)?.findings();
    findings.extend(workflows(view)?);
    findings.extend(durable(view)?);
    findings.extend([unreadable(conn)?, space(conn)?]);
    let (migrations, additions) = conn.query_row(sql::CHECK_SCHEMA, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let schema = migrate::version(migrations, additions);
    findings.push(Finding::ok("schema", format!("schema version {schema}, SQLite {}", rusqlite::version())));
    Ok(findings)
}

/// Damage on which a question failed, as something that was found.
fn damaged(fault: Fault, what: &str) -> Result<Finding, Fault> {
    let error = fault.explain(what);
    match error.kind() {
        StoreErrorKind::Corrupt => Ok(Finding::error("integrity", error.to_string(), DAMAGED_HINT)),
        _ => Err(error.into()),
    }
}

/// What every store is asked.
fn answers(view: &mut View<'_>) -> Result<Answers, Fault> {
    let (conn, now) = (view.conn, view.now.as_millis());
    let unserved = Unserved::of(&view::queues(view)?, !served(conn, view.now)?.0.is_empty());
    let count = |sql: &str, params: &[&dyn ToSql]| -> Result<i64, Fault> { Ok(conn.query_row(sql, params, |row| row.get(0))?) };
    Ok(Answers {
        orphan_leases: count(sql::CHECK_ORPHAN_LEASES, &[])?,
        lost_leases: count(sql::CHECK_LOST_LEASES, &[&now])?,
        overlap: Overlap::All(count(sql::CHECK_OVERLAP, &[&COUNT_MAX])?),
        ended_leases: count(sql::CHECK_ENDED_LEASES, &[])?,
        owed: count(sql::CHECK_OWED, &[&COUNT_MAX])?,
        unserved,
        overdue: count(sql::CHECK_DUE, &[&now.saturating_sub(LATE_MS), &COUNT_MAX])?,
        ahead: count(sql::CHECK_AHEAD, &[&now.saturating_add(AHEAD_MS), &COUNT_MAX])?,
        still: still(conn)?,
        aside: Aside { table: "gristmill_aside", reasons: aside(conn)? },
    })
}

fn still(conn: &Connection) -> Result<Vec<TaskId>, Fault> {
    let mut list = conn.prepare(sql::CHECK_STILL)?;
    let rows = list.query_map(params![COUNT_MAX, attempt_state_of(AttemptState::Snoozed)], |row| {
        Ok(row.get_ref(0)?.as_blob().ok().and_then(TaskId::from_slice))
    })?;
    Ok(rows.filter_map(Result::transpose).collect::<Result<_, _>>()?)
}

fn aside(conn: &Connection) -> Result<Vec<(String, i64)>, Fault> {
    let mut list = conn.prepare(sql::ASIDE_COUNT)?;
    let rows = list.query_map([], |row| Ok((row.get::<_, Lossy>(0)?.0, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether those that go on are as their members' rows say, so far as they can be read.
fn workflows(view: &View<'_>) -> Result<[Finding; 3], Fault> {
    let counted = view::count_members(view, Timestamp::MAX, WORKFLOWS_MAX)?;
    let lost = counted.iter().flat_map(|workflow| workflow.steps.iter().flatten()).filter(|step| !step.is_right()).count();
    let torn = counted.iter().filter(|workflow| workflow.steps.is_none()).count();
    let orphans: i64 = view.conn.query_row(sql::CHECK_ORPHAN_STEPS, [COUNT_MAX], |row| row.get(0))?;
    Ok([
        match lost {
            0 => Finding::ok("step_count", "no steps of workflows that have lost count of their members"),
            _ => Finding::warning(
                "step_count",
                format!("{lost} steps of workflows that have lost count of their members"),
                "start a worker: any worker's sweep counts them anew; if they come back, something else writes to gristmill's tables",
            ),
        },
        match torn {
            0 => Finding::ok("workflow", "no workflows whose steps can't be read"),
            _ => Finding::error(
                "workflow",
                format!("{torn} workflows whose steps can't be read, which stand still"),
                "something else wrote to the table gristmill_step; correct its rows, or restore a backup",
            ),
        },
        match orphans {
            0 => Finding::ok("orphan_step", "no steps of workflows that do not exist"),
            _ => Finding::warning(
                "orphan_step",
                format!("{}{orphans} steps of workflows that do not exist", if orphans < COUNT_MAX { "" } else { "at least " }),
                "something else wrote to the table gristmill_workflow; the rows do no harm, and can be deleted",
            ),
        },
    ])
}

/// Whether what tasks remember can be read, and none stands still for what has come.
fn durable(view: &View<'_>) -> Result<[Finding; 2], Fault> {
    let (mut count, mut named) = (0, Vec::new());
    let mut memories = view.conn.prepare(sql::CHECK_MEMORY)?;
    let mut rows = memories.query([if is_small(view.conn)? { i64::MAX } else { COUNT_MAX }])?;
    while let Some(row) = rows.next()? {
        let task = row.get_ref(0)?.as_blob().ok().and_then(TaskId::from_slice);
        if task.is_none() || view::memory(row, 1).is_none() {
            count += 1;
            if named.len() < NAMED_MAX {
                let task = task.map_or_else(|| "?".to_owned(), |task| task.to_string());
                named.push(format!("{task} at {}", row.get::<_, i64>(1)?));
            }
        }
    }
    let lost = view::lost_waits(view, COUNT_MAX)?;
    Ok([
        match count {
            0 => Finding::ok("memory", "what tasks remember of their steps can be read, so far as it was read"),
            _ => Finding::error(
                "memory",
                format!("{count} memories of tasks that can't be read, which keep them from running: {}", named.join(", ")),
                "a newer version has written them, which can run these tasks, or something else has: correct the rows in gristmill_memory",
            ),
        },
        match lost {
            0 => Finding::ok("lost_wait", "no tasks that stand still for what has come"),
            _ => Finding::warning(
                "lost_wait",
                format!("{lost} tasks that stand still for an event that is there, or for a workflow that has ended"),
                "start a worker: any worker's sweeps let them go on; if they come back, something else writes to gristmill's tables",
            ),
        },
    ])
}

/// Whether the file may be read as a whole.
fn is_small(conn: &Connection) -> Result<bool, Fault> {
    Ok(number(conn, "PRAGMA page_count")? * number(conn, "PRAGMA page_size")? <= QUICK_BYTES)
}

fn integrity(conn: &Connection, what: &str) -> Result<Finding, Fault> {
    look_for_damage(conn).or_else(|fault| damaged(fault, what))
}

fn look_for_damage(conn: &Connection) -> Result<Finding, Fault> {
    let bytes = number(conn, "PRAGMA page_count")? * number(conn, "PRAGMA page_size")?;
    let pragma = if bytes > QUICK_BYTES { "PRAGMA quick_check(5)" } else { "PRAGMA integrity_check(5)" };
    let mut check = conn.prepare(pragma)?;
    let (mut lines, mut rows) = (Vec::<String>::new(), check.query([])?);
    loop {
        match rows.next() {
            Ok(Some(row)) => lines.push(row.get(0)?),
            Ok(None) => break,
            // What was told before says more than that it can't go on.
            Err(_) if !lines.is_empty() => break,
            Err(error) => return Err(error.into()),
        }
    }
    if lines == ["ok"] {
        return Ok(Finding::ok("integrity", format!("the file is sound ({} bytes, {})", bytes, &pragma["PRAGMA ".len()..])));
    }
    let told = lines.join("; ").replace("*** in database main ***\n", "").replace('\n', "; ");
    Ok(Finding::error("integrity", format!("the file is damaged: {told}"), DAMAGED_HINT))
}

/// Text that is not UTF-8, which SQLite keeps without a word.
fn unreadable(conn: &Connection) -> Result<Finding, Fault> {
    let small = is_small(conn)?;
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
        return Ok(Finding::ok("text", "all text that was read is UTF-8"));
    }
    let message = format!("{count} rows hold text that is not UTF-8: {}", named.join(", "));
    let hint = "something else wrote to gristmill's tables; it is shown with U+FFFD and harms nothing else; correct those rows";
    Ok(Finding::error("text", message, hint))
}

fn durability(options: &SqliteOptions) -> Finding {
    match options.synchronous {
        Synchronous::Full => Finding::ok("synchronous", "synchronous=full: what is acknowledged survives power loss"),
        Synchronous::Normal => Finding::warning(
            "synchronous",
            "synchronous=normal: a power loss may take the last commits",
            "leave the option out unless that is acceptable",
        ),
    }
}

fn wal(options: &SqliteOptions) -> Finding {
    let mut path = options.path.clone().into_os_string();
    path.push("-wal");
    let bytes = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if bytes <= WAL_BYTES_MAX {
        return Finding::ok("wal", format!("the write-ahead log has {bytes} bytes"));
    }
    Finding::warning(
        "wal",
        format!("the write-ahead log has {bytes} bytes, as it can't be copied back"),
        "some connection keeps a read transaction open; find and end it",
    )
}

fn space(conn: &Connection) -> Result<Finding, Fault> {
    let (free, pages) = (number(conn, "PRAGMA freelist_count")?, number(conn, "PRAGMA page_count")?);
    let message = format!("{free} of {pages} pages are free and will be used again");
    if free > 100_000 && free > pages / 2 {
        return Ok(Finding::warning("space", message, "run VACUUM while no worker runs, if the disk space is needed"));
    }
    Ok(Finding::ok("space", message))
}

/// Tries a write that is rolled back.
fn write(options: &SqliteOptions) -> Finding {
    match try_write(options) {
        Ok(()) => Finding::ok("write", "the file can be written"),
        Err(error) if error.kind() == StoreErrorKind::Busy => {
            Finding::warning("write", error.to_string(), "find the program that holds its transaction open for so long")
        }
        Err(error) => {
            Finding::error("write", format!("the file can't be written: {error}"), "until then nothing is acknowledged")
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
    let free = directory::free_bytes(&options.path)?;
    let message = format!("{} MiB of the disk are free", free / 1024 / 1024);
    Some(if free < FREE_BYTES_MIN {
        Finding::warning("disk", message, "make room: on a full disk nothing is acknowledged")
    } else {
        Finding::ok("disk", message)
    })
}

fn number(conn: &Connection, pragma: &str) -> Result<i64, Fault> {
    Ok(conn.query_row(pragma, [], |row| row.get(0))?)
}
