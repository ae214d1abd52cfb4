use std::pin::Pin;

use gristmill_core::{
    Edit, EnqueueOutcome, NewSchedule, NewTask, Schedule, ScheduleEdit, ScheduleWithin, Store, StoreError, StoreErrorKind,
    Timestamp, Within, store_of,
};

use super::sqlx::sqlite::SqliteRow;
use super::sqlx::{self, Row, SqliteConnection};
use crate::error::meaning;
use crate::names::Names;
use crate::ops::standing;
use crate::plan::Plan;
use crate::sql;
use crate::step::{Answer, Next, Step, Value};
use crate::store::SqliteStore;
use crate::within::{EDITING, ENQUEUEING, SQLITE, foreign};

/// Marks [`Within`] for connections of this version of sqlx.
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
    let mut names = Names::default();
    let mut outcomes = Vec::with_capacity(tasks.len());
    for task in &tasks {
        let mut plan = Plan::new(task, now);
        let mut answer = Answer::default();
        outcomes.push(loop {
            match plan.step(&mut names, answer) {
                Next::Run(step) => answer = run(conn, &step).await?,
                Next::Done(outcome) => break outcome,
            }
        });
    }
    Ok(outcomes)
}

/// Runs one step of a plan.
async fn run(conn: &mut SqliteConnection, step: &Step<'_>) -> Result<Answer, sqlx::Error> {
    let mut query = sqlx::query(step.statement.sql());
    for value in step.values().iter().copied() {
        query = match value {
            Value::Null => query.bind(None::<i64>),
            Value::Int(int) => query.bind(int),
            Value::Text(text) => query.bind(text),
            Value::Blob(bytes) => query.bind(bytes),
        };
    }
    if step.statement.asks() {
        let row = query.fetch_optional(conn).await?;
        let found = row.map(|row| row.try_get(0)).transpose()?;
        return Ok(Answer { found, ..Answer::default() });
    }
    let done = query.execute(conn).await?;
    Ok(Answer { changed: done.rows_affected(), key: done.last_insert_rowid(), found: None })
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

fn explain(error: sqlx::Error, what: &str) -> StoreError {
    let text = error.to_string();
    let code = error.as_database_error().and_then(|error| error.code()?.parse().ok());
    let (kind, hint) = code.and_then(meaning).unwrap_or((StoreErrorKind::Other, &text));
    let error = StoreError::new(kind, format!("{what}: {hint}")).with_source(error);
    if text.contains("no such table: gristmill_") { foreign(what, error) } else { error }
}
