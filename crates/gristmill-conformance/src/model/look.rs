use std::collections::BTreeSet;
use std::time::Duration;

use gristmill_core::{
    Filter, KindInfo, LockInfo, Pending, Query, QueueInfo, State, Store, StoreError, TaskId, TaskRecord, Timestamp, WorkerInfo,
};

use super::differ;
use super::op::NAMES;

/// All that can be read of a store.
pub(super) struct Seen {
    /// Each task that was ever enqueued, with its history if it is kept.
    pub(super) tasks: Vec<(TaskId, Option<TaskRecord>)>,
    lists: Vec<(String, Vec<TaskRecord>)>,
    queues: Vec<QueueInfo>,
    workers: Vec<WorkerInfo>,
    locks: Vec<LockInfo>,
    kinds: Vec<KindInfo>,
    pending: Vec<(&'static str, Pending)>,
}

impl Seen {
    /// Reads everything. What a store finds out only in a sweep counts if one was just made.
    pub(super) async fn of(store: &dyn Store, ids: &[TaskId], swept: bool) -> Result<Self, String> {
        Self::read(store, ids, swept).await.map_err(|error| format!("the store can't be read: {error:?}"))
    }

    /// Says what the store shows that the model does not.
    pub(super) fn compare(model: &Self, store: &Self) -> Result<(), String> {
        differ("queues", &model.queues, &store.queues)?;
        differ("workers", &model.workers, &store.workers)?;
        differ("locks", &model.locks, &store.locks)?;
        differ("task types", &model.kinds, &store.kinds)?;
        differ("pending", &model.pending, &store.pending)?;
        for ((id, model), (_, store)) in model.tasks.iter().zip(&store.tasks) {
            differ(&format!("task {id}"), model, store)?;
        }
        for ((what, model), (_, store)) in model.lists.iter().zip(&store.lists) {
            differ(what, model, store)?;
        }
        Ok(())
    }

    async fn read(store: &dyn Store, ids: &[TaskId], swept: bool) -> Result<Self, StoreError> {
        let mut tasks = Vec::new();
        for id in ids {
            tasks.push((*id, store.get(*id).await?));
        }
        let mut lists = Vec::new();
        for (filter, limit) in filters(&tasks) {
            lists.push((format!("list of {filter:?} in pages of {limit}"), list(store, &filter, limit).await?));
        }
        let unserved = |queue: QueueInfo| QueueInfo { unserved: if swept { queue.unserved } else { 0 }, ..queue };
        let queues = store.queues().await?.into_iter().map(unserved).collect();
        let mut workers = store.workers().await?;
        for worker in &mut workers {
            worker.kinds.sort_unstable();
        }
        // Newest first; of those that entered at the same instant, whichever.
        workers.sort_by(|a, b| b.started_at.cmp(&a.started_at).then_with(|| a.id.cmp(&b.id)));
        // How large its tokens are is each store's own affair.
        let locks = store.locks("", None, 1_000).await?.into_iter().map(|lock| LockInfo { token: 0, ..lock }).collect();
        let mut pending = Vec::new();
        for queue in NAMES {
            let left = store.pending(&[queue.to_owned()], Duration::from_secs(5)).await?;
            pending.push((queue, Pending { ready: left.ready && swept, ..left }));
        }
        Ok(Self { tasks, lists, queues, workers, locks, kinds: store.kinds().await?, pending })
    }
}

fn filters(tasks: &[(TaskId, Option<TaskRecord>)]) -> Vec<(Filter, usize)> {
    let all = Filter::default();
    let mut filters = vec![(all.clone(), 7), (all.clone(), 1_000)];
    let states = |states: &[State]| Filter { states: states.to_vec(), ..all.clone() };
    filters.extend(State::ALL.map(|state| (states(&[state]), 5)));
    filters.push((states(&[State::Ready, State::Failed]), 3));
    filters.push((Filter { queue: Some("a".to_owned()), ..all.clone() }, 4));
    filters.push((Filter { kind: Some("b".to_owned()), states: vec![State::Ready, State::Running], ..all.clone() }, 2));
    let named = |name: &str| Some(name.to_owned());
    filters.push((Filter { tag: named("tag"), ..all.clone() }, 6));
    filters.push((Filter { tag: named("tag"), states: vec![State::Ready, State::Succeeded], ..all.clone() }, 3));
    filters.push((Filter { title: named("a b"), ..all.clone() }, 2));
    filters.push((Filter { schedule: named("a"), ..all.clone() }, 5));
    filters.push((Filter { text: named("B tag"), ..all.clone() }, 4));
    filters.push((Filter { text: named("a"), queue: named("a"), ..all.clone() }, 3));
    let query = |text: &str| Query::parse(text, Timestamp::from_millis(1)).ok();
    for text in ["-queue:a", "kind:b* OR tag:tag", "state:failed -tag:tag", "(state:ready OR state:running) attempt:>1"] {
        filters.push((Filter { query: query(text), ..all.clone() }, 3));
    }
    // What the tasks themselves say: somebody's children, the time before and after one, and where one ran.
    let known = || tasks.iter().filter_map(|(_, task)| task.as_ref());
    if let Some(parent) = known().find_map(|task| task.meta.parent) {
        filters.push((Filter { parent: Some(parent), ..all.clone() }, 2));
    }
    if let Some(middle) = known().nth(tasks.len() / 2).map(|task| task.created_at) {
        filters.push((Filter { from: Some(middle), ..all.clone() }, 3));
        filters.push((Filter { until: Some(middle), queue: named("b"), ..all.clone() }, 3));
    }
    let workers: BTreeSet<_> = known().flat_map(|task| &task.attempts).filter_map(|attempt| attempt.worker.as_ref()).collect();
    for worker in workers.into_iter().take(2) {
        filters.push((Filter { worker: Some(worker.clone()), ..all.clone() }, 3));
        let states = vec![State::Running, State::Failed];
        filters.push((Filter { worker: Some(worker.clone()), states, ..all.clone() }, 3));
    }
    filters
}

async fn list(store: &dyn Store, filter: &Filter, limit: usize) -> Result<Vec<TaskRecord>, StoreError> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(filter, after, limit).await?;
        listed.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(listed),
        }
    }
}
