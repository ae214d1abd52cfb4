//! What becomes of tasks for which there is no slot, where they are not to wait.

use gristmill_core::concurrency::{Limit, Need, OnExcess};
use gristmill_core::{Ending, FailureReason, State, TaskId};

use super::bench::{Bench, secs};
use super::concurrency::{ids, need, with};
use super::list;
use State::{Cancelled, Ready, Running, Scheduled, Waiting};

list![
    who_is_dropped_is_told_why,
    of_those_that_wait_the_newest_is_kept,
    of_those_that_wait_the_oldest_is_kept,
    those_that_run_make_room,
    as_many_make_room_as_are_lacking,
    nobody_makes_room_who_did_not_say_so,
    who_has_begun_is_not_dropped,
    a_key_of_a_fair_queue_goes_on_when_one_of_it_is_dropped,
    what_is_dropped_is_known_in_any_number,
    who_goes_back_to_wait_is_not_dropped_and_cancels_nobody,
    nobody_makes_room_for_who_waits_for_something_else,
    of_a_burst_only_the_newest_run,
    nobody_makes_room_in_vain,
];

fn of(key: &str, limit: u32, on_excess: OnExcess) -> [Need; 1] {
    [Need { on_excess, ..need(key, limit) }]
}

impl Bench<'_> {
    async fn why(&self, id: TaskId) -> (FailureReason, String) {
        let error = self.get(id).await.error.expect("it has ended with one");
        (error.reason, error.message)
    }
}

/// And the next takes the slot when it is free.
pub async fn who_is_dropped_is_told_why(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = bench.several(3, &of("a", 1, OnExcess::Drop)).await;
    bench.sweep().await;
    assert_eq!(bench.states(&all).await, [Ready, Cancelled, Cancelled]);
    let why = "dropped: there was no free slot of \"a\"".to_owned();
    assert_eq!(bench.why(all[1]).await, (FailureReason::Cancelled, why));
    let claimed = bench.claim_one(worker).await;
    bench.settle(claimed.lease, Ending::Succeeded).await;
    bench.sweep().await;
    let next = bench.limited(&of("a", 1, OnExcess::Drop)).await;
    bench.sweep().await;
    assert_eq!(bench.state(next).await, Ready);
    // Of several keys, whichever has none.
    let both = bench.limited(&[need("b", 1), of("c", 1, OnExcess::Drop)[0].clone()]).await;
    let none = bench.limited(&[need("b", 1), of("c", 1, OnExcess::Drop)[0].clone()]).await;
    bench.sweep().await;
    assert_eq!(bench.states(&[both, none]).await, [Ready, Cancelled]);
}

/// The one before it is dropped.
pub async fn of_those_that_wait_the_newest_is_kept(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let rule = of("a", 1, OnExcess::KeepNewest);
    let all = bench.several(4, &rule).await;
    bench.sweep().await;
    assert_eq!(bench.states(&all).await, [Ready, Cancelled, Cancelled, Waiting]);
    assert_eq!(bench.why(all[1]).await.1, "dropped: a newer task waits for \"a\"");
    let claimed = bench.claim_one(worker).await;
    bench.settle(claimed.lease, Ending::Succeeded).await;
    bench.sweep().await;
    assert_eq!(bench.state(all[3]).await, Ready);
    // Also where it is sent to wait from the line of another key.
    let both = [rule[0].clone(), need("0", 9)];
    let sent = bench.several(3, &both).await;
    bench.sweep().await;
    assert_eq!(bench.states(&sent).await, [Cancelled, Cancelled, Waiting]);
}

/// All that come behind it are dropped.
pub async fn of_those_that_wait_the_oldest_is_kept(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = bench.several(4, &of("a", 1, OnExcess::KeepOldest)).await;
    bench.sweep().await;
    assert_eq!(bench.states(&all).await, [Ready, Waiting, Cancelled, Cancelled]);
    assert_eq!(bench.why(all[3]).await.1, "dropped: an older task waits already for \"a\"");
    let claimed = bench.claim_one(worker).await;
    bench.settle(claimed.lease, Ending::Succeeded).await;
    let next = bench.limited(&of("a", 1, OnExcess::KeepOldest)).await;
    bench.sweep().await;
    assert_eq!(bench.states(&[all[1], next]).await, [Ready, Waiting]);
}

/// By request if they run, and at once if they have not begun.
pub async fn those_that_run_make_room(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let rule = of("a", 1, OnExcess::CancelRunning);
    let first = bench.limited(&rule).await;
    bench.sweep().await;
    let claimed = bench.claim_one(worker).await;
    let next = bench.limited(&rule).await;
    bench.sweep().await;
    assert_eq!(bench.states(&[first, next]).await, [Running, Waiting]);
    assert!(bench.get(first).await.cancel_requested);
    bench.settle(claimed.lease, Ending::Cancelled).await;
    bench.sweep().await;
    assert_eq!(bench.states(&[first, next]).await, [Cancelled, Ready]);
    let newest = bench.several(3, &rule).await;
    bench.sweep().await;
    assert_eq!(bench.states(&[next, newest[0], newest[1], newest[2]]).await, [Cancelled, Cancelled, Cancelled, Ready]);
}

/// However often it is looked.
pub async fn as_many_make_room_as_are_lacking(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let rule = of("a", 3, OnExcess::CancelRunning);
    let running = bench.several(3, &rule).await;
    bench.sweep().await;
    assert_eq!(bench.claim_all(worker).await.len(), 3);
    let asked = async || {
        let mut asked = Vec::new();
        for id in &running {
            asked.push(bench.get(*id).await.cancel_requested);
        }
        asked
    };
    bench.limited(&rule).await;
    for _ in 0..3 {
        bench.sweep().await;
        assert_eq!(asked().await, [true, false, false]);
        bench.store.set_limit("b", None).await.expect("set");
        bench.store.set_limit("a", None).await.expect("set");
    }
    let large = Need { cost: 2, ..rule[0].clone() };
    bench.store.set_limit("a", Some(Limit::of(0))).await.expect("set");
    let closed = bench.limited(&[large]).await;
    bench.sweep().await;
    assert_eq!(asked().await, [true, false, false], "where nobody may begin, nobody makes room");
    let others = bench.several(2, &of("closed", 1, OnExcess::CancelRunning)).await;
    bench.store.set_limit("closed", Some(Limit::of(0))).await.expect("set");
    let more = bench.several(2, &of("closed", 1, OnExcess::CancelRunning)).await;
    bench.sweep().await;
    assert_eq!(bench.states(&[closed, more[0], more[1]]).await, [Waiting; 3], "nor is anybody dropped for others");
    assert_eq!(bench.states(&others).await, [Cancelled, Waiting]);
}

/// Whoever may only enqueue ends nobody else's work.
pub async fn nobody_makes_room_who_did_not_say_so(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let other = bench.several(2, &[need("a", 2)]).await;
    bench.sweep().await;
    bench.claim(worker, 1).await;
    let next = bench.limited(&of("a", 2, OnExcess::CancelRunning)).await;
    bench.sweep().await;
    assert_eq!(bench.states(&[other[0], other[1], next]).await, [Running, Ready, Waiting]);
    assert!(!bench.get(other[0]).await.cancel_requested);
    let behind = bench.limited(&[need("a", 2)]).await;
    let dropped = bench.several(2, &of("a", 2, OnExcess::Drop)).await;
    bench.sweep().await;
    assert_eq!(bench.states(&[next, behind]).await, [Waiting; 2]);
    assert_eq!(bench.states(&dropped).await, [Waiting; 2], "they have not come to the front");
}

/// It waits for its next attempt.
pub async fn who_has_begun_is_not_dropped(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for (key, on_excess) in [("a", OnExcess::Drop), ("b", OnExcess::KeepNewest), ("c", OnExcess::CancelRunning)] {
        let rule = of(key, 1, on_excess);
        let first = bench.limited(&rule).await;
        bench.sweep().await;
        let claimed = bench.claim_one(worker).await;
        bench.settle(claimed.lease, Ending::Retry { delay: secs(1) }).await;
        bench.sweep().await;
        let second = bench.limited(&rule).await;
        bench.sweep().await;
        let claimed = bench.claim_one(worker).await;
        assert_eq!((bench.state(first).await, claimed.lease.id), (Scheduled, second));
        bench.pass(secs(1));
        bench.beat(worker).await;
        bench.sweep().await;
        let third = bench.limited(&rule).await;
        bench.sweep().await;
        assert_eq!(bench.states(&[first, second, third]).await, [Waiting, Running, Waiting], "{on_excess:?}");
        assert!(!bench.get(second).await.cancel_requested);
        bench.settle(claimed.lease, Ending::Succeeded).await;
        bench.sweep().await;
        let makes_room = on_excess == OnExcess::CancelRunning;
        assert_eq!(bench.state(first).await, if makes_room { Cancelled } else { Ready }, "nor is it spared by that");
        bench.claim_all(worker).await;
    }
}

/// The next one of that key is looked at.
pub async fn a_key_of_a_fair_queue_goes_on_when_one_of_it_is_dropped(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let turn = |key: &str| need(&format!("fair:5:{}:{key}", super::bench::QUEUE), 100_000);
    let plain = |key: &str| [turn(key), need("q", 1)];
    let newest = |key: &str| [turn(key), of("q", 1, OnExcess::KeepNewest)[0].clone()];
    let first = bench.limited(&plain("a")).await;
    bench.sweep().await;
    let a = bench.several(2, &newest("a")).await;
    bench.sweep().await;
    let b = bench.several(1, &newest("b")).await;
    bench.sweep().await;
    assert_eq!(bench.state(a[0]).await, Cancelled, "one of another key waits behind it");
    let claimed = bench.claim_all(worker).await;
    assert_eq!(ids(&claimed), [first]);
    for claimed in claimed {
        bench.settle(claimed.lease, Ending::Succeeded).await;
    }
    bench.sweep().await;
    let claimed = bench.claim_all(worker).await;
    assert_eq!(claimed.len(), 1, "one has the slot");
    for claimed in claimed {
        bench.settle(claimed.lease, Ending::Succeeded).await;
    }
    bench.sweep().await;
    let states = bench.states(&[a[1], b[0]]).await;
    assert!(states.iter().all(|state| *state != Waiting), "{states:?}");
}

/// More than are looked at together.
pub async fn what_is_dropped_is_known_in_any_number(bench: Bench<'_>) {
    for (key, on_excess) in [("a", OnExcess::Drop), ("b", OnExcess::KeepNewest), ("c", OnExcess::KeepOldest)] {
        bench.store.set_limit(key, Some(Limit::of(1))).await.expect("set");
        let tasks: Vec<_> = (0..1_500).map(|_| with(bench.task(), &of(key, 1, on_excess))).collect();
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        for part in tasks.chunks(1_000) {
            bench.enqueue_all(part.to_vec()).await;
        }
        for _ in 0..4 {
            bench.sweep().await;
        }
        let states = bench.states(&ids).await;
        let count = |wanted| states.iter().filter(|state| **state == wanted).count();
        let waits = usize::from(on_excess != OnExcess::Drop);
        assert_eq!((count(Ready), count(Waiting), count(Cancelled)), (1, waits, 1_499 - waits), "{on_excess:?}");
        assert_eq!(states[0], Ready);
        assert_eq!((states[1], states[1_499]) == (Cancelled, Waiting), on_excess == OnExcess::KeepNewest);
    }
}

/// Whoever lowers a limit, or says a lower one, ends nobody's work by it.
pub async fn who_goes_back_to_wait_is_not_dropped_and_cancels_nobody(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for (key, on_excess) in
        [("a", OnExcess::Drop), ("b", OnExcess::KeepNewest), ("c", OnExcess::KeepOldest), ("d", OnExcess::CancelRunning)]
    {
        let all = bench.several(3, &of(key, 3, on_excess)).await;
        bench.sweep().await;
        let claimed = bench.claim_one(worker).await;
        bench.store.set_limit(key, Some(Limit::of(1))).await.expect("set");
        for _ in 0..2 {
            bench.sweep().await;
            assert_eq!(bench.states(&all).await, [Running, Waiting, Waiting], "{on_excess:?}");
            assert!(!bench.get(all[0]).await.cancel_requested, "{on_excess:?}");
        }
        bench.settle(claimed.lease, Ending::Succeeded).await;
        bench.sweep().await;
        assert_eq!(bench.states(&all[1..]).await, [Ready, Waiting], "{on_excess:?}");
        bench.store.cancel(&all).await.expect("cancel");
    }
}

/// Once it has that, they do.
pub async fn nobody_makes_room_for_who_waits_for_something_else(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let rule = of("a", 1, OnExcess::CancelRunning)[0].clone();
    let (first, other) = (bench.limited(std::slice::from_ref(&rule)).await, bench.limited(&[need("b", 1)]).await);
    bench.sweep().await;
    let claimed = bench.claim_all(worker).await;
    assert_eq!(ids(&claimed), [first, other]);
    let next = bench.limited(&[rule, need("b", 1)]).await;
    bench.sweep().await;
    assert_eq!((bench.get(first).await.cancel_requested, bench.state(next).await), (false, Waiting));
    bench.settle(claimed[1].lease, Ending::Succeeded).await;
    bench.sweep().await;
    assert!(bench.get(first).await.cancel_requested);
    bench.settle(claimed[0].lease, Ending::Cancelled).await;
    bench.sweep().await;
    assert_eq!(bench.state(next).await, Ready);
}

/// Where those with the rule have too little.
pub async fn nobody_makes_room_in_vain(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let rule = of("a", 2, OnExcess::CancelRunning);
    let (plain, first) = (bench.limited(&[need("a", 2)]).await, bench.limited(&rule).await);
    bench.sweep().await;
    assert_eq!(bench.claim_all(worker).await.len(), 2);
    let large = bench.limited(&[Need { cost: 2, ..rule[0].clone() }]).await;
    bench.sweep().await;
    assert!(!bench.get(first).await.cancel_requested && !bench.get(plain).await.cancel_requested);
    assert_eq!(bench.state(large).await, Waiting);
}

/// As many as there are slots.
pub async fn of_a_burst_only_the_newest_run(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let rule = of("a", 2, OnExcess::CancelRunning);
    let running = bench.several(2, &rule).await;
    bench.sweep().await;
    assert_eq!(bench.claim_all(worker).await.len(), 2);
    let tasks: Vec<_> = (0..700).map(|_| with(bench.task(), &rule)).collect();
    let burst: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    bench.enqueue_all(tasks).await;
    for _ in 0..3 {
        bench.sweep().await;
    }
    let states = bench.states(&burst).await;
    assert!(states[..698].iter().all(|state| *state == Cancelled), "{states:?}");
    assert_eq!(states[698..], [Waiting; 2]);
    assert_eq!(bench.why(burst[0]).await.1, "dropped: a newer task waits for \"a\"");
    assert!(bench.get(running[0]).await.cancel_requested);
}
