//! Ids as they are typed: whole, or as much of their beginning as is needed.

use std::str::FromStr;

use gristmill::core::WorkerId;
use gristmill::{Client, TaskId};

use super::values::ID_EXAMPLE;
use crate::exit::CliError;

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

fn told(ids: &[TaskId]) -> String {
    let more = if ids.len() > ALIKE_TOLD { ", ..." } else { "" };
    ids.iter().take(ALIKE_TOLD).map(TaskId::to_string).collect::<Vec<_>>().join(", ") + more
}

/// A worker by its id, the beginning of it, or its name.
///
/// # Errors
/// A text that means no worker, or several.
pub(super) async fn find_worker(text: &str, client: &Client) -> Result<WorkerId, CliError> {
    let workers = client.workers().list().await?;
    let means = |id: &str, name: &str| name == text || text.len() >= BEGINNING_MIN && id.starts_with(&text.to_ascii_lowercase());
    let meant: Vec<_> = workers.iter().filter(|worker| means(&worker.id, &worker.name)).collect();
    match meant.as_slice() {
        [] => Err(CliError::failed(format!("there is no worker `{text}`")).with_hint("`workers` lists them, with ids and names")),
        [worker] => worker.id.parse().map_err(|_| CliError::failed(format!("the store has no readable id of `{text}`"))),
        several => {
            let ids: Vec<_> = several.iter().take(ALIKE_TOLD).map(|worker| worker.id.as_str()).collect();
            Err(CliError::usage(format!("`{text}` means more than one worker: {}", ids.join(", "))))
        }
    }
}
