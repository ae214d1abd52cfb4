use serde::Serialize;

use crate::client::Client;
use crate::core::{CancelOutcome, Cursor, DeleteOutcome, Filter, MoveOutcome, RetryOutcome, State, StoreError, TaskId, limits};

/// How many tasks a bulk operation changed, and how many matched but did not need or allow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BulkReport {
    /// Changed.
    pub changed: u64,
    /// Left as they were.
    pub unchanged: u64,
}

impl BulkReport {
    /// Counts the answers about a page, and tells `each`.
    fn add<O: Copy>(&mut self, ids: &[TaskId], outcomes: Vec<O>, changed: fn(O) -> bool, each: &mut impl FnMut(TaskId, O)) {
        for (id, outcome) in ids.iter().zip(outcomes) {
            let count = if changed(outcome) { &mut self.changed } else { &mut self.unchanged };
            *count += 1;
            each(*id, outcome);
        }
    }
}

pub(crate) async fn cancel(
    client: &Client,
    filter: &Filter,
    mut each: impl FnMut(TaskId, CancelOutcome),
) -> Result<BulkReport, StoreError> {
    let (mut report, mut pages) = (BulkReport::default(), Pages::of(client, filter, |state| !state.is_final()));
    let changed = |outcome| matches!(outcome, CancelOutcome::Cancelled | CancelOutcome::CancelRequested);
    while let Some(ids) = pages.next().await? {
        report.add(&ids, client.store().cancel(&ids).await?, changed, &mut each);
    }
    Ok(report)
}

pub(crate) async fn retry(
    client: &Client,
    filter: &Filter,
    mut each: impl FnMut(TaskId, RetryOutcome),
) -> Result<BulkReport, StoreError> {
    // What has succeeded runs again only if somebody says so.
    let wanted = |state: State| state.is_final() && (state != State::Succeeded || filter.names_state(state));
    let (mut report, mut pages) = (BulkReport::default(), Pages::of(client, filter, wanted));
    while let Some(ids) = pages.next().await? {
        report.add(&ids, client.store().retry(&ids).await?, |outcome| outcome == RetryOutcome::Ready, &mut each);
    }
    Ok(report)
}

/// Oldest first, so that what is claimed there meanwhile comes in its order; those that come meanwhile are not among them.
pub(crate) async fn move_to(
    client: &Client,
    filter: &Filter,
    queue: &str,
    mut each: impl FnMut(TaskId, MoveOutcome),
) -> Result<BulkReport, StoreError> {
    let waits = |state: State| !state.is_final() && state != State::Running;
    let (mut report, mut pages) = (BulkReport::default(), Pages::of(client, filter, waits));
    let mut all = Vec::new();
    while let Some(ids) = pages.next().await? {
        all.extend(ids);
    }
    all.reverse();
    for ids in all.chunks(limits::PAGE_ITEMS_MAX) {
        report.add(ids, client.store().move_to(ids, queue).await?, |outcome| outcome == MoveOutcome::Moved, &mut each);
    }
    Ok(report)
}

pub(crate) async fn delete(
    client: &Client,
    filter: &Filter,
    mut each: impl FnMut(TaskId, DeleteOutcome),
) -> Result<BulkReport, StoreError> {
    let (mut report, mut pages) = (BulkReport::default(), Pages::of(client, filter, State::is_final));
    while let Some(ids) = pages.next().await? {
        report.add(&ids, client.store().delete(&ids).await?, |outcome| outcome == DeleteOutcome::Deleted, &mut each);
    }
    Ok(report)
}

/// The ids of tasks that match, page by page.
struct Pages<'c> {
    client: &'c Client,
    /// `None` once there is no more to look for.
    filter: Option<Filter>,
    after: Option<Cursor>,
}

impl<'c> Pages<'c> {
    /// Of those in a state in which something can be done.
    fn of(client: &'c Client, filter: &Filter, useful: impl Fn(State) -> bool) -> Self {
        let states: Vec<_> = State::ALL.into_iter().filter(|state| filter.admits_state(*state) && useful(*state)).collect();
        // No state at all would mean each of them.
        let filter = (!states.is_empty()).then(|| Filter { states, ..filter.clone() });
        Self { client, filter, after: None }
    }

    async fn next(&mut self) -> Result<Option<Vec<TaskId>>, StoreError> {
        let Some(filter) = &self.filter else { return Ok(None) };
        let page = self.client.store().list_ids(filter, self.after, limits::PAGE_ITEMS_MAX).await?;
        self.after = page.next;
        if self.after.is_none() {
            self.filter = None;
        }
        Ok(Some(page.items))
    }
}
