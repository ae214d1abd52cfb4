//! What is large, odd or empty.

use gristmill_core::limits::{NAME_BYTES_MAX, PAGE_ITEMS_MAX, PRIORITY_MAX};
use gristmill_core::{Claim, Ending, Filter, Limits, NewTask, Settled, Settlement, State};

use super::bench::{ALL, Bench, secs};
use super::list;

list![
    the_largest_payloads_come_back,
    odd_names_are_names,
    a_page_is_bounded,
    operations_on_nothing_do_nothing,
    a_claim_of_nothing_takes_nothing,
    the_extremes_of_every_option_are_kept,
];

/// Arguments, results and logs of the largest default size come back byte by byte.
pub async fn the_largest_payloads_come_back(bench: Bench<'_>) {
    let limits = Limits::default();
    let args = format!("{{\"s\":\"{}\"}}", "a".repeat(limits.args_bytes - 8));
    let result = format!("\"{}\"", "r".repeat(limits.result_bytes - 2));
    let worker = bench.worker().await;
    let id = bench.enqueue(NewTask { args: args.clone(), ..bench.task() }).await;
    let claimed = bench.claim_one(worker).await;
    assert!(claimed.args == args, "the arguments came back changed");
    let logs = "l".repeat(limits.log_bytes);
    let success = Settlement::new(claimed.lease, Ending::Succeeded);
    bench.settle_with(Settlement { result: Some(result.clone()), logs: Some(logs.clone()), ..success }).await;
    let task = bench.get(id).await;
    assert!(task.result == Some(result), "the result came back changed");
    assert!(task.attempts[0].logs.as_ref() == Some(&logs), "the logs came back changed");
}

/// Queues and task types may be called anything: quotes, blanks, every script, up to the longest.
pub async fn odd_names_are_names(bench: Bench<'_>) {
    let long = "n".repeat(NAME_BYTES_MAX);
    let names = ["'; DROP TABLE task; --", "\"", "%_", " ", "очередь", "A", "a", long.as_str()];
    for name in names {
        bench.enqueue(NewTask { queue: name.to_owned(), kind: name.to_owned(), ..bench.task() }).await;
    }
    for name in names {
        let filter = Filter { queue: Some(name.to_owned()), kind: Some(name.to_owned()), ..Filter::default() };
        assert_eq!(bench.list(&filter).await.len(), 1, "{name:?}");
        let worker = bench.worker_for(&[name], &[name]).await;
        let wanted = vec![gristmill_core::Wanted::new(name, ALL)];
        let claim = Claim { worker, fence: bench.env.fence(), wanted, again: false };
        let claimed = bench.store.claim(&claim).await.expect("the store answers");
        assert_eq!(claimed.iter().map(|claimed| &*claimed.kind).collect::<Vec<_>>(), [name]);
    }
    let queues = bench.store.queues().await.expect("the store answers");
    assert_eq!(queues.len(), names.len(), "names differ if any byte differs");
}

/// Whoever asks for everything at once gets the largest page, and where the next begins.
pub async fn a_page_is_bounded(bench: Bench<'_>) {
    bench.enqueue_all((0..PAGE_ITEMS_MAX).map(|_| bench.task()).collect()).await;
    bench.add().await;
    let page = bench.store.list(&Filter::default(), None, usize::MAX).await.expect("the store answers");
    assert_eq!(page.items.len(), PAGE_ITEMS_MAX);
    let rest = bench.store.list(&Filter::default(), page.next, usize::MAX).await.expect("the store answers");
    assert_eq!((rest.items.len(), rest.next), (1, None));
}

/// Every batch may be empty.
pub async fn operations_on_nothing_do_nothing(bench: Bench<'_>) {
    let store = &bench.store;
    assert_eq!(store.enqueue(vec![]).await.expect("the store answers"), []);
    assert_eq!(store.settle(vec![]).await.expect("the store answers"), []);
    assert_eq!(store.start(&[]).await.expect("the store answers"), [false; 0]);
    assert_eq!(store.note(vec![]).await.expect("the store answers"), [false; 0]);
    assert_eq!(store.cancel(&[]).await.expect("the store answers"), []);
    assert_eq!(store.retry(&[]).await.expect("the store answers"), []);
    store.declare(&[]).await.expect("the store answers");
    assert_eq!(store.leave(bench.env.worker_id()).await.ok(), Some(0));
}

/// No queue, an unknown queue, or room for none.
pub async fn a_claim_of_nothing_takes_nothing(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    assert_eq!(bench.claim_ids(worker, 0).await, []);
    let fence = bench.env.fence();
    for wanted in [vec![], vec![gristmill_core::Wanted::new("nowhere", ALL)]] {
        let claimed = bench.store.claim(&Claim { worker, fence, wanted, again: false }).await.expect("the store answers");
        assert!(claimed.is_empty());
    }
    assert_eq!(bench.claim_ids(worker, usize::MAX).await, [id], "and a worker with room for everything gets what there is");
}

/// The smallest and largest values that the contract allows.
pub async fn the_extremes_of_every_option_are_kept(bench: Bench<'_>) {
    let most = gristmill_core::limits::ATTEMPTS_MAX;
    let id = bench
        .enqueue(NewTask {
            max_attempts: most,
            max_crashes: most,
            priority: PRIORITY_MAX,
            expires: Some(gristmill_core::limits::DURATION_MAX),
            retention: gristmill_core::Retention::For(gristmill_core::limits::DURATION_MAX),
            ..bench.task()
        })
        .await;
    let task = bench.get(id).await;
    assert_eq!((task.max_attempts, task.max_crashes, task.priority), (most, most, PRIORITY_MAX));
    let worker = bench.worker().await;
    let claimed = bench.claim_one(worker).await;
    let again = Ending::Retry { delay: gristmill_core::limits::DURATION_MAX };
    assert_eq!(bench.settle(claimed.lease, again).await, Settled::Done(State::Scheduled));
    bench.pass(gristmill_core::limits::DURATION_MAX);
    bench.sweep().await;
    let worker = bench.worker().await;
    let claimed = bench.claim_one(worker).await;
    let success = Settlement { ran_for: secs(u64::MAX / 1_000), ..Settlement::new(claimed.lease, Ending::Succeeded) };
    assert_eq!(bench.settle_with(success).await, Settled::Done(State::Succeeded));
}
