use std::collections::HashSet;

use super::change::{Change, Scheduled, define, withdraw};
use super::definition::{Definition, Origin};
use super::error::ScheduleError;
use super::maker::Maker;
use crate::core::{InvalidInput, Store, Timestamp, limits};
use crate::runtime::Runtime;

/// Schedules that one transaction edits.
const BATCH: usize = 500;

/// What became of the schedules that a program or a file defines, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncReport {
    /// Made.
    pub created: Vec<String>,
    /// Changed.
    pub changed: Vec<String>,
    /// As they were; nothing was written.
    pub unchanged: Vec<String>,
    /// As they were, and written so that they go on: they waited for a time to which the clock was set by mistake, or had been set aside.
    pub mended: Vec<String>,
    /// Left as an operator made or changed them.
    pub left: Vec<String>,
    /// Disabled, as the owner no longer defines them.
    pub withdrawn: Vec<String>,
    /// Those whose task type no program has declared yet; their ticks fail until one does.
    pub unknown_tasks: Vec<String>,
}

/// Makes the stored schedules of `owner` what `schedules` say. See [`Schedules::sync`](crate::client::Schedules::sync).
pub(crate) async fn sync(
    store: &dyn Store,
    runtime: &Runtime,
    owner: &str,
    origin: Origin,
    schedules: Vec<(String, Definition)>,
) -> Result<SyncReport, ScheduleError> {
    limits::check_name("owner", owner).map_err(|error| ScheduleError::Invalid { name: owner.to_owned(), error })?;
    let mut report = SyncReport { unknown_tasks: check(store, runtime, &schedules).await?, ..SyncReport::default() };
    let defined: HashSet<String> = schedules.iter().map(|(name, _)| name.clone()).collect();
    for batch in schedules.chunks(BATCH) {
        let names: Vec<_> = batch.iter().map(|(name, _)| name.clone()).collect();
        let definitions = batch.iter().cloned().map(|(name, definition)| (name, Definition { origin, ..definition }));
        for (name, became) in edit(store, &names, &define(owner.to_owned(), definitions.collect())).await? {
            let list = match became {
                Scheduled::Created => &mut report.created,
                Scheduled::Changed => &mut report.changed,
                Scheduled::Unchanged => &mut report.unchanged,
                Scheduled::Mended => &mut report.mended,
                Scheduled::Left => &mut report.left,
            };
            list.push(name);
        }
    }
    let mut after = None;
    loop {
        let page = store.schedules(Some(owner), after.as_deref(), BATCH).await?;
        let is_last = page.len() < BATCH;
        after = page.last().map(|schedule| schedule.name.clone());
        let gone: Vec<_> = page.into_iter().map(|schedule| schedule.name).filter(|name| !defined.contains(name)).collect();
        let withdrawn = edit(store, &gone, &withdraw(owner.to_owned())).await?;
        report.withdrawn.extend(withdrawn.into_iter().filter(|(_, new)| *new).map(|(name, _)| name));
        if is_last {
            break;
        }
    }
    tell(owner, &report);
    Ok(report)
}

/// Checks one definition; a task type that nobody has declared is an error of its own.
pub(crate) fn check_one(runtime: &Runtime, maker: &Maker, name: &str, definition: &Definition) -> Result<(), ScheduleError> {
    let invalid = |error| ScheduleError::Invalid { name: name.to_owned(), error };
    limits::check_name("name", name).map_err(invalid)?;
    definition.check().map_err(invalid)?;
    definition.timing.plan().map_err(|error| ScheduleError::Rule { name: name.to_owned(), error })?;
    maker.make(runtime, name, definition, Timestamp::default()).map(drop).map_err(|error| error.of(name))
}

/// Checks all before anything is written; returns those whose task type nobody has declared, which may still come: a beat may
/// be the first of the programs to start.
async fn check(store: &dyn Store, runtime: &Runtime, schedules: &[(String, Definition)]) -> Result<Vec<String>, ScheduleError> {
    let mut maker = Maker::default();
    maker.learn(store, runtime, schedules.iter().map(|(_, definition)| definition)).await?;
    let unknown = check_all(runtime, &maker, schedules)?;
    for (name, definition) in schedules {
        if let Some(notice) = definition.notice() {
            tracing::warn!(schedule = name, "{notice}");
        }
    }
    Ok(unknown)
}

/// The same without a look at the store, for a program that starts: what it learns there later is of task types that it does not
/// have.
pub(crate) fn check_alone(runtime: &Runtime, schedules: &[(String, Definition)]) -> Result<(), ScheduleError> {
    check_all(runtime, &Maker::default(), schedules).map(drop)
}

fn check_all(runtime: &Runtime, maker: &Maker, schedules: &[(String, Definition)]) -> Result<Vec<String>, ScheduleError> {
    let (mut unknown, mut seen) = (Vec::new(), HashSet::new());
    for (name, definition) in schedules {
        if !seen.insert(name) {
            let error = InvalidInput::new("name", "is defined twice; give each its own");
            return Err(ScheduleError::Invalid { name: name.clone(), error });
        }
        match check_one(runtime, maker, name, definition) {
            Err(ScheduleError::UnknownTask { .. }) => unknown.push(name.clone()),
            other => other?,
        }
    }
    Ok(unknown)
}

async fn edit<T: Send + 'static>(
    store: &dyn Store,
    names: &[String],
    change: &Change<T>,
) -> Result<Vec<(String, T)>, ScheduleError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let (edit, answers) = change.ask();
    store.edit_schedules(names, &edit).await?;
    names.iter().map(|name| Ok((name.clone(), answers.take(name)?))).collect()
}

fn tell(owner: &str, report: &SyncReport) {
    let SyncReport { created, changed, unchanged: _, mended, left, withdrawn, unknown_tasks } = report;
    for (what, names) in [("made", created), ("changed", changed), ("withdrawn, as it is no longer defined", withdrawn)] {
        for name in names {
            tracing::info!(schedule = name, owner, "the schedule was {what}");
        }
    }
    for name in mended {
        tracing::info!(
            schedule = name,
            owner,
            "the schedule goes on: the clock was ahead when it last ticked, or it was set aside"
        );
    }
    for name in left {
        tracing::warn!(schedule = name, owner, "the schedule was left as an operator made or changed it");
    }
    for name in unknown_tasks {
        tracing::warn!(
            schedule = name,
            owner,
            "no program has declared the schedule's task type yet; its ticks fail until one does"
        );
    }
}
