//! In the caller's own transaction, with whatever driver: our SQL functions, called on a connection that is not ours.
//!
//! One statement each, without names that would have to be known before: what has to be looked up or compared is the
//! functions' work. Parameters and answers are text and JSON, so that a driver needs nothing but a text to carry.

#[cfg(feature = "diesel")]
pub(crate) mod diesel;
#[cfg(feature = "sqlx")]
pub(crate) mod sqlx;
#[cfg(feature = "tokio-postgres")]
pub(crate) mod tokio_postgres;

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;

use gristmill_core::{CancelOutcome, EnqueueOutcome, NewTask, Store, StoreError, StoreErrorKind, TaskId, limits, store_of};
use serde::de::DeserializeOwned;

use crate::PostgresStore;
use crate::error::of_code;
use crate::ops::{NewRow, check_tasks, to_json};
use crate::sql::{Q, Texts};

const ENQUEUEING: &str = "enqueueing in your transaction";
const CANCELLING: &str = "cancelling in your transaction";
/// About the most arguments of one statement, in bytes: the server keeps no JSON above 256 MiB, and holds several copies of it.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// A caller's connection with its open transaction, of any driver.
pub(crate) trait Foreign: Send {
    /// Sends one statement whose parameters are texts, and brings the one text that it answers.
    fn ask(&mut self, sql: &str, params: &[Option<String>]) -> impl Future<Output = Result<String, Refusal>> + Send;
}

/// What a driver says when it brings no answer.
pub(crate) struct Refusal {
    /// The SQLSTATE, if the server refused and the driver tells.
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    /// The sort of trouble where there is no code.
    pub(crate) kind: StoreErrorKind,
    pub(crate) source: Box<dyn StdError + Send + Sync>,
}

/// Calls one of our functions; `what` is what is tried, for people.
pub(crate) async fn call<T: DeserializeOwned>(
    on: &mut impl Foreign,
    what: &str,
    sql: &str,
    params: &[Option<String>],
) -> Result<T, StoreError> {
    let answer = on.ask(sql, params).await.map_err(|refusal| refusal.explain(what))?;
    serde_json::from_str(&answer).map_err(|error| unreadable(what, &answer).with_source(error))
}

/// The future of a driver that is not synchronous.
pub(crate) type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

fn insert<'a>(mut on: impl Foreign + 'a, store: &dyn Store, tasks: Vec<NewTask>) -> Doing<'a, Vec<EnqueueOutcome>> {
    let texts = texts_of(store);
    Box::pin(async move {
        let texts = texts?;
        // In the caller's transaction all of it counts, so that nothing is sent of what holds one impossible task.
        check_tasks(&tasks).map_err(|fault| fault.explain(ENQUEUEING))?;
        let mut outcomes = Vec::with_capacity(tasks.len());
        let mut rest = tasks.as_slice();
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_len(rest));
            let rows: Vec<_> = batch.iter().map(NewRow::of).collect();
            let sql = texts.text(Q::CallInsertTasks);
            let codes: Vec<u8> = call(&mut on, ENQUEUEING, sql, &[Some(to_json(&rows))]).await?;
            outcomes.extend(codes.into_iter().map(|code| match code {
                0 => EnqueueOutcome::Created,
                1 => EnqueueOutcome::Exists,
                _ => EnqueueOutcome::Conflict,
            }));
            rest = later;
        }
        Ok(outcomes)
    })
}

fn cancel<'a>(mut on: impl Foreign + 'a, store: &dyn Store, id: TaskId) -> Doing<'a, CancelOutcome> {
    let texts = texts_of(store);
    Box::pin(async move {
        let ids = Some(format!("{{{}}}", id.as_uuid()));
        let answers: Vec<CancelOutcome> = call(&mut on, CANCELLING, texts?.text(Q::CallCancelTasks), &[ids]).await?;
        answers.first().copied().ok_or_else(|| unreadable(CANCELLING, "[]"))
    })
}

fn texts_of(store: &dyn Store) -> Result<Arc<Texts>, StoreError> {
    Ok(store_of::<PostgresStore>(store, "PostgreSQL")?.texts())
}

/// How many of the first tasks are one statement: at least one.
fn batch_len(tasks: &[NewTask]) -> usize {
    let mut bytes = 0;
    let fits = |task: &&NewTask| {
        bytes += task.args.len();
        bytes <= BATCH_BYTES
    };
    tasks.iter().take(limits::BATCH_TASKS_MAX).take_while(fits).count().max(1)
}

fn unreadable(what: &str, answer: &str) -> StoreError {
    let message =
        format!("{what}: its database answered {answer}, which this version does not understand; run `gristmill migrate`");
    StoreError::new(StoreErrorKind::Other, message)
}

impl Refusal {
    fn explain(self, what: &str) -> StoreError {
        let Self { code, message, kind, source } = self;
        let (kind, hint) = match code.as_deref() {
            // It stays so until the caller rolls back: no repetition helps.
            Some("25P02") => (StoreErrorKind::Invalid, "an earlier statement of it failed; roll it back".to_owned()),
            Some("26000" | "42P05") => (
                StoreErrorKind::Other,
                format!("{message}; a pooler stands between: turn off your driver's cache of prepared statements"),
            ),
            Some(code) => of_code(code, message),
            None => (kind, message),
        };
        let state = code.filter(|code| !hint.contains(code.as_str()));
        let state = state.map(|code| format!(" (SQLSTATE {code})")).unwrap_or_default();
        StoreError::new(kind, format!("{what}: {hint}{state}")).with_source(source)
    }
}

/// What makes types of a driver transactions.
macro_rules! within {
    ($driver:ident: $(for<$a:lifetime $(, $b:lifetime)?> $foreign:ty),+ $(,)?) => { $(
        impl<$a $(, $b)?> ::gristmill_core::Within<$driver> for $foreign {
            type Doing<T: Send + 'static> = $crate::within::Doing<$a, T>;

            fn insert(
                self,
                store: &dyn ::gristmill_core::Store,
                tasks: Vec<::gristmill_core::NewTask>,
            ) -> $crate::within::Doing<$a, Vec<::gristmill_core::EnqueueOutcome>> {
                $crate::within::insert(self, store, tasks)
            }
        }

        impl<$a $(, $b)?> ::gristmill_core::CancelWithin<$driver> for $foreign {
            fn cancel(
                self,
                store: &dyn ::gristmill_core::Store,
                id: ::gristmill_core::TaskId,
            ) -> $crate::within::Doing<$a, ::gristmill_core::CancelOutcome> {
                $crate::within::cancel(self, store, id)
            }
        }
    )+ };
}
use within;
