use std::time::Duration;

use gristmill_core::{Filter, QueueInfo, State, Store, StoreError, TaskId, TaskRecord};

use super::op::NAMES;

/// All that can be read of a store.
pub(super) struct Seen {
    /// Each task that is kept, with its history.
    pub(super) records: Vec<TaskRecord>,
    /// Everything else, by what it is.
    pub(super) pages: Vec<(String, String)>,
}

/// Reads everything. What a store finds out only in a sweep counts if one was just made.
pub(super) async fn everything(store: &dyn Store, ids: &[TaskId], swept: bool) -> Result<Seen, String> {
    read(store, ids, swept).await.map_err(|error| format!("the store can't be read: {error:?}"))
}

async fn read(store: &dyn Store, ids: &[TaskId], swept: bool) -> Result<Seen, StoreError> {
    let mut records = Vec::new();
    for id in ids {
        records.extend(store.get(*id).await?);
    }
    let mut pages = Vec::new();
    for (filter, limit) in filters() {
        pages.push((format!("list of {filter:?} in pages of {limit}"), list(store, &filter, limit).await?));
    }
    let unserved = |queue: QueueInfo| QueueInfo { unserved: if swept { queue.unserved } else { 0 }, ..queue };
    let queues: Vec<_> = store.queues().await?.into_iter().map(unserved).collect();
    pages.push(("queues".to_owned(), format!("{queues:#?}")));
    let mut workers = store.workers().await?;
    for worker in &mut workers {
        worker.kinds.sort_unstable();
    }
    // Newest first; of those that entered at the same instant, whichever.
    workers.sort_by(|a, b| b.started_at.cmp(&a.started_at).then_with(|| a.id.cmp(&b.id)));
    pages.push(("workers".to_owned(), format!("{workers:#?}")));
    pages.push(("task types".to_owned(), format!("{:#?}", store.kinds().await?)));
    for queue in NAMES {
        let mut pending = store.pending(&[queue.to_owned()], Duration::from_secs(5)).await?;
        pending.ready &= swept;
        pages.push((format!("pending in {queue}"), format!("{pending:?}")));
    }
    Ok(Seen { records, pages })
}

fn filters() -> Vec<(Filter, usize)> {
    let all = Filter::default();
    let mut filters = vec![(all.clone(), 7), (all.clone(), 1_000)];
    let states = |states: &[State]| Filter { states: states.to_vec(), ..all.clone() };
    filters.extend(State::ALL.map(|state| (states(&[state]), 5)));
    filters.push((states(&[State::Ready, State::Failed]), 3));
    filters.push((Filter { queue: Some("a".to_owned()), ..all.clone() }, 4));
    filters.push((Filter { kind: Some("b".to_owned()), states: vec![State::Ready, State::Running], ..all.clone() }, 2));
    filters.push((Filter { tag: Some("tag".to_owned()), ..all }, 6));
    filters
}

async fn list(store: &dyn Store, filter: &Filter, limit: usize) -> Result<String, StoreError> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(filter, after, limit).await?;
        listed.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(format!("{listed:#?}")),
        }
    }
}
