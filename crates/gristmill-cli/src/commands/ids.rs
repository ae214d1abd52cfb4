//! Ids as they are typed: whole, or as much of their beginning as is needed.

use std::str::FromStr;

use gristmill::core::limits::PAGE_ITEMS_MAX;
use gristmill::core::workflow::WorkflowFilter;
use gristmill::core::{WorkerId, WorkflowId};
use gristmill::record::WorkerInfo;
use gristmill::{Client, TaskId};

use super::values::ID_EXAMPLE;
use crate::exit::CliError;
use gristmill::near::did_you_mean;

/// Shorter beginnings are rather a slip.
const BEGINNING_MIN: usize = 4;
/// So many ids are told that begin alike.
const ALIKE_TOLD: usize = 3;

/// A task's id, or its beginning.
#[derive(Clone, Debug)]
pub(super) enum IdText {
    Whole(TaskId),
    Beginning(String),
}

impl FromStr for IdText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Whole(id));
        }
        if text.len() >= BEGINNING_MIN && TaskId::range_of(text).is_some() {
            return Ok(Self::Beginning(text.to_owned()));
        }
        if text.contains([':', ' ', '*']) {
            return Err(format!("`{text}` is not a task's id; a query stands behind --query"));
        }
        Err(format!(
            "`{text}` is not a task's id: it is a UUID such as {ID_EXAMPLE}, as `enqueue` prints it and `tasks list` shows it, or its \
             first {BEGINNING_MIN} characters or more"
        ))
    }
}

impl IdText {
    /// The id that is meant. A whole one need not be there.
    ///
    /// # Errors
    /// A beginning that no task's id has, or several have.
    pub(super) async fn find(&self, client: &Client) -> Result<TaskId, CliError> {
        let begin = match self {
            Self::Whole(id) => return Ok(*id),
            Self::Beginning(text) => text,
        };
        let none = || CliError::failed(format!("there is no task whose id begins with `{begin}`"));
        let (first, last) = TaskId::range_of(begin).ok_or_else(none)?;
        let found = client.store().ids_between(first, last, ALIKE_TOLD + 1).await?;
        match found.as_slice() {
            [] => Err(none().with_hint("`tasks list` shows them; it may have ended longer ago than its retention")),
            [id] => Ok(*id),
            several => Err(CliError::usage(format!("`{begin}` begins the id of more than one task: {}", told(several)))),
        }
    }
}

/// All of them.
pub(super) async fn find_all(ids: &[IdText], client: &Client) -> Result<Vec<TaskId>, CliError> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.push(id.find(client).await?);
    }
    Ok(found)
}

/// A workflow's id, or its beginning.
#[derive(Clone, Debug)]
pub(super) enum WorkflowText {
    Whole(WorkflowId),
    Beginning(String),
}

impl FromStr for WorkflowText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Whole(id));
        }
        if text.len() >= BEGINNING_MIN && TaskId::range_of(text).is_some() {
            return Ok(Self::Beginning(text.to_ascii_lowercase()));
        }
        Err(format!(
            "`{text}` is not a workflow's id: it is a UUID such as {ID_EXAMPLE}, as `workflows start` prints it and `workflows list` \
             shows it, or its first {BEGINNING_MIN} characters or more"
        ))
    }
}

impl WorkflowText {
    /// The id that is meant. A whole one need not be there; beginnings are looked for among the latest workflows.
    ///
    /// # Errors
    /// A beginning that none of these has, or several have.
    pub(super) async fn find(&self, client: &Client) -> Result<WorkflowId, CliError> {
        let begin = match self {
            Self::Whole(id) => return Ok(*id),
            Self::Beginning(text) => text,
        };
        let latest = client.workflows().list(&WorkflowFilter::default(), None, PAGE_ITEMS_MAX).await?;
        let is_meant = |id: &String| id.starts_with(begin.as_str()) || id.replace('-', "").starts_with(begin.as_str());
        let found: Vec<_> = latest.items.iter().map(|workflow| workflow.id.to_string()).filter(is_meant).collect();
        match found.as_slice() {
            [] => {
                let looked = format!("of the latest {PAGE_ITEMS_MAX} workflows none has an id that begins with `{begin}`");
                Err(CliError::failed(looked).with_hint("`workflows list` shows them; an older one is found by its whole id"))
            }
            [id] => id.parse().map_err(|_| CliError::failed(format!("the store has no readable id of `{begin}`"))),
            several => Err(CliError::usage(format!("`{begin}` begins the id of more than one workflow: {}", told(several)))),
        }
    }
}

fn told(ids: &[impl ToString]) -> String {
    let more = if ids.len() > ALIKE_TOLD { ", ..." } else { "" };
    ids.iter().take(ALIKE_TOLD).map(ToString::to_string).collect::<Vec<_>>().join(", ") + more
}

/// A worker by its id, the beginning of it, or its name.
///
/// # Errors
/// A text that means no worker, or several.
pub(super) async fn find_worker(text: &str, client: &Client) -> Result<WorkerId, CliError> {
    one_of(text, &client.workers().list().await?)
}

/// The same for what only one that lives can do: one that died under the same name does not stand in its way.
///
/// # Errors
/// As [`find_worker`], and if the one that is meant is dead.
pub(super) async fn find_living_worker(text: &str, client: &Client) -> Result<WorkerId, CliError> {
    let (living, dead): (Vec<_>, Vec<_>) = client.workers().list().await?.into_iter().partition(|worker| worker.alive);
    if !living.iter().any(|worker| means(text, worker)) && dead.iter().any(|worker| means(text, worker)) {
        return Err(CliError::failed(format!("the worker `{text}` is dead: its lease is over"))
            .with_hint("what it held goes to others by itself; `workers forget` takes it at once"));
    }
    one_of(text, &living)
}

fn means(text: &str, worker: &WorkerInfo) -> bool {
    worker.name == text || text.len() >= BEGINNING_MIN && worker.id.starts_with(&text.to_ascii_lowercase())
}

fn one_of(text: &str, workers: &[WorkerInfo]) -> Result<WorkerId, CliError> {
    let meant: Vec<_> = workers.iter().filter(|worker| means(text, worker)).collect();
    match meant.as_slice() {
        [] => {
            let near = did_you_mean(text, workers.iter().map(|worker| worker.name.as_str()));
            let none = CliError::failed(format!("there is no worker `{text}`{near}"));
            Err(none.with_hint("`workers` lists them, with ids and names"))
        }
        [worker] => worker.id.parse().map_err(|_| CliError::failed(format!("the store has no readable id of `{text}`"))),
        several => {
            let ids: Vec<_> = several.iter().take(ALIKE_TOLD).map(|worker| worker.id.as_str()).collect();
            Err(CliError::usage(format!("`{text}` means more than one worker: {}", ids.join(", "))))
        }
    }
}
