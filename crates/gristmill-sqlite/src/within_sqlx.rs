use std::collections::HashMap;
use std::pin::Pin;

use gristmill_core::kit::list::labels_of;
use gristmill_core::{
    Edit, EnqueueOutcome, NewSchedule, NewTask, Schedule, ScheduleEdit, ScheduleWithin, Store, StoreError, StoreErrorKind,
    Timestamp, Within, store_of,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::ops::{ack_of, meta_of, retention_of, standing};
use crate::sql;
use crate::store::SqliteStore;
use crate::within::{EDITING, ENQUEUEING, SQLITE, foreign};

/// Marks [`Within`] for connections of sqlx.
#[derive(Clone, Copy, Debug)]
pub enum Sqlx {}

type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl<'a> Within<Sqlx> for &'a mut SqliteConnection {
    type Doing<T: Send + 'static> = Doing<'a, T>;

    fn insert(self, store: &dyn Store, tasks: Vec<NewTask>) -> Doing<'a, Vec<EnqueueOutcome>> {
        let now = store_of::<SqliteStore>(store, SQLITE).map(|store| store.env().now());
        Box::pin(async move { insert(self, tasks, now?).await.map_err(|error| explain(error, ENQUEUEING)) })
    }
}

impl<'a> ScheduleWithin<Sqlx> for &'a mut SqliteConnection {
    fn edit_schedule(self, store: &dyn Store, name: String, edit: ScheduleEdit) -> Doing<'a, Option<Schedule>> {
        let now = store_of::<SqliteStore>(store, SQLITE).map(|store| store.env().now());
        Box::pin(async move { edit_schedule(self, name, &edit, now?).await })
    }
}

impl<'a> Within<Sqlx> for &'a mut sqlx::Transaction<'_, sqlx::Sqlite> {
    type Doing<T: Send + 'static> = Doing<'a, T>;

    fn insert(self, store: &dyn Store, tasks: Vec<NewTask>) -> Doing<'a, Vec<EnqueueOutcome>> {
        let conn: &'a mut SqliteConnection = self;
        conn.insert(store, tasks)
    }
}

impl<'a> ScheduleWithin<Sqlx> for &'a mut sqlx::Transaction<'_, sqlx::Sqlite> {
    fn edit_schedule(self, store: &dyn Store, name: String, edit: ScheduleEdit) -> Doing<'a, Option<Schedule>> {
        let conn: &'a mut SqliteConnection = self;
        conn.edit_schedule(store, name, edit)
    }
}

async fn insert(conn: &mut SqliteConnection, tasks: Vec<NewTask>, now: Timestamp) -> Result<Vec<EnqueueOutcome>, sqlx::Error> {
    // Remembered for this call only: the caller may roll back.
    let (mut queues, mut kinds) = (HashMap::new(), HashMap::new());
    let mut outcomes = Vec::with_capacity(tasks.len());
    for task in tasks {
        let queue = intern(conn, &mut queues, &task.queue, sql::QUEUE_ADD, sql::QUEUE_FIND).await?;
        let kind = intern(conn, &mut kinds, &task.kind, sql::KIND_ADD, sql::KIND_FIND).await?;
        let id = task.id.as_bytes().as_slice();
        let due = task.due(now);
        let expires_at = task.deadline(now).map(Timestamp::as_millis);
        let added = sqlx::query(sql::TASK_INSERT)
            .bind(id)
            .bind(queue)
            .bind(kind)
            .bind(i64::from(task.priority))
            .bind(i64::from(task.max_attempts))
            .bind(i64::from(task.max_crashes))
            .bind(ack_of(task.ack))
            .bind(retention_of(task.retention))
            .bind(now.as_millis())
            .bind(due.as_millis())
            .bind(expires_at)
            .bind(&task.args)
            .bind(meta_of(task.meta.as_deref()))
            .execute(&mut *conn)
            .await?;
        if added.rows_affected() == 0 {
            let same = sqlx::query(sql::TASK_SAME).bind(id).bind(kind).bind(&task.args).fetch_one(&mut *conn).await?;
            outcomes.push(if same.try_get(0)? { EnqueueOutcome::Exists } else { EnqueueOutcome::Conflict });
            continue;
        }
        let seq = added.last_insert_rowid();
        for label in task.meta.as_deref().map(labels_of).unwrap_or_default() {
            sqlx::query(sql::LABEL_INSERT).bind(label).bind(seq).execute(&mut *conn).await?;
        }
        let place = if due <= now {
            sqlx::query(sql::READY_INSERT).bind(queue).bind(i64::from(task.priority)).bind(seq).bind(kind)
        } else {
            sqlx::query(sql::SCHEDULED_INSERT).bind(seq).bind(due.as_millis()).bind(queue)
        };
        place.bind(0i64).bind(0i64).bind(0i64).execute(&mut *conn).await?;
        if let Some(at) = expires_at {
            sqlx::query(sql::EXPIRY_INSERT).bind(at).bind(seq).execute(&mut *conn).await?;
        }
        outcomes.push(EnqueueOutcome::Created);
    }
    Ok(outcomes)
}

async fn edit_schedule(
    conn: &mut SqliteConnection,
    name: String,
    edit: &ScheduleEdit,
    now: Timestamp,
) -> Result<Option<Schedule>, StoreError> {
    Edit::check(std::slice::from_ref(&name))?;
    let explain = |error| explain(error, EDITING);
    let row = sqlx::query(sql::SCHEDULE_GET).bind(&name).fetch_optional(&mut *conn).await.map_err(explain)?;
    let found = row.map(|row| read(&row)).transpose().map_err(explain)?;
    match Edit::ask(edit, &name, found.as_ref(), now)? {
        Edit::Keep => Ok(found),
        Edit::Put(new) => put(conn, &name, new, found, now).await.map(Some).map_err(explain),
        Edit::Remove => {
            sqlx::query(sql::SCHEDULE_DELETE).bind(&name).execute(conn).await.map_err(explain)?;
            Ok(None)
        }
    }
}

async fn put(
    conn: &mut SqliteConnection,
    name: &str,
    new: NewSchedule,
    found: Option<Schedule>,
    now: Timestamp,
) -> Result<Schedule, sqlx::Error> {
    let revision = sqlx::query(sql::REVISION_NEXT).fetch_one(&mut *conn).await?.try_get(0)?;
    let standing = standing(name, new, found, revision, now);
    sqlx::query(sql::SCHEDULE_PUT)
        .bind(name)
        .bind(&standing.owner)
        .bind(&standing.body)
        .bind(standing.due_at.map(Timestamp::as_millis))
        .bind(&standing.memory)
        .bind(revision)
        .bind(now.as_millis())
        .execute(conn)
        .await?;
    Ok(standing)
}

fn read(row: &SqliteRow) -> Result<Schedule, sqlx::Error> {
    Ok(Schedule {
        name: row.try_get(0)?,
        owner: row.try_get(1)?,
        body: row.try_get(2)?,
        due_at: row.try_get::<Option<i64>, _>(3)?.map(Timestamp::from_millis),
        memory: row.try_get(4)?,
        revision: row.try_get(5)?,
        created_at: Timestamp::from_millis(row.try_get(6)?),
        edited_at: Timestamp::from_millis(row.try_get(7)?),
    })
}

async fn intern(
    conn: &mut SqliteConnection,
    known: &mut HashMap<String, i64>,
    name: &str,
    add: &'static str,
    find: &'static str,
) -> Result<i64, sqlx::Error> {
    if let Some(id) = known.get(name) {
        return Ok(*id);
    }
    let id = match sqlx::query(find).bind(name).fetch_optional(&mut *conn).await? {
        Some(row) => row.try_get(0)?,
        None => {
            sqlx::query(add).bind(name).execute(&mut *conn).await?;
            sqlx::query(find).bind(name).fetch_one(&mut *conn).await?.try_get(0)?
        }
    };
    known.insert(name.to_owned(), id);
    Ok(id)
}

fn explain(error: sqlx::Error, what: &str) -> StoreError {
    use StoreErrorKind::{Busy, Corrupt, Full, NotOurs, Other, ReadOnly, Unreachable};
    let text = error.to_string();
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    // The low byte is SQLite's primary result code.
    let kind = match code.map(|code| code & 0xff) {
        Some(5 | 6) => Busy,
        Some(8) => ReadOnly,
        Some(11) => Corrupt,
        Some(13) => Full,
        Some(14) => Unreachable,
        Some(26) => NotOurs,
        _ => Other,
    };
    let error = StoreError::new(kind, format!("{what}: {text}")).with_source(error);
    if text.contains("no such table: gristmill_") { foreign(what, error) } else { error }
}
