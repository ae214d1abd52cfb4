//! How many tasks with one key may run at once, and who is next.

use std::collections::BTreeMap;

use gristmill_core::concurrency::{Limit, LimitInfo, Need};
use gristmill_core::{
    CancelOutcome, Claimed, DeleteOutcome, Ending, EnqueueOutcome, Filter, Hold, NewTask, Retention, RetryOutcome, Settled,
    State, TaskId, TaskMeta, WorkerId,
};

use super::bench::{ALL, Bench, secs};
use super::list;
use crate::graphs::Dice;
use State::{Cancelled, Expired, Failed, Ready, Running, Scheduled, Succeeded, Waiting};

list![
    only_so_many_are_ready_or_run,
    slots_are_given_in_the_order_of_arrival,
    an_attempt_that_is_over_gives_its_slot_back,
    a_dead_worker_gives_its_slots_back,
    who_is_cancelled_or_expires_gives_its_slot_back,
    all_keys_or_none_are_taken,
    a_task_may_take_several_slots,
    keys_are_apart,
    what_is_not_due_takes_no_slot,
    a_sequence_goes_on_when_the_one_before_has_ended,
    in_a_sequence_a_retry_is_not_overtaken,
    an_operator_may_set_a_limit,
    a_lowered_limit_drains,
    who_is_not_claimed_waits_again_when_a_limit_is_lowered,
    what_needs_more_than_there_is_by_now_runs_alone,
    what_the_newest_task_says_holds,
    a_retry_by_hand_waits_again,
    limits_are_listed,
    a_task_knows_where_it_waits,
    another_process_gives_slots_on,
    limits_hold_whatever_happens,
];

pub(super) fn need(key: &str, limit: u32) -> Need {
    Need::of(key, limit)
}

pub(super) fn with(task: NewTask, needs: &[Need]) -> NewTask {
    let meta = TaskMeta { needs: needs.to_vec(), ..task.meta.clone().map(|meta| *meta).unwrap_or_default() };
    NewTask { meta: Some(Box::new(meta)), hold: Hold { limited: true, ..task.hold }, ..task }
}

impl Bench<'_> {
    pub(super) async fn limited(&self, needs: &[Need]) -> TaskId {
        self.enqueue(with(self.task(), needs)).await
    }

    pub(super) async fn several(&self, count: usize, needs: &[Need]) -> Vec<TaskId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.limited(needs).await);
        }
        ids
    }

    /// Where they stand, once what follows from all that was done is done. A store may do that a moment later; a sweep waits for it.
    pub(super) async fn states(&self, ids: &[TaskId]) -> Vec<State> {
        self.sweep().await;
        let mut states = Vec::new();
        for id in ids {
            states.push(self.find(*id).await.map_or(State::Succeeded, |task| task.state));
        }
        states
    }

    async fn set(&self, key: &str, limit: impl Into<Option<u32>>) {
        self.store.set_limit(key, limit.into().map(Limit::of)).await.expect("set_limit");
    }

    pub(super) async fn info(&self, key: &str) -> LimitInfo {
        self.store.get_limit(key, 0).await.expect("get_limit").expect("the key is known").info
    }

    /// Claims all that are ready.
    pub(super) async fn claim_all(&self, worker: WorkerId) -> Vec<Claimed> {
        self.sweep().await;
        self.claim(worker, ALL).await
    }
}

pub(super) fn ids(claimed: &[Claimed]) -> Vec<TaskId> {
    claimed.iter().map(|claimed| claimed.lease.id).collect()
}

/// Whether they wait for a worker or run.
pub async fn only_so_many_are_ready_or_run(bench: Bench<'_>) {
    let all = bench.several(4, &[need("a", 2)]).await;
    assert_eq!(bench.states(&all).await, [Ready, Ready, Waiting, Waiting]);
    let worker = bench.worker().await;
    let claimed = bench.claim_all(worker).await;
    assert_eq!(ids(&claimed), all[..2]);
    assert_eq!(bench.states(&all).await, [Running, Running, Waiting, Waiting]);
    assert!(bench.claim_all(worker).await.is_empty());
    for (n, claimed) in claimed.into_iter().enumerate() {
        assert_eq!(bench.settle(claimed.lease, Ending::Succeeded).await, Settled::Done(Succeeded));
        assert_eq!(bench.states(&all[2..=2 + n]).await, vec![Ready; n + 1], "one for each that ended");
    }
    let claimed = bench.claim_all(worker).await;
    assert_eq!(ids(&claimed), all[2..]);
    for claimed in claimed {
        bench.settle(claimed.lease, Ending::Succeeded).await;
    }
    assert_eq!(bench.states(&all).await, [Succeeded; 4]);
    assert_eq!(bench.enqueue_all(vec![with(bench.task(), &[need("a", 2)])]).await, [EnqueueOutcome::Created]);
}

/// Also of one that comes later, with a better priority.
pub async fn slots_are_given_in_the_order_of_arrival(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let mut all = bench.several(3, &[need("a", 1)]).await;
    all.push(bench.enqueue(with(NewTask { priority: 0, ..bench.task() }, &[need("a", 1)])).await);
    let mut ran = Vec::new();
    for _ in 0..all.len() {
        let [claimed] = <[Claimed; 1]>::try_from(bench.claim_all(worker).await).expect("one at a time");
        ran.push(claimed.lease.id);
        bench.settle(claimed.lease, Ending::Succeeded).await;
    }
    assert_eq!(ran, all);
}

/// However it ends; its task comes back at its place when it is due again.
pub async fn an_attempt_that_is_over_gives_its_slot_back(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let endings = [Ending::Retry { delay: secs(5) }, Ending::Snooze { delay: secs(5) }, Ending::Released, Ending::Failed];
    for (n, ending) in endings.into_iter().enumerate() {
        let key = format!("key {n}");
        let all = bench.several(2, &[need(&key, 1)]).await;
        let [claimed] = <[Claimed; 1]>::try_from(bench.claim_all(worker).await).expect("one at a time");
        assert_eq!(claimed.lease.id, all[0]);
        bench.settle(claimed.lease, ending).await;
        let after = bench.states(&all).await;
        match ending {
            // It is the first of the line again.
            Ending::Released => assert_eq!(after, [Ready, Waiting]),
            Ending::Failed => assert_eq!(after, [Failed, Ready]),
            _ => {
                assert_eq!(after, [Scheduled, Ready], "{ending:?}");
                bench.pass(secs(5));
                bench.beat(worker).await;
                assert_eq!(bench.states(&all).await, [Waiting, Ready], "the slot is taken now");
            }
        }
        for id in all {
            bench.store.cancel(&[id]).await.expect("cancel");
        }
    }
}

/// When it is found out; its tasks are the first of the line again.
pub async fn a_dead_worker_gives_its_slots_back(bench: Bench<'_>) {
    let dead = bench.worker().await;
    let all = bench.several(3, &[need("a", 2)]).await;
    let claimed = bench.claim_all(dead).await;
    assert_eq!(ids(&claimed), all[..2]);
    bench.die().await;
    assert_eq!(bench.states(&all).await, [Ready, Ready, Waiting], "they are the first of the line again");
    assert_eq!(bench.info("a").await.used, 2);
    assert_eq!(bench.settle(claimed[0].lease, Ending::Succeeded).await, Settled::LeaseLost);
    assert_eq!(bench.info("a").await.used, 2, "and whoever comes late gives nothing back");
}

/// Ready, in the line, found too late by a claim, or running.
pub async fn who_is_cancelled_or_expires_gives_its_slot_back(bench: Bench<'_>) {
    let all = bench.several(3, &[need("a", 1)]).await;
    assert_eq!(bench.store.cancel(&all[..1]).await.expect("cancel"), [CancelOutcome::Cancelled]);
    assert_eq!(bench.states(&all).await, [Cancelled, Ready, Waiting]);
    // Of the line as well.
    assert_eq!(bench.store.cancel(&all[1..]).await.expect("cancel"), [CancelOutcome::Cancelled; 2]);
    let late = bench.enqueue(with(NewTask { expires: Some(secs(5)), ..bench.task() }, &[need("a", 1)])).await;
    let waits = bench.enqueue(with(NewTask { expires: Some(secs(5)), ..bench.task() }, &[need("a", 1)])).await;
    let last = bench.limited(&[need("a", 1)]).await;
    assert_eq!(bench.states(&[late, waits, last]).await, [Ready, Waiting, Waiting]);
    bench.pass(secs(6));
    assert_eq!(bench.states(&[late, waits, last]).await, [Expired, Expired, Ready]);
    // One that a claim finds too late.
    let late = bench.enqueue(with(NewTask { expires: Some(secs(5)), ..bench.task() }, &[need("b", 1)])).await;
    let next = bench.limited(&[need("b", 1)]).await;
    let worker = bench.worker().await;
    bench.pass(secs(6));
    assert_eq!(bench.claim_ids(worker, ALL).await, [last]);
    assert_eq!(bench.states(&[late, next]).await, [Expired, Ready]);
    // A running one, when it has ended.
    let runs = bench.claim_all(worker).await;
    let behind = bench.limited(&[need("b", 1)]).await;
    assert_eq!(ids(&runs), [next]);
    assert_eq!(bench.store.cancel(&[next]).await.expect("cancel"), [CancelOutcome::CancelRequested]);
    assert_eq!(bench.states(&[behind]).await, [Waiting]);
    bench.settle(runs[0].lease, Ending::Cancelled).await;
    assert_eq!(bench.states(&[next, behind]).await, [Cancelled, Ready]);
}

/// Who waits for one holds nothing of another, and those behind it are not held up.
pub async fn all_keys_or_none_are_taken(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let holds_b = bench.limited(&[need("b", 1)]).await;
    let both = bench.limited(&[need("a", 1), need("b", 1)]).await;
    let only_a = bench.limited(&[need("a", 1)]).await;
    let too = bench.limited(&[need("a", 1), need("b", 1)]).await;
    assert_eq!(bench.states(&[holds_b, both, only_a, too]).await, [Ready, Waiting, Ready, Waiting]);
    assert_eq!((bench.info("a").await.used, bench.info("b").await.used), (1, 1));
    let claimed = bench.claim_all(worker).await;
    assert_eq!(ids(&claimed), [holds_b, only_a]);
    bench.settle(claimed[0].lease, Ending::Succeeded).await;
    assert_eq!(bench.states(&[both, too]).await, [Waiting, Waiting], "a is taken");
    bench.settle(claimed[1].lease, Ending::Succeeded).await;
    assert_eq!(bench.states(&[both, too]).await, [Ready, Waiting]);
    let claimed = bench.claim_all(worker).await;
    bench.settle(claimed[0].lease, Ending::Succeeded).await;
    assert_eq!(bench.states(&[both, too]).await, [Succeeded, Ready]);
    let claimed = bench.claim_all(worker).await;
    bench.settle(claimed[0].lease, Ending::Succeeded).await;
    bench.sweep().await;
    assert_eq!(bench.store.list_limits("", None, ALL).await.expect("list_limits").iter().map(|info| info.used).sum::<u64>(), 0);
}

/// One that does not fit is not passed by smaller ones for ever.
pub async fn a_task_may_take_several_slots(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let of = |cost| Need { cost, ..need("a", 4) };
    let small = bench.limited(&[of(2)]).await;
    let large = bench.limited(&[of(3)]).await;
    let tiny = bench.limited(&[of(1)]).await;
    assert_eq!(bench.states(&[small, large, tiny]).await, [Ready, Waiting, Waiting]);
    assert_eq!(bench.info("a").await.used, 2);
    let claimed = bench.claim_all(worker).await;
    bench.settle(claimed[0].lease, Ending::Succeeded).await;
    assert_eq!(bench.states(&[large, tiny]).await, [Ready, Ready]);
    assert_eq!(bench.info("a").await.used, 4);
    // One that needs more than there is by now runs alone.
    let (large, tiny) = (bench.limited(&[Need { cost: 3, ..need("b", 4) }]).await, bench.limited(&[need("b", 2)]).await);
    assert_eq!(bench.states(&[large, tiny]).await, [Ready, Waiting]);
    bench.store.cancel(&[large]).await.expect("cancel");
    assert_eq!(bench.states(&[tiny]).await, [Ready]);
}

/// Each has slots of its own.
pub async fn keys_are_apart(bench: Bench<'_>) {
    let mut firsts = Vec::new();
    let mut seconds = Vec::new();
    for n in 0..20 {
        firsts.push(bench.limited(&[need(&format!("key {n}"), 1)]).await);
    }
    for n in 0..20 {
        seconds.push(bench.limited(&[need(&format!("key {n}"), 1)]).await);
    }
    assert_eq!(bench.states(&firsts).await, [Ready; 20]);
    assert_eq!(bench.states(&seconds).await, [Waiting; 20]);
    let worker = bench.worker().await;
    let claimed = bench.claim_all(worker).await;
    assert_eq!(ids(&claimed), firsts);
    for n in (0..20).step_by(2) {
        bench.settle(claimed[n].lease, Ending::Succeeded).await;
    }
    let after = bench.states(&seconds).await;
    assert_eq!(after, (0..20).map(|n| if n % 2 == 0 { Ready } else { Waiting }).collect::<Vec<_>>());
}

/// Nor what waits for others.
pub async fn what_is_not_due_takes_no_slot(bench: Bench<'_>) {
    let later = bench.enqueue(with(NewTask { delay: secs(60), ..bench.task() }, &[need("a", 1)])).await;
    let blocked = with(bench.task(), &[need("a", 1)]);
    let blocked = bench.enqueue(NewTask { hold: Hold { blocked: true, ..blocked.hold }, ..blocked }).await;
    let now = bench.limited(&[need("a", 1)]).await;
    assert_eq!(bench.states(&[later, blocked, now]).await, [Scheduled, State::Blocked, Ready]);
    bench.pass(secs(60));
    assert_eq!(bench.store.unblock(&[blocked]).await.expect("unblock"), [Some(Waiting)]);
    assert_eq!(bench.states(&[later, blocked, now]).await, [Waiting, Waiting, Ready]);
    bench.store.cancel(&[now]).await.expect("cancel");
    assert_eq!(bench.states(&[later, blocked]).await, [Ready, Waiting], "the one that was enqueued first");
}

/// As many attempts as that may need.
pub async fn a_sequence_goes_on_when_the_one_before_has_ended(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let sequence = [Need { until_ended: true, ..need("s", 1) }];
    let all = bench.several(3, &sequence).await;
    for (n, ending) in
        [Ending::Retry { delay: secs(10) }, Ending::Snooze { delay: secs(10) }, Ending::Released].into_iter().enumerate()
    {
        let claimed = bench.claim_all(worker).await;
        assert_eq!(ids(&claimed), all[..1], "attempt {n}");
        bench.settle(claimed[0].lease, ending).await;
        assert_eq!(bench.states(&all[1..]).await, [Waiting, Waiting]);
        assert_eq!(bench.info("s").await.used, 1);
        bench.pass(secs(10));
        bench.beat(worker).await;
    }
    let claimed = bench.claim_all(worker).await;
    bench.settle(claimed[0].lease, Ending::Failed).await;
    assert_eq!(bench.states(&all).await, [Failed, Ready, Waiting]);
    bench.store.cancel(&all[1..2]).await.expect("cancel");
    assert_eq!(bench.states(&all).await, [Failed, Cancelled, Ready]);
    let claimed = bench.claim_all(worker).await;
    bench.die().await;
    assert_eq!(ids(&claimed), all[2..]);
    assert_eq!(bench.states(&all[2..]).await, [Ready], "a crash is an attempt like others");
}

/// Not even by one that was enqueued before it and is due only now.
pub async fn in_a_sequence_a_retry_is_not_overtaken(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let sequence = [Need { until_ended: true, ..need("s", 1) }];
    let early = bench.enqueue(with(NewTask { delay: secs(5), ..bench.task() }, &sequence)).await;
    let runs = bench.limited(&sequence).await;
    let claimed = bench.claim_all(worker).await;
    assert_eq!(ids(&claimed), [runs]);
    bench.settle(claimed[0].lease, Ending::Retry { delay: secs(10) }).await;
    bench.pass(secs(5));
    assert_eq!(bench.states(&[early, runs]).await, [Waiting, Scheduled]);
    bench.pass(secs(5));
    bench.beat(worker).await;
    assert_eq!(bench.states(&[early, runs]).await, [Waiting, Ready], "it holds the slot");
}

/// Over what tasks say, until it is taken back.
pub async fn an_operator_may_set_a_limit(bench: Bench<'_>) {
    bench.set("a", 0).await;
    let all = bench.several(4, &[need("a", 2)]).await;
    assert_eq!(bench.states(&all).await, [Waiting; 4], "nobody is admitted");
    assert_eq!(
        bench.info("a").await,
        LimitInfo {
            key: "a".to_owned(),
            limit: Limit::of(0),
            declared: Some(Limit::of(2)),
            set: Some(Limit::of(0)),
            used: 0,
            waiting: 4,
            burst: None,
            strategy: None,
            next: None
        }
    );
    bench.set("a", 3).await;
    assert_eq!(bench.states(&all).await, [Ready, Ready, Ready, Waiting]);
    bench.set("a", 4).await;
    assert_eq!(bench.states(&all).await, [Ready; 4]);
    bench.set("a", None).await;
    let more = bench.limited(&[need("a", 2)]).await;
    assert_eq!(bench.states(&[more]).await, [Waiting]);
    let info = bench.info("a").await;
    assert_eq!((info.limit, info.set, info.used, info.waiting), (Limit::of(2), None, 2, 3));
    bench.set("a", 0).await;
    assert_eq!(bench.states(&all).await, [Waiting; 4], "whoever was let in and has not begun");
    bench.set("a", None).await;
    assert_eq!(bench.states(&all).await, [Ready, Ready, Waiting, Waiting], "in the order in which they came");
}

/// What runs goes on.
pub async fn a_lowered_limit_drains(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = bench.several(5, &[need("a", 3)]).await;
    let claimed = bench.claim_all(worker).await;
    bench.set("a", 1).await;
    let mut waiting = Vec::new();
    for claimed in claimed {
        bench.settle(claimed.lease, Ending::Succeeded).await;
        waiting.push(bench.states(&all[3..]).await);
    }
    assert_eq!(waiting, [[Waiting, Waiting], [Waiting, Waiting], [Ready, Waiting]], "only when fewer run than that");
}

/// Those first that came last, until the rest has room; what they have of other keys is free too.
pub async fn who_is_not_claimed_waits_again_when_a_limit_is_lowered(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let mut all = bench.several(3, &[need("a", 4)]).await;
    all.push(bench.limited(&[need("a", 4), need("b", 1)]).await);
    let other = bench.limited(&[need("b", 1)]).await;
    let claimed = bench.claim(worker, 1).await;
    assert_eq!((ids(&claimed), bench.states(&all).await), (all[..1].to_vec(), vec![Running, Ready, Ready, Ready]));
    bench.set("a", 2).await;
    assert_eq!(bench.states(&all).await, [Running, Ready, Waiting, Waiting]);
    assert_eq!(bench.states(&[other]).await, [Ready], "the slot of the other key is given on");
    assert_eq!((bench.info("a").await.used, bench.info("a").await.waiting, bench.info("b").await.used), (2, 2, 1));
    bench.set("a", 0).await;
    assert_eq!(bench.states(&all).await, [Running, Waiting, Waiting, Waiting]);
    bench.settle(claimed[0].lease, Ending::Succeeded).await;
    assert_eq!(bench.states(&all[1..]).await, [Waiting; 3]);
    assert_eq!(ids(&bench.claim_all(worker).await), [other]);

    // One that waited for its next attempt keeps what it has of a sequence; one that never began has none of it.
    let sequence = [Need { until_ended: true, ..need("s", 1) }];
    let all = bench.several(2, &sequence).await;
    let [first] = <[Claimed; 1]>::try_from(bench.claim_all(worker).await).expect("one at a time");
    bench.settle(first.lease, Ending::Retry { delay: secs(1) }).await;
    bench.pass(secs(1));
    bench.beat(worker).await;
    assert_eq!(bench.states(&all).await, [Ready, Waiting]);
    bench.set("s", 0).await;
    assert_eq!((bench.states(&all).await, bench.info("s").await.used), (vec![Waiting, Waiting], 1));
    bench.store.cancel(&all[..1]).await.expect("cancel");
    bench.set("s", None).await;
    assert_eq!(bench.states(&all[1..]).await, [Ready]);
    bench.set("s", 0).await;
    assert_eq!((bench.states(&all[1..]).await, bench.info("s").await.used), (vec![Waiting], 0));
}

/// It would wait for ever else.
pub async fn what_needs_more_than_there_is_by_now_runs_alone(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let large = [Need { cost: 3, ..need("a", 4) }];
    let all = [bench.limited(&large).await, bench.limited(&[need("a", 4)]).await];
    assert_eq!(bench.states(&all).await, [Ready, Ready]);
    bench.set("a", 2).await;
    assert_eq!(bench.states(&all).await, [Ready, Waiting]);
    let claimed = bench.claim_all(worker).await;
    assert_eq!((ids(&claimed), bench.states(&all[1..]).await), (all[..1].to_vec(), vec![Waiting]));
    bench.settle(claimed[0].lease, Ending::Succeeded).await;
    assert_eq!(bench.states(&all).await, [Succeeded, Ready]);
}

/// For all of the key, also for those that came before.
pub async fn what_the_newest_task_says_holds(bench: Bench<'_>) {
    let mut all = bench.several(2, &[need("a", 1)]).await;
    assert_eq!(bench.states(&all).await, [Ready, Waiting]);
    all.push(bench.limited(&[need("a", 3)]).await);
    assert_eq!(bench.states(&all).await, [Ready; 3]);
    all.push(bench.limited(&[need("a", 1)]).await);
    assert_eq!(bench.states(&all).await, [Ready, Waiting, Waiting, Waiting], "who waits again says nothing anew");
    assert_eq!(bench.info("a").await.limit, Limit::of(1));
    bench.store.cancel(&all[..1]).await.expect("cancel");
    assert_eq!(bench.states(&all[1..]).await, [Ready, Waiting, Waiting]);
}

/// It stands where it arrived, and holds nothing of before.
pub async fn a_retry_by_hand_waits_again(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = bench.several(3, &[need("a", 1)]).await;
    let claimed = bench.claim_all(worker).await;
    bench.settle(claimed[0].lease, Ending::Failed).await;
    assert_eq!(bench.states(&all).await, [Failed, Ready, Waiting]);
    assert_eq!(bench.store.retry(&all[..1]).await.expect("retry"), [RetryOutcome::Ready]);
    assert_eq!(bench.states(&all).await, [Waiting, Ready, Waiting]);
    bench.store.cancel(&all[1..2]).await.expect("cancel");
    assert_eq!(bench.states(&all).await, [Ready, Cancelled, Waiting]);
    bench.store.cancel(&all[..1]).await.expect("cancel");
    assert_eq!(bench.store.delete(&all[..2]).await.expect("delete"), [DeleteOutcome::Deleted; 2]);
    assert_eq!(bench.states(&all[2..]).await, [Ready]);
}

/// Those of which there is something to say, by name.
pub async fn limits_are_listed(bench: Bench<'_>) {
    let list = async |prefix: &str, after: Option<&str>, most| {
        bench.sweep().await;
        let listed = bench.store.list_limits(prefix, after, most).await.expect("list_limits");
        listed.into_iter().map(|info| info.key).collect::<Vec<_>>()
    };
    assert!(list("", None, ALL).await.is_empty());
    for key in ["b:2", "a_1", "b:1", "b:%"] {
        bench.limited(&[need(key, 1)]).await;
    }
    bench.set("c", 7).await;
    assert_eq!(list("", None, ALL).await, ["a_1", "b:%", "b:1", "b:2", "c"]);
    assert_eq!(list("b:", None, ALL).await, ["b:%", "b:1", "b:2"]);
    assert_eq!(list("b:", Some("b:%"), 1).await, ["b:1"]);
    assert_eq!((list("b:%", None, ALL).await, list("a%", None, ALL).await), (vec!["b:%".to_owned()], Vec::new()), "no pattern");
    assert_eq!(bench.store.get_limit("nobody's", 5).await.expect("get_limit"), None);
    bench.set("c", None).await;
    assert_eq!(list("c", None, ALL).await, [""; 0], "nothing is left to say of it");
    // Nor of one whose last task has ended.
    let worker = bench.worker().await;
    for claimed in bench.claim_all(worker).await {
        bench.settle(claimed.lease, Ending::Succeeded).await;
    }
    assert!(list("", None, ALL).await.is_empty());
}

/// And who is before it, and who holds the slots.
pub async fn a_task_knows_where_it_waits(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = bench.several(4, &[need("a", 2)]).await;
    let claimed = bench.claim(worker, 1).await;
    bench.sweep().await;
    let stands = async |id| bench.store.stands_by(id).await.expect("stands_by");
    assert_eq!((stands(all[0]).await, stands(all[1]).await), (None, None));
    let last = stands(all[3]).await.expect("it waits");
    assert_eq!((last.key.as_str(), last.cost, last.limit, last.used, last.before), ("a", 1, Limit::of(2), 2, 1));
    assert_eq!(last.holders.len(), 2);
    let record = bench.store.get_limit("a", 5).await.expect("get_limit").expect("it is known");
    let holders: BTreeMap<_, _> = record.holders.iter().map(|holder| (holder.task, holder.running_since)).collect();
    assert_eq!(holders, [(all[0], Some(bench.env.now())), (all[1], None)].into());
    assert_eq!(record.line, all[2..]);
    assert_eq!(
        bench.store.get_limit("a", 1).await.expect("get_limit").map(|one| (one.holders.len(), one.line.len())),
        Some((1, 1))
    );
    assert_eq!(claimed.len(), 1);
    assert_eq!(stands(bench.env.task_id()).await, None);
}

/// Whoever frees one, whoever waits.
pub async fn another_process_gives_slots_on(bench: Bench<'_>) {
    let other = bench.other().await;
    let worker = bench.worker().await;
    let all = bench.several(2, &[need("a", 1)]).await;
    let claimed = bench.claim_all(worker).await;
    assert_eq!(other.set_limit("a", Some(Limit::of(1))).await.map_err(|error| error.to_string()), Ok(()));
    other.cancel(&all[1..]).await.expect("cancel");
    let next = with(bench.task(), &[need("a", 1)]);
    let id = next.id;
    assert_eq!(other.enqueue(vec![next]).await.expect("enqueue"), [EnqueueOutcome::Created]);
    assert_eq!(bench.states(&[id]).await, [Waiting]);
    bench.settle(claimed[0].lease, Ending::Succeeded).await;
    assert_eq!(bench.states(&[id]).await, [Ready]);
}

/// Whatever is done in whatever order, never do more run than there are slots, and nobody is forgotten.
pub async fn limits_hold_whatever_happens(bench: Bench<'_>) {
    const LIMITS: [(&str, u32); 4] = [("a", 1), ("b", 2), ("c", 3), ("s", 1)];
    let mut dice = Dice::new(7);
    let worker = bench.worker().await;
    let (mut all, mut running): (Vec<(TaskId, Vec<Need>)>, Vec<Claimed>) = (Vec::new(), Vec::new());
    let mut limits = BTreeMap::from(LIMITS);
    for turn in 0..200 {
        match dice.below(11) {
            0..=3 => {
                let mut needs: Vec<Need> = LIMITS
                    .iter()
                    .filter(|_| dice.below(3) == 0)
                    .map(|(key, limit)| Need { until_ended: *key == "s", ..need(key, *limit) })
                    .collect();
                needs.sort_by(|one, other| one.key.cmp(&other.key));
                if needs.is_empty() {
                    needs.push(need("c", 3));
                }
                let retention = if dice.below(4) == 0 { Retention::None } else { Retention::default() };
                let id = bench.enqueue(with(NewTask { retention, ..bench.task() }, &needs)).await;
                all.push((id, needs));
            }
            4..=5 => running.extend(bench.claim(worker, 1 + dice.below(3)).await),
            6..=8 if !running.is_empty() => {
                let claimed = running.swap_remove(dice.below(running.len()));
                let ending = match dice.below(5) {
                    0 => Ending::Retry { delay: secs(1) },
                    1 => Ending::Released,
                    2 => Ending::Failed,
                    _ => Ending::Succeeded,
                };
                bench.settle(claimed.lease, ending).await;
            }
            9 if !all.is_empty() => {
                let (id, _) = all[dice.below(all.len())];
                bench.store.cancel(&[id]).await.expect("cancel");
            }
            10 => {
                let (key, declared) = LIMITS[1 + dice.below(2)];
                let limit = u32::try_from(dice.below(4)).ok().filter(|limit| *limit <= declared);
                bench.set(key, limit).await;
                limits.insert(key, limit.unwrap_or(declared));
            }
            _ => {
                bench.pass(secs(1));
                bench.beat(worker).await;
            }
        }
        let (mut ready, mut run): (BTreeMap<&str, u32>, BTreeMap<&str, u32>) = (BTreeMap::new(), BTreeMap::new());
        for (id, needs) in &all {
            let used = match bench.find(*id).await.map(|task| task.state) {
                Some(Ready) => &mut ready,
                Some(Running) => &mut run,
                _ => continue,
            };
            needs.iter().for_each(|need| *used.entry(&need.key).or_default() += need.cost);
        }
        for (key, limit) in &limits {
            let (ready, run) = (ready.get(key).copied().unwrap_or_default(), run.get(key).copied().unwrap_or_default());
            assert!(
                ready <= limit.saturating_sub(run),
                "turn {turn}: {ready} ready beside {run} that run, of {limit} slots of {key}"
            );
        }
    }
    bench.set("b", None).await;
    bench.set("c", None).await;
    // Nobody waits for a slot that nobody holds.
    for _ in 0..all.len() * 4 {
        for claimed in running.drain(..) {
            bench.settle(claimed.lease, Ending::Succeeded).await;
        }
        bench.pass(secs(1));
        bench.beat(worker).await;
        running = bench.claim_all(worker).await;
    }
    let states: Vec<State> = bench.states(&all.iter().map(|(id, _)| *id).collect::<Vec<_>>()).await;
    assert!(states.iter().all(|state| state.is_final()), "{states:?}");
    assert!(bench.list(&Filter { states: vec![Waiting], ..Filter::default() }).await.is_empty());
    assert!(bench.store.list_limits("", None, ALL).await.expect("list_limits").is_empty());
}
