//! Queues in which keys take turns, however many tasks one of them has.

use gristmill_core::concurrency::fair::STEP;
use gristmill_core::concurrency::{Limit, Need};
use gristmill_core::{Claim, Ending, EnqueueOutcome, NewTask, Settlement, State, TaskId, Wanted};

use super::bench::{ALL, Bench, KIND, QUEUE, secs};
use super::concurrency::{ids, need, with};
use super::list;
use crate::graphs::Dice;
use State::{Ready, Scheduled, Waiting};

list![
    keys_take_turns,
    who_comes_later_is_served_next,
    those_of_a_key_keep_their_order,
    a_key_of_more_weight_is_served_more_often,
    priorities_come_before_turns,
    a_limit_holds_back_its_key_and_nobody_else,
    keys_take_turns_at_a_limit_that_all_of_them_need,
    slots_that_come_free_at_once_go_to_those_who_wait,
    slots_that_come_free_at_once_go_round,
    who_has_no_turn_waits_for_a_slot_as_long_as_who_has_one,
    a_key_that_is_closed_meanwhile_keeps_its_order,
    who_waits_for_all_of_a_key_is_not_forgotten,
    many_keys_wait_for_one_limit,
    who_waits_for_all_of_a_key_and_is_gone_is_replaced,
    whoever_comes_back_takes_a_turn_anew,
    who_has_no_turn_is_not_forgotten,
    an_operator_may_close_a_key_of_a_fair_queue,
    whoever_is_moved_stands_among_those_of_the_other_queue,
    turns_are_taken_whatever_happens,
];

fn turn(key: &str, weight: u32) -> Need {
    Need { cost: STEP / weight, ..need(&format!("fair:5:{QUEUE}:{key}"), 100_000) }
}

impl Bench<'_> {
    async fn served(&self, claims: usize) -> Vec<TaskId> {
        let worker = self.worker().await;
        let mut served = Vec::new();
        for _ in 0..claims {
            served.extend(self.claim_ids(worker, 1).await);
        }
        served
    }
}

fn count(of: &[TaskId], among: &[TaskId]) -> usize {
    among.iter().filter(|id| of.contains(id)).count()
}

/// However many tasks one of them has.
pub async fn keys_take_turns(bench: Bench<'_>) {
    let a = bench.several(50, &[turn("a", 1)]).await;
    let b = bench.several(5, &[turn("b", 1)]).await;
    let c = bench.several(5, &[turn("c", 1)]).await;
    assert_eq!(bench.states(&a).await, vec![Ready; 50], "nothing is held back");
    let served = bench.served(17).await;
    assert_eq!((count(&b, &served[..16]), count(&c, &served[..16])), (5, 5), "{served:?}");
    let rest = bench.served(60).await;
    assert_eq!(rest.len(), 43, "and all of them are served");
}

/// And not with all that it has at once.
pub async fn who_comes_later_is_served_next(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let a = bench.several(40, &[turn("a", 1)]).await;
    bench.sweep().await;
    assert_eq!(bench.claim_ids(worker, 10).await, a[..10]);
    let b = bench.several(20, &[turn("b", 1)]).await;
    bench.sweep().await;
    let served = bench.claim_ids(worker, 3).await;
    assert!(served.contains(&b[0]), "{served:?}");
    let served = bench.claim_ids(worker, 20).await;
    assert!((9..=11).contains(&count(&b, &served)), "it has saved nothing up: {served:?}");
}

/// Also those that came later.
pub async fn those_of_a_key_keep_their_order(bench: Bench<'_>) {
    let mut a = bench.several(5, &[turn("a", 1)]).await;
    bench.several(3, &[turn("b", 2)]).await;
    a.extend(bench.several(5, &[turn("a", 1)]).await);
    bench.pass(secs(100));
    a.extend(bench.several(5, &[turn("a", 1)]).await);
    let served: Vec<TaskId> = bench.served(20).await.into_iter().filter(|id| a.contains(id)).collect();
    assert_eq!(served, a);
}

/// As often as its weight says.
pub async fn a_key_of_more_weight_is_served_more_often(bench: Bench<'_>) {
    bench.several(40, &[turn("a", 1)]).await;
    let b = bench.several(40, &[turn("b", 3)]).await;
    let served = bench.served(24).await;
    assert!((17..=19).contains(&count(&b, &served)), "{}", count(&b, &served));
}

/// Of each priority turns are taken apart.
pub async fn priorities_come_before_turns(bench: Bench<'_>) {
    bench.several(3, &[turn("a", 1)]).await;
    let urgent = NewTask { priority: 1, ..with(bench.task(), &[Need { key: format!("fair:1:{QUEUE}:a"), ..turn("a", 1) }]) };
    let urgent = bench.enqueue(urgent).await;
    bench.several(3, &[turn("b", 1)]).await;
    assert_eq!(bench.served(1).await, [urgent]);
}

/// Who waits for a slot has no place in line yet.
pub async fn a_limit_holds_back_its_key_and_nobody_else(bench: Bench<'_>) {
    let a = bench.several(10, &[turn("a", 1), need("one", 1)]).await;
    let b = bench.several(4, &[turn("b", 1)]).await;
    assert_eq!(bench.states(&a[..2]).await, [Ready, Waiting]);
    let served = bench.served(10).await;
    assert_eq!((served.len(), count(&b, &served), count(&a, &served)), (5, 4, 1));
}

/// Of each one task at a time waits for it, and the next behind those of all others.
pub async fn keys_take_turns_at_a_limit_that_all_of_them_need(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = |key: &str| [turn(key, 1), need("queue:q", 2)];
    let a = bench.several(30, &all("a")).await;
    bench.sweep().await;
    assert_eq!(bench.states(&a[..3]).await, [Ready, Ready, Waiting]);
    let b = bench.several(4, &all("b")).await;
    let c = bench.several(4, &all("c")).await;
    let mut served = Vec::new();
    for _ in 0..19 {
        let claimed = bench.claim_all(worker).await;
        served.extend(ids(&claimed));
        for claimed in claimed {
            bench.settle(claimed.lease, Ending::Succeeded).await;
        }
    }
    assert_eq!(served.len(), 38, "no slot is idle");
    // A store may give a slot on before it has seen all who came.
    assert_eq!((count(&b, &served[..24]), count(&c, &served[..24])), (4, 4), "nor does one key have them all");
    for key in [a, b, c] {
        let of_key: Vec<TaskId> = served.iter().copied().filter(|id| key.contains(id)).collect();
        assert_eq!(of_key, key);
    }
}

/// Nor does one key take all slots that come free at once.
pub async fn slots_that_come_free_at_once_go_to_those_who_wait(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = |key: &str| [turn(key, 1), need("queue:q", 4)];
    bench.several(20, &all("a")).await;
    let claimed = bench.claim_all(worker).await;
    assert_eq!(claimed.len(), 4);
    let b = bench.several(2, &all("b")).await;
    let c = bench.several(2, &all("c")).await;
    bench.sweep().await;
    let ends = claimed.into_iter().map(|claimed| Settlement::new(claimed.lease, Ending::Succeeded)).collect();
    bench.store.settle(ends).await.expect("settle");
    let next = ids(&bench.claim_all(worker).await);
    assert_eq!((next.len(), next.contains(&b[0]), next.contains(&c[0])), (4, true, true), "{next:?}");
}

/// Among all keys that have somebody for them, and not to the first of these.
pub async fn slots_that_come_free_at_once_go_round(bench: Bench<'_>) {
    let limit = |slots| Some(Limit::of(slots));
    bench.store.set_limit("queue:q", limit(0)).await.expect("set");
    let mut keys = Vec::new();
    for key in ["a", "b", "c"] {
        keys.push(bench.several(20, &[turn(key, 1), need("queue:q", 4)]).await);
    }
    bench.sweep().await;
    bench.store.set_limit("queue:q", limit(9)).await.expect("set");
    bench.sweep().await;
    for key in keys {
        assert_eq!(bench.states(&key[..4]).await, [Ready, Ready, Ready, Waiting]);
    }
}

/// In the order in which they came there.
pub async fn who_has_no_turn_waits_for_a_slot_as_long_as_who_has_one(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let mut expected = bench.several(1, &[need("one", 1)]).await;
    let a = bench.several(3, &[turn("a", 1), need("one", 1)]).await;
    bench.sweep().await;
    expected.push(a[0]);
    expected.extend(bench.several(5, &[need("one", 1)]).await);
    expected.push(a[1]);
    let mut served = Vec::new();
    while let Some(claimed) = bench.claim(worker, 1).await.pop() {
        served.extend(ids(std::slice::from_ref(&claimed)));
        bench.settle(claimed.lease, Ending::Succeeded).await;
        bench.sweep().await;
        if served.len() == 3 {
            expected.extend(bench.several(2, &[need("one", 1)]).await);
            expected.push(a[2]);
        }
        if served.len() == 8 {
            expected.extend(bench.several(2, &[need("one", 1)]).await);
        }
    }
    assert_eq!(served, expected);
}

/// Also that of the one that waited elsewhere for all of it.
pub async fn a_key_that_is_closed_meanwhile_keeps_its_order(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let a = bench.several(4, &[turn("a", 1), need("one", 1)]).await;
    bench.sweep().await;
    let key = format!("fair:5:{QUEUE}:a");
    bench.store.set_limit(&key, Some(Limit::of(0))).await.expect("set");
    let claimed = bench.claim_one(worker).await;
    bench.settle(claimed.lease, Ending::Succeeded).await;
    bench.sweep().await;
    assert_eq!(bench.states(&a[1..]).await, [Waiting; 3]);
    bench.store.set_limit(&key, None).await.expect("set");
    bench.sweep().await;
    assert_eq!(bench.states(&a[1..]).await, [Ready, Waiting, Waiting]);
}

/// However long it waits there, or another one would go there too.
pub async fn who_waits_for_all_of_a_key_is_not_forgotten(bench: Bench<'_>) {
    bench.store.set_limit("one", Some(Limit::of(0))).await.expect("set");
    let of = |key| [turn(key, 1), need("one", 1)];
    let mut a = bench.several(1, &of("a")).await;
    bench.sweep().await;
    bench.pass(secs(90_000));
    for _ in 0..3 {
        bench.store.prune(ALL).await.expect("prune");
        bench.sweep().await;
    }
    a.extend(bench.several(2, &of("a")).await);
    bench.sweep().await;
    let b = bench.several(1, &of("b")).await;
    bench.sweep().await;
    bench.store.set_limit("one", Some(Limit::of(1))).await.expect("set");
    bench.sweep().await;
    let worker = bench.worker().await;
    for id in [a[0], b[0], a[1], a[2]] {
        let claimed = bench.claim_one(worker).await;
        assert_eq!(claimed.lease.id, id);
        bench.settle(claimed.lease, Ending::Succeeded).await;
        bench.sweep().await;
    }
}

/// More than are looked at together.
pub async fn many_keys_wait_for_one_limit(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = (0..400).map(|key| with(bench.task(), &[turn(&key.to_string(), 1), need("queue:q", 50)]));
    let mut outcomes = bench.enqueue_all(all.collect()).await;
    outcomes.dedup();
    assert_eq!(outcomes, [EnqueueOutcome::Created]);
    for _ in 0..8 {
        let claimed = bench.claim_all(worker).await;
        assert_eq!(claimed.len(), 50);
        let ends = claimed.into_iter().map(|claimed| Settlement::new(claimed.lease, Ending::Succeeded)).collect();
        bench.store.settle(ends).await.expect("settle");
    }
    assert!(bench.claim_all(worker).await.is_empty());
}

/// Else all others of its key would wait for ever.
pub async fn who_waits_for_all_of_a_key_and_is_gone_is_replaced(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = bench.several(4, &[turn("a", 1), need("one", 1)]).await;
    bench.sweep().await;
    assert_eq!(bench.states(&all).await, [Ready, Waiting, Waiting, Waiting]);
    bench.store.cancel(&[all[1]]).await.expect("cancel");
    for id in [all[0], all[2], all[3]] {
        let claimed = bench.claim_all(worker).await;
        assert_eq!(ids(&claimed), [id]);
        bench.settle(claimed[0].lease, Ending::Succeeded).await;
        bench.sweep().await;
    }
}

/// Behind those of its key that came meanwhile.
pub async fn whoever_comes_back_takes_a_turn_anew(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let a = bench.several(3, &[turn("a", 1)]).await;
    bench.sweep().await;
    let claimed = bench.claim_one(worker).await;
    bench.settle(claimed.lease, Ending::Retry { delay: secs(1) }).await;
    assert_eq!(bench.states(&a[..1]).await, [Scheduled]);
    bench.pass(secs(1));
    bench.beat(worker).await;
    bench.sweep().await;
    assert_eq!(bench.claim_ids(worker, 5).await, [a[1], a[2], a[0]]);
}

/// One that an older program enqueued, or that came by SQL.
pub async fn who_has_no_turn_is_not_forgotten(bench: Bench<'_>) {
    bench.several(3, &[turn("a", 1)]).await;
    let plain = bench.add().await;
    bench.several(3, &[turn("b", 1)]).await;
    let served = bench.served(7).await;
    assert_eq!((served.len(), served.contains(&plain)), (7, true));
}

/// Until he opens it.
pub async fn an_operator_may_close_a_key_of_a_fair_queue(bench: Bench<'_>) {
    bench.store.set_limit(&format!("fair:5:{QUEUE}:a"), Some(Limit::of(0))).await.expect("set");
    let a = bench.several(2, &[turn("a", 1)]).await;
    let b = bench.several(2, &[turn("b", 1)]).await;
    assert_eq!((bench.states(&a).await, bench.states(&b).await), (vec![Waiting; 2], vec![Ready; 2]));
    bench.store.set_limit(&format!("fair:5:{QUEUE}:a"), None).await.expect("set");
    assert_eq!(bench.states(&a).await, [Ready; 2]);
}

/// Those that take turns have places behind all that come by their arrival.
pub async fn whoever_is_moved_stands_among_those_of_the_other_queue(bench: Bench<'_>) {
    let a = bench.several(3, &[turn("a", 1), need("one", 1)]).await;
    bench.sweep().await;
    bench.store.move_to(&a, "other").await.expect("move");
    let worker = bench.worker_for(&["other"], &[KIND]).await;
    for id in a {
        let plain = bench.enqueue(NewTask { queue: "other".to_owned(), ..bench.task() }).await;
        bench.sweep().await;
        let wanted = Claim { worker, fence: bench.env.fence(), wanted: vec![Wanted::new("other", 1)], again: false };
        let claimed = bench.store.claim(&wanted).await.expect("claim");
        assert_eq!(ids(&claimed), [id], "and not {plain}, which came later");
        bench.settle(claimed[0].lease, Ending::Succeeded).await;
        bench.store.cancel(&[plain]).await.expect("cancel");
        bench.sweep().await;
    }
}

/// No key that has something to do is passed by for longer than the others have turns.
pub async fn turns_are_taken_whatever_happens(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let mut dice = Dice::new(5);
    let mut queued: Vec<Vec<TaskId>> = vec![Vec::new(); 4];
    let mut waits = [0_usize; 4];
    for _ in 0..400 {
        let key = dice.below(4);
        if dice.below(3) > 0 {
            let many = if key == 0 { 8 } else { 1 };
            let ids = bench.several(many, &[turn(&key.to_string(), 1)]).await;
            queued[key].extend(ids);
        }
        bench.sweep().await;
        let Some(claimed) = bench.claim(worker, 1).await.pop() else { continue };
        let id = ids(std::slice::from_ref(&claimed))[0];
        let of = queued.iter().position(|ids| ids.first() == Some(&id)).expect("it is the first of its key");
        queued[of].remove(0);
        for (other, wait) in waits.iter_mut().enumerate() {
            *wait = if other == of || queued[other].is_empty() { 0 } else { *wait + 1 };
            assert!(*wait <= 6, "the key {other} was passed by {wait} times");
        }
        bench.settle(claimed.lease, Ending::Succeeded).await;
        if dice.below(20) == 0 {
            bench.pass(secs(3));
            bench.beat(worker).await;
            bench.sweep().await;
        }
    }
    bench.sweep().await;
    assert!(bench.claim(worker, ALL).await.len() > 20, "one key has a backlog");
}
