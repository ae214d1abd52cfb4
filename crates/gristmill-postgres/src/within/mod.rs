//! In the caller's own transaction, with whatever driver: our SQL functions, called on a connection that is not ours.
//!
//! One statement each, without names that would have to be known before: what has to be looked up or compared is the
//! functions' work. Parameters and answers are text and JSON, so that a driver needs nothing but a text to carry.

#[cfg(feature = "diesel")]
pub(crate) mod diesel;
mod names;
#[cfg(feature = "tokio-postgres")]
pub(crate) mod tokio_postgres;

use std::error::Error as StdError;
use std::sync::Arc;

use gristmill_core::durable::{NewEvent, Sent};
use gristmill_core::kit::encode::{ms, to_json};
use gristmill_core::kit::row::NewRow;
use gristmill_core::workflow::{NewWorkflow, Started};
use gristmill_core::{
    CancelOutcome, Doing, Edit, EnqueueOutcome, LeaseRef, NewTask, Schedule, ScheduleEdit, Settled, Settlement, State, Store,
    StoreError, StoreErrorKind, TaskId, Timestamp, limits, store_of,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::PostgresStore;
use crate::error::{Fault, of_code};
use crate::inner::Inner;
use crate::ops::{Edits, Starting, check_tasks, sent, storable};
use crate::sql::Q;
use names::commit_names;

const ENQUEUEING: &str = "enqueueing in your transaction";
const CANCELLING: &str = "cancelling in your transaction";
const STARTING: &str = "starting a workflow in your transaction";
const SENDING: &str = "sending an event in your transaction";
const EDITING: &str = "editing a schedule in your transaction";
const SETTLING: &str = "settling in the task's transaction";
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

pub(crate) fn insert<'a>(mut on: impl Foreign + 'a, store: &dyn Store, tasks: Vec<NewTask>) -> Doing<'a, Vec<EnqueueOutcome>> {
    let inner = inner_of(store);
    Box::pin(async move {
        let inner = inner?;
        // In the caller's transaction all of it counts, so that nothing is sent of what holds one impossible task.
        check_tasks(&tasks).map_err(|fault| fault.explain(ENQUEUEING))?;
        commit_names(&inner, &tasks).await;
        insert_all(&mut on, ENQUEUEING, &inner, &tasks).await
    })
}

async fn insert_all(
    on: &mut impl Foreign,
    what: &str,
    inner: &Inner,
    mut rest: &[NewTask],
) -> Result<Vec<EnqueueOutcome>, StoreError> {
    let mut outcomes = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(batch_len(rest));
        let rows = Some(rows(inner, batch));
        let query = if batch.iter().any(|task| task.unique().is_some()) { Q::CallInsertUnique } else { Q::CallInsertTasks };
        let answers: Vec<Inserted> = call(on, what, inner.connect.texts.text(query), &[rows]).await?;
        outcomes.extend(answers.into_iter().zip(batch).map(|(answer, task)| match answer {
            Inserted::Code(0) => EnqueueOutcome::Created,
            Inserted::Code(1) => EnqueueOutcome::Exists(task.id),
            Inserted::Code(_) => EnqueueOutcome::Conflict,
            Inserted::Holder(holder) => EnqueueOutcome::Exists(holder),
        }));
        rest = later;
    }
    Ok(outcomes)
}

/// What our functions say of one task.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Inserted {
    Code(u8),
    /// Another task has its key.
    Holder(TaskId),
}

pub(crate) fn cancel<'a>(mut on: impl Foreign + 'a, store: &dyn Store, id: TaskId) -> Doing<'a, CancelOutcome> {
    let inner = inner_of(store);
    Box::pin(async move {
        let ids = Some(format!("{{{}}}", id.as_uuid()));
        let answers: Vec<CancelOutcome> =
            call(&mut on, CANCELLING, inner?.connect.texts.text(Q::CallCancelTasks), &[ids]).await?;
        answers.first().copied().ok_or_else(|| unreadable(CANCELLING, "[]"))
    })
}

pub(crate) fn start_workflow<'a>(mut on: impl Foreign + 'a, store: &dyn Store, workflow: NewWorkflow) -> Doing<'a, Started> {
    let inner = inner_of(store);
    Box::pin(async move {
        let inner = inner?;
        let explain = |fault: Fault| fault.explain(STARTING);
        let (starting, new) = Starting::new(workflow).map_err(explain)?;
        commit_names(&inner, &new.members).await;
        let now = inner.env.virtual_now().map(|now: Timestamp| now.as_millis().to_string());
        let params = [Some(starting.text().to_owned()), now];
        let answer: String = call(&mut on, STARTING, inner.connect.texts.text(Q::CallStartWorkflow), &params).await?;
        Starting::started(&answer).map_err(explain)
    })
}

pub(crate) fn send_event<'a>(mut on: impl Foreign + 'a, store: &dyn Store, event: NewEvent) -> Doing<'a, Sent> {
    let inner = inner_of(store);
    Box::pin(async move {
        let inner = inner?;
        let mut params =
            vec![Some(event.name().to_owned()), Some(event.payload().to_owned()), Some(ms(event.kept()).to_string())];
        // A test's clock is none that whoever may only enqueue may set.
        let now = inner.env.virtual_now().map(|now: Timestamp| now.as_millis().to_string());
        let query = if now.is_some() { Q::CallKeepEvent } else { Q::CallSendEvent };
        params.extend(now.map(Some));
        let answer: String = call(&mut on, SENDING, inner.connect.texts.text(query), &params).await?;
        sent(&answer).map_err(|fault| fault.explain(SENDING))
    })
}

pub(crate) fn edit_schedule<'a>(
    mut on: impl Foreign + 'a,
    store: &dyn Store,
    name: String,
    edit: ScheduleEdit,
) -> Doing<'a, Option<Schedule>> {
    let inner = inner_of(store);
    Box::pin(async move {
        let inner = inner?;
        let names = [name];
        Edit::check(&names)?;
        let texts = &inner.connect.texts;
        let now = inner.env.virtual_now().map(|now: Timestamp| now.as_millis().to_string());
        let params = [Some(to_json(&names)), now.clone()];
        let found: Value = call(&mut on, EDITING, texts.text(Q::CallSchedulesForEdit), &params).await?;
        let edits = Edits::decide(&names, &found.to_string(), &edit).map_err(|fault| fault.explain(EDITING))?;
        let mut written = None;
        if !edits.is_nothing() {
            let (puts, removed) = edits.params();
            let params = [Some(puts), Some(removed), now];
            let answer: Value = call(&mut on, EDITING, texts.text(Q::CallWriteSchedules), &params).await?;
            written = Some(answer.to_string());
        }
        let standing = edits.standing(&names, written.as_deref()).map_err(|fault| fault.explain(EDITING))?;
        Ok(standing.into_iter().next().flatten())
    })
}

pub(crate) fn settle<'a>(mut on: impl Foreign + 'a, store: &dyn Store, settlement: Settlement) -> Doing<'a, Settled> {
    let inner = inner_of(store);
    Box::pin(async move {
        let inner = inner?;
        let Settlement { lease, ran_for, result, logs, progress, children, .. } = settlement;
        check_tasks(children.iter()).map_err(|fault| fault.explain(SETTLING))?;
        commit_names(&inner, &children).await;
        // The last of them go along, as many as one statement bears.
        let mut along: &[NewTask] = &children;
        while batch_len(along) < along.len() {
            let (batch, rest) = along.split_at(batch_len(along));
            let outcomes = insert_all(&mut on, SETTLING, &inner, batch).await?;
            let refused = batch.iter().zip(outcomes).find(|(_, outcome)| *outcome == EnqueueOutcome::Conflict);
            if let Some((child, _)) = refused {
                let message = format!("{SETTLING}: its child has the id {}, which is another task's; roll it back", child.id);
                return Err(StoreError::new(StoreErrorKind::Invalid, message));
            }
            along = rest;
        }
        let params = [
            Some(lease.id.as_uuid().to_string()),
            Some(lease.fence.as_uuid().to_string()),
            Some(ms(ran_for).to_string()),
            result.as_deref().map(|text| storable(text).into_owned()),
            logs.as_deref().map(|text| storable(text).into_owned()),
            progress.as_deref().map(to_json),
            Some(rows(&inner, along)),
        ];
        let held = call(&mut on, SETTLING, inner.connect.texts.text(Q::CallSettleSucceeded), &params).await?;
        Ok(if held { Settled::Done(State::Succeeded) } else { Settled::LeaseLost })
    })
}

pub(crate) fn hold<'a>(mut on: impl Foreign + 'a, store: &dyn Store, lease: LeaseRef) -> Doing<'a, bool> {
    let inner = inner_of(store);
    Box::pin(async move {
        let params = [lease.id.as_uuid().to_string(), lease.fence.as_uuid().to_string()].map(Some);
        call(&mut on, SETTLING, inner?.connect.texts.text(Q::CallHoldLease), &params).await
    })
}

fn inner_of(store: &dyn Store) -> Result<Arc<Inner>, StoreError> {
    Ok(store_of::<PostgresStore>(store, "PostgreSQL")?.inner())
}

/// Tasks as our functions take them. Those count by the server's clock; in a test, whose clock is another, each says when it is due.
fn rows(inner: &Inner, tasks: &[NewTask]) -> String {
    let now = inner.env.virtual_now().map(Timestamp::as_millis);
    let row = |task| {
        let row = NewRow::of(task);
        NewRow { at: row.at.or_else(|| now.map(|now| row.due(now))), ..row }
    };
    to_json(&tasks.iter().map(row).collect::<Vec<_>>())
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
    pub(crate) fn explain(self, what: &str) -> StoreError {
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
            type Doing<T: Send + 'static> = ::gristmill_core::Doing<$a, T>;

            fn insert(
                self,
                store: &dyn ::gristmill_core::Store,
                tasks: Vec<::gristmill_core::NewTask>,
            ) -> ::gristmill_core::Doing<$a, Vec<::gristmill_core::EnqueueOutcome>> {
                $crate::within::insert(self, store, tasks)
            }
        }

        impl<$a $(, $b)?> ::gristmill_core::CancelWithin<$driver> for $foreign {
            fn cancel(
                self,
                store: &dyn ::gristmill_core::Store,
                id: ::gristmill_core::TaskId,
            ) -> ::gristmill_core::Doing<$a, ::gristmill_core::CancelOutcome> {
                $crate::within::cancel(self, store, id)
            }
        }

        impl<$a $(, $b)?> ::gristmill_core::StartWithin<$driver> for $foreign {
            fn start_workflow(
                self,
                store: &dyn ::gristmill_core::Store,
                workflow: ::gristmill_core::workflow::NewWorkflow,
            ) -> ::gristmill_core::Doing<$a, ::gristmill_core::workflow::Started> {
                $crate::within::start_workflow(self, store, workflow)
            }
        }

        impl<$a $(, $b)?> ::gristmill_core::SendWithin<$driver> for $foreign {
            fn send_event(
                self,
                store: &dyn ::gristmill_core::Store,
                event: ::gristmill_core::durable::NewEvent,
            ) -> ::gristmill_core::Doing<$a, ::gristmill_core::durable::Sent> {
                $crate::within::send_event(self, store, event)
            }
        }

        impl<$a $(, $b)?> ::gristmill_core::ScheduleWithin<$driver> for $foreign {
            fn edit_schedule(
                self,
                store: &dyn ::gristmill_core::Store,
                name: String,
                edit: ::gristmill_core::ScheduleEdit,
            ) -> ::gristmill_core::Doing<$a, Option<::gristmill_core::Schedule>> {
                $crate::within::edit_schedule(self, store, name, edit)
            }
        }

        impl<$a $(, $b)?> ::gristmill_core::SettleWithin<$driver> for $foreign {
            fn settle(
                self,
                store: &dyn ::gristmill_core::Store,
                settlement: ::gristmill_core::Settlement,
            ) -> ::gristmill_core::Doing<$a, ::gristmill_core::Settled> {
                $crate::within::settle(self, store, settlement)
            }

            fn hold(
                self,
                store: &dyn ::gristmill_core::Store,
                lease: ::gristmill_core::LeaseRef,
            ) -> ::gristmill_core::Doing<$a, bool> {
                $crate::within::hold(self, store, lease)
            }
        }
    )+ };
}
pub(crate) use within;
