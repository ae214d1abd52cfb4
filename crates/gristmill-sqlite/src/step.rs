//! Statements with their values, apart from the driver that runs them: what is written the same way whether the caller brought
//! a connection of rusqlite or one of sqlx.

use crate::sql;

/// The most values that one of these statements takes.
const VALUES_MAX: usize = 17;

/// A statement that a driver is to run.
pub(crate) struct Step<'a> {
    pub(crate) statement: Statement,
    values: [Value<'a>; VALUES_MAX],
    count: usize,
}

impl<'a> Step<'a> {
    #[inline]
    pub(crate) fn new<const N: usize>(statement: Statement, given: [Value<'a>; N]) -> Self {
        const { assert!(N <= VALUES_MAX, "a statement takes more values than a step has room for") };
        let mut values = [Value::Null; VALUES_MAX];
        for (value, given) in values.iter_mut().zip(given) {
            *value = given;
        }
        Self { statement, values, count: N }
    }

    /// As another statement that takes more values behind these.
    pub(crate) fn and<const N: usize>(self, statement: Statement, more: [Value<'a>; N]) -> Self {
        let mut values = self.values;
        for (value, more) in values.iter_mut().skip(self.count).zip(more) {
            *value = more;
        }
        Self { statement, values, count: self.count + N }
    }

    /// Its values, from `?1` on.
    pub(crate) fn values(&self) -> &[Value<'a>] {
        self.values.get(..self.count).unwrap_or_default()
    }
}

/// One value, borrowed, so that none is copied on its way to SQLite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

impl From<Option<i64>> for Value<'_> {
    fn from(int: Option<i64>) -> Self {
        int.map_or(Value::Null, Value::Int)
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Value::Null, Value::Text)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Int(int) => ValueRef::Integer(int),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// The statements that steps have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    QueueFind,
    QueueAdd,
    KindFind,
    KindAdd,
    TaskInsert,
    TaskInsertMember,
    TaskSame,
    UniqueHolder,
    UniqueTake,
    DebounceExpiry,
    DebounceScheduled,
    DebounceTask,
    UniqueMerge,
    WorkflowInsert,
    StepInsert,
    LabelInsert,
    BlockedInsert,
    ScheduledInsert,
    WaitingInsert,
    ReadyInsert,
    ReadyInsertFlagged,
    ParkedInsert,
    EventOver,
    EventInsert,
    ExpiryInsert,
}

impl Statement {
    /// How many there are, for a driver that keeps each prepared.
    pub(crate) const COUNT: usize = Self::ExpiryInsert as usize + 1;

    pub(crate) const fn sql(self) -> &'static str {
        match self {
            Self::QueueFind => sql::QUEUE_FIND,
            Self::QueueAdd => sql::QUEUE_ADD,
            Self::KindFind => sql::KIND_FIND,
            Self::KindAdd => sql::KIND_ADD,
            Self::TaskInsert => sql::TASK_INSERT,
            Self::TaskInsertMember => sql::TASK_INSERT_MEMBER,
            Self::TaskSame => sql::TASK_SAME,
            Self::UniqueHolder => sql::UNIQUE_HOLDER,
            Self::UniqueTake => sql::UNIQUE_TAKE,
            Self::DebounceExpiry => sql::DEBOUNCE_EXPIRY,
            Self::DebounceScheduled => sql::DEBOUNCE_SCHEDULED,
            Self::DebounceTask => sql::DEBOUNCE_TASK,
            Self::UniqueMerge => sql::UNIQUE_MERGE,
            Self::WorkflowInsert => sql::WORKFLOW_INSERT,
            Self::StepInsert => sql::STEP_INSERT,
            Self::LabelInsert => sql::LABEL_INSERT,
            Self::BlockedInsert => sql::BLOCKED_INSERT,
            Self::ScheduledInsert => sql::SCHEDULED_INSERT,
            Self::WaitingInsert => sql::WAITING_INSERT,
            Self::ReadyInsert => sql::READY_INSERT,
            Self::ReadyInsertFlagged => sql::READY_INSERT_FLAGGED,
            Self::ParkedInsert => sql::PARKED_INSERT,
            Self::EventOver => sql::EVENT_OVER,
            Self::EventInsert => sql::EVENT_INSERT,
            Self::ExpiryInsert => sql::EXPIRY_INSERT,
        }
    }

    /// Whether it answers with one number, if it finds a row, and not with what it changed.
    pub(crate) const fn asks(self) -> bool {
        matches!(self, Self::QueueFind | Self::KindFind | Self::TaskSame)
    }

    /// Whether it answers with the id of a task, if it finds a row.
    pub(crate) const fn names(self) -> bool {
        matches!(self, Self::UniqueHolder)
    }
}

/// What a driver says when it has run a step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer {
    /// Rows that it changed.
    pub(crate) changed: u64,
    /// The key of the row that was inserted last.
    pub(crate) key: i64,
    /// What it found, if the statement [asks](Statement::asks).
    pub(crate) found: Option<i64>,
    /// The id that it found, if the statement [names](Statement::names) a task.
    pub(crate) named: Option<[u8; 16]>,
}

/// How a work of several steps goes on.
#[expect(clippy::large_enum_variant, reason = "a box would cost an allocation a statement, and it never leaves the stack")]
pub(crate) enum Next<'a, T> {
    /// By this one; its answer is wanted.
    Run(Step<'a>),
    /// It is done.
    Done(T),
}
