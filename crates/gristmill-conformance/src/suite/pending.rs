//! What is left to do, for those who stop when nothing is.

use std::time::Duration;

use gristmill_core::{Ending, NewTask, Pending};

use super::bench::{Bench, QUEUE, secs};
use super::list;

list![an_empty_store_is_idle, each_sort_of_work_is_seen, what_cannot_be_claimed_is_not_waited_for, other_queues_do_not_count];

/// Nothing is left where nothing was.
pub async fn an_empty_store_is_idle(bench: Bench<'_>) {
    bench.worker().await;
    assert!(pending(&bench, secs(3600)).await.is_idle());
}

/// A task is seen while it waits for its time, while it is ready and while it runs, and not once it ended.
pub async fn each_sort_of_work_is_seen(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.enqueue(NewTask { delay: secs(10), ..bench.task() }).await;
    assert!(pending(&bench, secs(9)).await.is_idle(), "what is due later than asked for is not waited for");
    let idle = Pending::default();
    assert_eq!(pending(&bench, secs(10)).await, Pending { scheduled: true, ..idle });
    bench.pass(secs(10));
    bench.sweep().await;
    assert_eq!(pending(&bench, secs(0)).await, Pending { ready: true, ..idle });
    let claimed = bench.claim_one(worker).await;
    assert_eq!(pending(&bench, secs(0)).await, Pending { running: true, ..idle });
    bench.settle(claimed.lease, Ending::Succeeded).await;
    assert_eq!(pending(&bench, secs(3600)).await, idle);
}

/// A queue that is paused and a type that nobody serves would be waited for in vain.
pub async fn what_cannot_be_claimed_is_not_waited_for(bench: Bench<'_>) {
    bench.worker().await;
    bench.enqueue(NewTask { kind: "unknown".to_owned(), ..bench.task() }).await;
    bench.sweep().await;
    assert!(pending(&bench, secs(0)).await.is_idle());
    bench.add().await;
    assert!(pending(&bench, secs(0)).await.ready);
    bench.store.pause(QUEUE, true).await.expect("the store answers");
    assert!(pending(&bench, secs(0)).await.is_idle());
}

/// Only the queues that are asked about count.
pub async fn other_queues_do_not_count(bench: Bench<'_>) {
    let worker = bench.worker_for(&[QUEUE, "other"], &["work"]).await;
    bench.add().await;
    bench.claim_one(worker).await;
    bench.add().await;
    bench.enqueue(NewTask { delay: secs(1), ..bench.task() }).await;
    let all = Pending { ready: true, scheduled: true, running: true, held: false };
    assert_eq!(pending(&bench, secs(1)).await, all);
    for (queues, expected) in [(vec!["other"], Pending::default()), (vec![], Pending::default()), (vec!["other", QUEUE], all)] {
        let queues: Vec<_> = queues.into_iter().map(str::to_owned).collect();
        assert_eq!(bench.store.pending(&queues, secs(1)).await.ok(), Some(expected), "{queues:?}");
    }
}

async fn pending(bench: &Bench<'_>, within: Duration) -> Pending {
    bench.store.pending(&[QUEUE.to_owned()], within).await.expect("the store answers")
}
