//! Names of queues and task types behind which nobody is: right before a first use, and else a slip. Only said and never an error; and
//! where it can't be found out, nothing is said.

use std::collections::BTreeSet;

use gristmill::Client;
use gristmill::core::Query;
use gristmill::record::Filter;

use crate::output;
use gristmill::near::did_you_mean;

/// What is there, by its names.
#[derive(Default)]
struct There {
    /// Queues that live workers serve, and in which task types wait by themselves.
    served: BTreeSet<String>,
    /// Those besides that were ever used.
    used: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl There {
    /// `None` if it can't be read: a role that only enqueues need not see workers.
    async fn of(client: &Client) -> Option<Self> {
        let (workers, kinds) = (client.workers().list().await.ok()?, client.kinds().list().await.ok()?);
        let mut there = Self::default();
        there.served.extend(workers.into_iter().filter(|worker| worker.alive).flat_map(|worker| worker.queues.into_keys()));
        there.served.extend(kinds.iter().filter_map(|kind| Some(kind.policy.as_ref()?.queue.clone())));
        there.used.extend(client.queues().list().await.ok()?.into_iter().map(|queue| queue.name));
        there.kinds.extend(kinds.into_iter().map(|kind| kind.name));
        Some(there)
    }

    fn queues(&self) -> impl Iterator<Item = &str> {
        self.served.iter().chain(&self.used).map(String::as_str)
    }
}

/// Says which of these queues, in which tasks were put by name, no live worker serves.
pub(super) async fn tell_queues<'a>(queues: impl IntoIterator<Item = &'a str>, client: &Client) {
    let queues: BTreeSet<&str> = queues.into_iter().collect();
    if queues.is_empty() {
        return;
    }
    let Some(there) = There::of(client).await else { return };
    queues.into_iter().for_each(|queue| tell_queue(&client.real_queue(queue), &there));
}

/// Says if no live worker serves the queue of this whole name, to which tasks are moved.
pub(super) async fn tell_whole_queue(queue: &str, client: &Client) {
    if let Some(there) = There::of(client).await {
        tell_queue(queue, &there);
    }
}

fn tell_queue(queue: &str, there: &There) {
    if !there.served.contains(queue) {
        let near = did_you_mean(queue, there.served.iter().map(String::as_str));
        output::note(&format!("no live worker serves the queue `{queue}`, and no task type waits there by itself{near}"));
    }
}

/// Says if nobody has a task type that was enqueued by force.
pub(super) async fn tell_forced(kind: &str, client: &Client) {
    let Ok(kinds) = client.kinds().list().await else { return };
    if kinds.iter().any(|known| known.name == kind && (known.policy.is_some() || known.workers > 0)) {
        return;
    }
    let declared = kinds.iter().filter(|known| known.policy.is_some()).map(|known| known.name.as_str());
    output::note(&format!("no program has declared the task type `{kind}` so far{}", did_you_mean(kind, declared)));
}

/// Says which of these queues nobody has named so far, or only those of them that are like another. `own` are those of this program.
pub(super) async fn tell_new_queues<'a>(queues: impl IntoIterator<Item = &'a str>, own: &[String], all: bool, client: &Client) {
    let Some(there) = There::of(client).await else { return };
    let known: BTreeSet<&str> = there.queues().chain(own.iter().map(String::as_str)).collect();
    for queue in queues.into_iter().filter(|queue| !known.contains(queue)) {
        let near = did_you_mean(queue, known.iter().copied());
        if near.is_empty() && !all {
            continue;
        }
        output::note(&format!("the queue `{queue}` is new: no task, task type or worker has named it so far{near}"));
    }
}

/// Says which names of a filter that found nothing are nobody's.
pub(super) async fn tell_filter(filter: &Filter, client: &Client) {
    filter.query.iter().flat_map(Query::doubts).for_each(|doubt| output::note(&doubt));
    let asked = filter.query.as_ref().map(Query::names).unwrap_or_default();
    let queues: Vec<&str> = filter.queue.as_deref().into_iter().chain(asked.queues).collect();
    let kinds: Vec<&str> = filter.kind.as_deref().into_iter().chain(asked.kinds).collect();
    if queues.is_empty() && kinds.is_empty() {
        return;
    }
    let Some(there) = There::of(client).await else { return };
    let known: BTreeSet<&str> = there.queues().collect();
    for queue in queues.into_iter().filter(|queue| !known.contains(queue)) {
        output::note(&format!("there is no queue `{queue}`{}", did_you_mean(queue, known.iter().copied())));
    }
    let known: BTreeSet<&str> = there.kinds.iter().map(String::as_str).collect();
    for kind in kinds.into_iter().filter(|kind| !known.contains(kind)) {
        output::note(&format!("there is no task type `{kind}`{}", did_you_mean(kind, known.iter().copied())));
    }
}
