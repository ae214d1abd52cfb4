//! What is delivered to whom, and in which order.

use std::time::Duration;

use gristmill_core::{Claim, Ending, NewTask, State, StoreErrorKind, TaskMeta, Wake, Wanted};

use super::SourceBench;
use super::bench::{ALL, KIND, QUEUE};

super::list![
    a_task_arrives_as_it_was_published,
    a_task_waits_until_it_is_due,
    priorities_come_first_and_then_the_order_of_arrival,
    a_claim_takes_no_more_than_it_wants,
    a_worker_gets_only_what_it_serves,
    each_queue_gives_its_own_share,
    a_stranger_gets_nothing,
    the_answer_of_a_claim_that_got_lost_is_given_again,
    what_expired_is_not_delivered,
    a_wait_ends_when_a_task_comes,
    a_task_that_came_after_the_last_look_ends_the_wait,
];

async fn a_task_arrives_as_it_was_published(bench: SourceBench) {
    let worker = bench.worker().await;
    let meta = TaskMeta { headers: [("trace".to_owned(), "7".to_owned())].into(), ..TaskMeta::default() };
    let task = NewTask { args: r#"{"n":1}"#.to_owned(), meta: Some(Box::new(meta.clone())), max_attempts: 3, ..bench.task() };
    let id = bench.publish(task).await;
    let claimed = bench.claim_one(worker).await;
    assert_eq!((claimed.lease.id, &*claimed.kind, &*claimed.queue, claimed.args.as_str()), (id, KIND, QUEUE, r#"{"n":1}"#));
    assert_eq!((claimed.attempt, claimed.claim_no, claimed.crashes, claimed.max_attempts), (1, 1, 0, 3));
    assert_eq!(claimed.meta.as_deref(), Some(&meta));
    assert_eq!(claimed.created_at, bench.env.now());
}

async fn a_task_waits_until_it_is_due(bench: SourceBench) {
    let worker = bench.worker().await;
    let id = bench.publish(NewTask { delay: Duration::from_secs(5), ..bench.task() }).await;
    bench.pass(Duration::from_millis(4_999));
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}

async fn priorities_come_first_and_then_the_order_of_arrival(bench: SourceBench) {
    let worker = bench.worker().await;
    let mut ids = Vec::new();
    for priority in [5, 9, 0, 5, 0] {
        ids.push(bench.publish(NewTask { priority, ..bench.task() }).await);
    }
    assert_eq!(bench.claim_ids(worker, ALL).await, [ids[2], ids[4], ids[0], ids[3], ids[1]]);
}

async fn a_claim_takes_no_more_than_it_wants(bench: SourceBench) {
    let worker = bench.worker().await;
    let ids = [bench.add().await, bench.add().await, bench.add().await];
    assert_eq!(bench.claim_ids(worker, 2).await, ids[..2]);
    assert_eq!(bench.claim_ids(worker, 2).await, ids[2..]);
    assert_eq!(bench.claim_ids(worker, 2).await, []);
}

async fn a_worker_gets_only_what_it_serves(bench: SourceBench) {
    let (plain, other) = (bench.worker().await, bench.worker_for(QUEUE, "other").await);
    let id = bench.publish(NewTask { kind: "other".to_owned(), ..bench.task() }).await;
    let elsewhere = bench.publish(NewTask { queue: "elsewhere".to_owned(), ..bench.task() }).await;
    assert_eq!(bench.claim_ids(plain, ALL).await, []);
    assert_eq!(bench.claim_ids(other, ALL).await, [id]);
    let worker = bench.worker_for("elsewhere", KIND).await;
    let wanted = vec![Wanted::new("elsewhere", ALL)];
    let claimed = bench.claim_as(&Claim { wanted, ..bench.wanted(worker, ALL) }).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [elsewhere]);
}

async fn each_queue_gives_its_own_share(bench: SourceBench) {
    let worker = bench.worker().await;
    for n in 0..6 {
        let queue = if n % 2 == 0 { "even" } else { "odd" };
        bench.publish(NewTask { queue: queue.to_owned(), ..bench.task() }).await;
    }
    let wanted = vec![Wanted::new("even", 1), Wanted::new("odd", 2)];
    let claimed = bench.claim_as(&Claim { wanted, ..bench.wanted(worker, ALL) }).await;
    let of = |queue: &str| claimed.iter().filter(|claimed| &*claimed.queue == queue).count();
    assert_eq!((of("even"), of("odd"), claimed.len()), (1, 2, 3));
}

async fn a_stranger_gets_nothing(bench: SourceBench) {
    let id = bench.add().await;
    let stranger = bench.env.worker_id();
    let refused = bench.source.claim(&bench.wanted(stranger, ALL)).await.expect_err("nobody knows this worker");
    assert_eq!(refused.kind(), StoreErrorKind::Invalid);
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [id], "and nothing was lost by it");
}

async fn the_answer_of_a_claim_that_got_lost_is_given_again(bench: SourceBench) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let claim = bench.wanted(worker, 1);
    let lost = bench.claim_as(&claim).await;
    bench.add().await;
    let again = bench.claim_as(&Claim { again: true, ..claim }).await;
    assert_eq!(again.iter().map(|claimed| (claimed.lease, claimed.attempt)).collect::<Vec<_>>(), [(lost[0].lease, 1)]);
    bench.ends(again[0].lease, Ending::Succeeded, State::Succeeded).await;
    assert_eq!(again[0].lease.id, id);
}

async fn what_expired_is_not_delivered(bench: SourceBench) {
    let worker = bench.worker().await;
    bench.publish(NewTask { expires: Some(Duration::from_secs(1)), ..bench.task() }).await;
    let id = bench.publish(NewTask { expires: Some(Duration::from_secs(9)), ..bench.task() }).await;
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}

/// Far longer than any check may take: a wait that is not woken fails it.
const LONG: Duration = Duration::from_secs(3_600);

async fn a_wait_ends_when_a_task_comes(bench: SourceBench) {
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    let publish = async {
        // So that the other has begun to wait, if it can.
        tokio::task::yield_now().await;
        bench.add().await
    };
    let ((), id) = tokio::join!(bench.source.wait(Wake::Ready, LONG), publish);
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}

async fn a_task_that_came_after_the_last_look_ends_the_wait(bench: SourceBench) {
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    bench.add().await;
    bench.source.wait(Wake::Ready, LONG).await;
}
