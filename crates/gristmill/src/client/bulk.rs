use serde::Serialize;

use crate::client::Client;
use crate::core::{CancelOutcome, Cursor, Filter, RetryOutcome, State, StoreError, TaskId, limits};

/// How many tasks a bulk operation changed, and how many matched but did not need or allow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BulkReport {
    /// Changed.
    pub changed: u64,
    /// Left as they were.
    pub unchanged: u64,
}

pub(crate) async fn cancel(
    client: &Client,
    filter: &Filter,
    mut each: impl FnMut(TaskId, CancelOutcome),
) -> Result<BulkReport, StoreError> {
    let mut report = BulkReport::default();
    let filter = only(filter, |state| !state.is_final());
    let mut after = None;
    while let Some((ids, next)) = page(client, &filter, after).await? {
        for (id, outcome) in ids.iter().zip(client.store().cancel(&ids).await?) {
            match outcome {
                CancelOutcome::Cancelled | CancelOutcome::CancelRequested => report.changed += 1,
                CancelOutcome::AlreadyEnded | CancelOutcome::NotFound => report.unchanged += 1,
            }
            each(*id, outcome);
        }
        let Some(next) = next else { break };
        after = Some(next);
    }
    Ok(report)
}

pub(crate) async fn retry(
    client: &Client,
    filter: &Filter,
    mut each: impl FnMut(TaskId, RetryOutcome),
) -> Result<BulkReport, StoreError> {
    let mut report = BulkReport::default();
    // What has succeeded runs again only if somebody says so.
    let wanted = |state: State| state.is_final() && (state != State::Succeeded || filter.names_state(state));
    let filter = only(filter, wanted);
    let mut after = None;
    while let Some((ids, next)) = page(client, &filter, after).await? {
        for (id, outcome) in ids.iter().zip(client.store().retry(&ids).await?) {
            match outcome {
                RetryOutcome::Ready => report.changed += 1,
                RetryOutcome::NotEnded | RetryOutcome::NotFound => report.unchanged += 1,
            }
            each(*id, outcome);
        }
        let Some(next) = next else { break };
        after = Some(next);
    }
    Ok(report)
}

/// The filter, narrowed to the states in which the operation can do something.
fn only(filter: &Filter, useful: impl Fn(State) -> bool) -> Filter {
    let asked = |state: &State| filter.states.is_empty() || filter.states.contains(state);
    Filter { states: State::ALL.into_iter().filter(|state| asked(state) && useful(*state)).collect(), ..filter.clone() }
}

/// The ids of one page and where the next begins; `None` if no state is left to look for.
async fn page(
    client: &Client,
    filter: &Filter,
    after: Option<Cursor>,
) -> Result<Option<(Vec<TaskId>, Option<Cursor>)>, StoreError> {
    if filter.states.is_empty() {
        return Ok(None);
    }
    let page = client.store().list_ids(filter, after, limits::PAGE_ITEMS_MAX).await?;
    Ok(Some((page.items, page.next)))
}
