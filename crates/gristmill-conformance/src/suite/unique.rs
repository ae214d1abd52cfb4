//! One task a key: what an enqueue makes whose key is taken.

use std::collections::BTreeMap;

use gristmill_core::unique::{COLLECTED_BYTES_MAX, Merge, OnConflict, UniqueKey, Until, Waits};
use gristmill_core::{Ending, EnqueueOutcome, NewTask, Retention, RetryOutcome, Settled, Settlement, State, TaskId, TaskMeta};

use super::bench::{ALL, Bench, secs};
use super::list;
use crate::graphs::Dice;
use EnqueueOutcome::{Conflict, Created, Exists};
use State::{Cancelled, Expired, Failed, Ready, Running, Scheduled, Succeeded};

list![
    the_task_that_has_a_key_stands_for_another,
    keys_are_apart_by_task_type,
    a_key_is_free_once_its_task_has_ended,
    a_key_may_be_free_as_soon_as_its_task_starts,
    a_key_may_be_held_for_a_time,
    within_one_call_the_first_takes_a_key,
    a_task_that_is_there_already_takes_no_key,
    what_is_not_kept_frees_its_key,
    a_child_is_not_made_twice,
    a_task_may_enqueue_itself_anew,
    keys_that_nobody_has_are_forgotten,
    one_lives_at_a_time_whatever_happens,
    of_debounced_enqueues_the_last_one_counts,
    a_debounced_task_is_put_off_so_long_and_no_longer,
    once_it_is_due_a_debounced_task_is_left_alone,
    a_task_that_has_not_begun_gets_other_arguments,
    one_run_sees_what_many_enqueues_brought,
    what_comes_while_it_runs_is_collected_for_the_next,
    what_comes_in_one_call_is_collected,
    what_can_not_be_collected_is_a_task_of_its_own,
];

fn key(key: &str, until: Until) -> UniqueKey {
    UniqueKey { key: key.to_owned(), until, on_conflict: OnConflict::Existing, debounce: None, merge: None }
}

fn with(task: NewTask, unique: UniqueKey) -> NewTask {
    let meta = TaskMeta { unique: Some(unique), ..task.meta.clone().map(|meta| *meta).unwrap_or_default() };
    NewTask { meta: Some(Box::new(meta)), ..task }
}

impl Bench<'_> {
    fn unique(&self, name: &str) -> NewTask {
        with(self.task(), key(name, Until::Ended))
    }

    async fn keep(&self, task: NewTask) -> EnqueueOutcome {
        self.enqueue_all(vec![task]).await[0]
    }
}

/// Wherever it waits, and while it runs.
pub async fn the_task_that_has_a_key_stands_for_another(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let first = bench.unique("a");
    let id = first.id;
    assert_eq!(bench.keep(first).await, Created);
    assert_eq!(bench.keep(bench.unique("a")).await, Exists(id));
    let claimed = bench.claim(worker, ALL).await;
    assert_eq!(bench.keep(bench.unique("a")).await, Exists(id));
    bench.settle(claimed[0].lease, Ending::Retry { delay: secs(5) }).await;
    assert_eq!(bench.find(id).await.map(|task| task.state), Some(Scheduled));
    assert_eq!(bench.keep(bench.unique("a")).await, Exists(id));
    let later = NewTask { delay: secs(60), ..bench.unique("b") };
    let late = later.id;
    assert_eq!(bench.keep(later).await, Created);
    assert_eq!(bench.keep(bench.unique("b")).await, Exists(late));
    assert_eq!(bench.list(&Default::default()).await.len(), 2, "nothing is kept of those that were not made");
}

/// Nor are two keys one that differ in the case of a letter.
pub async fn keys_are_apart_by_task_type(bench: Bench<'_>) {
    let other = || NewTask { kind: "other".to_owned(), ..bench.unique("a") };
    let all = vec![bench.unique("a"), bench.unique("A"), other(), bench.task(), bench.task()];
    assert_eq!(bench.enqueue_all(all).await, [Created; 5]);
    let one = other();
    assert!(matches!(bench.keep(one).await, Exists(_)));
}

/// However it ends.
pub async fn a_key_is_free_once_its_task_has_ended(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for (ending, state) in [(Ending::Succeeded, Succeeded), (Ending::Failed, Failed)] {
        let task = bench.unique("a");
        let id = task.id;
        assert_eq!(bench.keep(task).await, Created);
        let claimed = bench.claim(worker, ALL).await;
        assert_eq!(bench.settle(claimed[0].lease, ending).await, Settled::Done(state));
        assert_eq!(bench.find(id).await.map(|task| task.state), Some(state));
    }
    let task = bench.unique("a");
    let id = task.id;
    assert_eq!(bench.keep(task).await, Created);
    bench.store.cancel(&[id]).await.expect("cancel");
    assert_eq!(bench.find(id).await.map(|task| task.state), Some(Cancelled));
    let task = NewTask { expires: Some(secs(5)), ..bench.unique("a") };
    let id = task.id;
    assert_eq!(bench.keep(task).await, Created);
    bench.pass(secs(6));
    bench.sweep().await;
    assert_eq!(bench.find(id).await.map(|task| task.state), Some(Expired));
    let task = bench.unique("a");
    let id = task.id;
    assert_eq!(bench.keep(task).await, Created);
    bench.store.cancel(&[id]).await.expect("cancel");
    bench.store.delete(&[id]).await.expect("delete");
    let task = bench.unique("a");
    let last = task.id;
    assert_eq!(bench.keep(task).await, Created);
    // A task that is retried by hand has its key again if nobody took it.
    bench.store.cancel(&[last]).await.expect("cancel");
    assert_eq!(bench.store.retry(&[last]).await.expect("retry"), [RetryOutcome::Ready]);
    assert_eq!(bench.keep(bench.unique("a")).await, Exists(last));
}

/// What is enqueued from then on makes a new task.
pub async fn a_key_may_be_free_as_soon_as_its_task_starts(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let new = |name: &str| with(bench.task(), key(name, Until::Started));
    let (first, second, third) = (new("a"), new("a"), NewTask { delay: secs(5), ..new("b") });
    let (id, next, late) = (first.id, second.id, third.id);
    assert_eq!(bench.keep(first).await, Created);
    assert_eq!(bench.keep(new("a")).await, Exists(id));
    assert_eq!(bench.keep(third).await, Created);
    assert_eq!(bench.keep(new("b")).await, Exists(late));
    let claimed = bench.claim(worker, ALL).await;
    assert_eq!(bench.keep(second).await, Created, "it has begun");
    assert_eq!(bench.keep(new("a")).await, Exists(next));
    bench.store.cancel(&[next]).await.expect("cancel");
    // It waits again, and has begun for all that.
    bench.settle(claimed[0].lease, Ending::Retry { delay: secs(1) }).await;
    let more = new("a");
    let last = more.id;
    assert_eq!(bench.keep(more).await, Created);
    bench.pass(secs(1));
    bench.beat(worker).await;
    bench.sweep().await;
    assert_eq!(bench.find(id).await.map(|task| task.state), Some(Ready));
    assert_eq!(bench.keep(new("a")).await, Exists(last));
}

/// Whatever became of it.
pub async fn a_key_may_be_held_for_a_time(bench: Bench<'_>) {
    let new = |name: &str| with(bench.task(), key(name, Until::For(secs(10))));
    let first = new("a");
    let id = first.id;
    assert_eq!(bench.keep(first).await, Created);
    bench.store.cancel(&[id]).await.expect("cancel");
    bench.pass(secs(9));
    assert_eq!(bench.keep(new("a")).await, Exists(id));
    bench.pass(secs(1));
    let second = new("a");
    let id = second.id;
    assert_eq!(bench.keep(second).await, Created);
    assert_eq!(bench.keep(new("a")).await, Exists(id));
    bench.pass(secs(10));
    assert_eq!(bench.keep(new("a")).await, Created, "though the one before has not run yet");
}

/// In the order in which they are given.
pub async fn within_one_call_the_first_takes_a_key(bench: Bench<'_>) {
    let all = vec![bench.unique("a"), bench.unique("b"), bench.unique("a"), bench.task(), bench.unique("b"), bench.unique("a")];
    let ids: Vec<TaskId> = all.iter().map(|task| task.id).collect();
    assert_eq!(bench.enqueue_all(all).await, [Created, Created, Exists(ids[0]), Created, Exists(ids[1]), Exists(ids[0])]);
    let again = vec![bench.unique("a"), bench.unique("c"), bench.unique("c")];
    let made = again[1].id;
    assert_eq!(bench.enqueue_all(again).await, [Exists(ids[0]), Created, Exists(made)]);
}

/// Its id says what it is: so an enqueue may be repeated.
pub async fn a_task_that_is_there_already_takes_no_key(bench: Bench<'_>) {
    let first = bench.unique("a");
    let id = first.id;
    assert_eq!(bench.enqueue_all(vec![first.clone(), first.clone()]).await, [Created, Exists(id)]);
    assert_eq!(bench.keep(NewTask { kind: "other".to_owned(), ..first.clone() }).await, Conflict);
    assert_eq!(bench.keep(NewTask { kind: "other".to_owned(), ..bench.unique("a") }).await, Created, "it was not taken");
    bench.store.cancel(&[id]).await.expect("cancel");
    let second = bench.unique("a");
    let next = second.id;
    assert_eq!(bench.keep(first.clone()).await, Exists(id));
    assert_eq!(bench.keep(second).await, Created);
    assert_eq!(bench.keep(first).await, Exists(id), "though another has its key by now");
    assert_eq!(bench.keep(bench.unique("a")).await, Exists(next));
}

/// As soon as it is gone.
pub async fn what_is_not_kept_frees_its_key(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let new = || NewTask { retention: Retention::None, ..bench.unique("a") };
    for _ in 0..2 {
        let task = new();
        let id = task.id;
        assert_eq!(bench.keep(task).await, Created);
        assert_eq!(bench.keep(new()).await, Exists(id));
        let claimed = bench.claim(worker, ALL).await;
        bench.settle(claimed[0].lease, Ending::Succeeded).await;
    }
}

/// Nor is that an error of its parent.
pub async fn a_child_is_not_made_twice(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let parents = [bench.enqueue(bench.task()).await, bench.enqueue(bench.task()).await];
    let claimed = bench.claim(worker, ALL).await;
    assert_eq!(claimed.len(), parents.len());
    for claimed in claimed {
        let children = vec![bench.unique("a"), bench.unique("a")];
        let settled = bench
            .settle_with(Settlement { children: children.into(), ..Settlement::new(claimed.lease, Ending::Succeeded) })
            .await;
        assert_eq!(settled, Settled::Done(Succeeded));
    }
    assert_eq!(bench.claim(worker, ALL).await.len(), 1);
}

/// Its child is made as it ends, and so has its key; not if it fails.
pub async fn a_task_may_enqueue_itself_anew(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for retention in [Retention::default(), Retention::None] {
        let new = || NewTask { retention, ..bench.unique("a") };
        bench.enqueue(new()).await;
        for _ in 0..2 {
            let claimed = bench.claim_one(worker).await;
            let settlement = Settlement { children: vec![new()].into(), ..Settlement::new(claimed.lease, Ending::Succeeded) };
            assert_eq!(bench.settle_with(settlement).await, Settled::Done(Succeeded));
        }
        let claimed = bench.claim_one(worker).await;
        assert!(matches!(bench.keep(new()).await, Exists(id) if id == claimed.lease.id), "it is the one that lives");
        bench.settle(claimed.lease, Ending::Succeeded).await;
    }
}

/// So that a store does not fill with them; and none that somebody has.
pub async fn keys_that_nobody_has_are_forgotten(bench: Bench<'_>) {
    let all: Vec<NewTask> = (0..40).map(|n| bench.unique(&format!("{n}"))).collect();
    let ids: Vec<TaskId> = all.iter().map(|task| task.id).collect();
    assert_eq!(bench.enqueue_all(all).await, [Created; 40]);
    let timed = with(bench.task(), key("t", Until::For(secs(3_600))));
    let timed_id = timed.id;
    assert_eq!(bench.keep(timed).await, Created);
    let ended: Vec<TaskId> = ids.iter().copied().step_by(2).chain([timed_id]).collect();
    bench.store.cancel(&ended).await.expect("cancel");
    for _ in 0..3 {
        bench.store.prune(ALL).await.expect("prune");
    }
    for (n, id) in ids.iter().enumerate() {
        let outcome = bench.keep(bench.unique(&format!("{n}"))).await;
        assert_eq!(outcome, if n % 2 == 0 { Created } else { Exists(*id) }, "{n}");
    }
    assert_eq!(bench.keep(with(bench.task(), key("t", Until::For(secs(3_600))))).await, Exists(timed_id));
}

fn debounced(bench: &Bench<'_>, n: u64, max_wait: Option<u64>) -> NewTask {
    let waits = Waits { wait_ms: 5_000, max_wait_ms: max_wait.map(|secs| secs * 1_000) };
    let unique = UniqueKey { debounce: Some(waits), ..key("d", Until::Ended) };
    NewTask { delay: secs(5), args: format!("{{\"n\":{n}}}"), ..with(bench.task(), unique) }
}

/// There is one task, and it has its arguments.
pub async fn of_debounced_enqueues_the_last_one_counts(bench: Bench<'_>) {
    let first = debounced(&bench, 1, None);
    let id = first.id;
    assert_eq!(bench.keep(first).await, Created);
    for n in 2..4 {
        bench.pass(secs(4));
        bench.sweep().await;
        assert_eq!(bench.keep(debounced(&bench, n, None)).await, Exists(id));
        let task = bench.find(id).await.expect("it waits");
        assert_eq!(
            (task.state, task.args.as_str(), task.run_at),
            (Scheduled, &*format!("{{\"n\":{n}}}"), bench.env.now().saturating_add(secs(5)))
        );
    }
    let several: Vec<NewTask> = (4..7).map(|n| debounced(&bench, n, None)).collect();
    assert_eq!(bench.enqueue_all(several).await, [Exists(id); 3]);
    let worker = bench.worker().await;
    bench.pass(secs(5));
    bench.sweep().await;
    let claimed = bench.claim(worker, ALL).await;
    assert_eq!(claimed.iter().map(|claimed| (claimed.lease.id, claimed.args.as_str())).collect::<Vec<_>>(), [(id, r#"{"n":6}"#)]);
    // In one call all of them are new: one is made, with the arguments of the last.
    let several: Vec<NewTask> = (7..10).map(|n| debounced(&bench, n, None)).collect();
    let outcomes = bench.enqueue_all(several).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Created).count(), 1, "{outcomes:?}");
    bench.pass(secs(5));
    bench.sweep().await;
    let claimed = bench.claim(worker, ALL).await;
    let [claimed] = &claimed[..] else { panic!("{} were made", claimed.len()) };
    assert_eq!(claimed.args, r#"{"n":9}"#);
    let told = |outcome: &EnqueueOutcome| *outcome == Created || *outcome == Exists(claimed.lease.id);
    assert!(outcomes.iter().all(told), "{outcomes:?}");
}

/// Its deadline goes along.
pub async fn a_debounced_task_is_put_off_so_long_and_no_longer(bench: Bench<'_>) {
    let new = |n| NewTask { expires: Some(secs(3)), ..debounced(&bench, n, Some(12)) };
    let first = new(1);
    let (id, made_at) = (first.id, bench.env.now());
    assert_eq!(bench.keep(first).await, Created);
    for n in 2..4 {
        bench.pass(secs(4));
        assert_eq!(bench.keep(new(n)).await, Exists(id));
    }
    let due = bench.find(id).await.expect("it waits").run_at;
    assert_eq!(due, made_at.saturating_add(secs(12)), "and not a second later");
    bench.pass(secs(4));
    let worker = bench.worker().await;
    bench.sweep().await;
    assert_eq!(bench.find(id).await.map(|task| task.state), Some(Ready), "it would have expired after eight seconds");
    bench.pass(secs(4));
    bench.beat(worker).await;
    bench.sweep().await;
    assert_eq!(bench.find(id).await.map(|task| task.state), Some(Expired));
}

/// Whether it waits for a worker or runs, what comes now makes a new one.
pub async fn once_it_is_due_a_debounced_task_is_left_alone(bench: Bench<'_>) {
    let first = debounced(&bench, 1, None);
    let id = first.id;
    assert_eq!(bench.keep(first).await, Created);
    bench.pass(secs(5));
    // Whether or not somebody has looked at the clock.
    let second = debounced(&bench, 2, None);
    let next = second.id;
    assert_eq!(bench.keep(second).await, Created);
    assert_eq!(bench.keep(debounced(&bench, 3, None)).await, Exists(next));
    let worker = bench.worker().await;
    let claimed = bench.claim(worker, ALL).await;
    assert_eq!((claimed[0].lease.id, claimed[0].args.as_str()), (id, r#"{"n":1}"#));
    // Nor when it waits for its next attempt.
    bench.settle(claimed[0].lease, Ending::Retry { delay: secs(60) }).await;
    bench.store.cancel(&[next]).await.expect("cancel");
    assert_eq!(bench.keep(debounced(&bench, 4, None)).await, Created);
    assert_eq!(bench.find(id).await.map(|task| task.args), Some(r#"{"n":1}"#.to_owned()));
}

/// Random enqueues and ends, and what was answered each time.
pub async fn one_lives_at_a_time_whatever_happens(bench: Bench<'_>) {
    let mut dice = Dice::new(11);
    let worker = bench.worker().await;
    let mut live: BTreeMap<String, TaskId> = BTreeMap::new();
    let mut running = Vec::new();
    for turn in 0..200 {
        match dice.below(6) {
            0..=2 => {
                let name = format!("{}", dice.below(4));
                let task = bench.unique(&name);
                let id = task.id;
                let expected = live.get(&name).map_or(Created, |holder| Exists(*holder));
                assert_eq!(bench.keep(task).await, expected, "turn {turn}");
                live.entry(name).or_insert(id);
            }
            3 => running.extend(bench.claim(worker, 1 + dice.below(2)).await),
            4 if !running.is_empty() => {
                let claimed: gristmill_core::Claimed = running.swap_remove(dice.below(running.len()));
                let ending = match dice.below(3) {
                    0 => Ending::Retry { delay: secs(1) },
                    1 => Ending::Failed,
                    _ => Ending::Succeeded,
                };
                if bench.settle(claimed.lease, ending).await != Settled::Done(Scheduled) {
                    live.retain(|_, id| *id != claimed.lease.id);
                }
            }
            5 if !live.is_empty() => {
                let (name, id) = live.iter().nth(dice.below(live.len())).map(|(name, id)| (name.clone(), *id)).expect("one");
                bench.store.cancel(&[id]).await.expect("cancel");
                if bench.find(id).await.is_none_or(|task| task.state != Running) {
                    live.remove(&name);
                }
            }
            _ => {
                bench.pass(secs(1));
                bench.beat(worker).await;
                bench.sweep().await;
                bench.store.prune(ALL).await.expect("prune");
            }
        }
    }
}

fn writes(key: &str, merge: Merge) -> UniqueKey {
    UniqueKey {
        key: key.to_owned(),
        until: Until::Started,
        on_conflict: OnConflict::Existing,
        debounce: None,
        merge: Some(merge),
    }
}

impl Bench<'_> {
    fn replacing(&self, args: &str) -> NewTask {
        NewTask { args: args.to_owned(), ..with(self.task(), writes("a", Merge::Replace)) }
    }

    fn collecting(&self, args: &str) -> NewTask {
        NewTask { args: args.to_owned(), ..with(self.task(), writes("a", Merge::Collect("items".to_owned()))) }
    }

    async fn args(&self, id: TaskId) -> serde_json::Value {
        let task = self.find(id).await.expect("it is there");
        serde_json::from_str(&task.args).expect("its arguments are JSON")
    }
}

/// Wherever it waits; and what has begun keeps its own.
pub async fn a_task_that_has_not_begun_gets_other_arguments(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let first = NewTask { delay: secs(5), ..bench.replacing(r#"{"n":1}"#) };
    let id = first.id;
    assert_eq!(bench.keep(first).await, Created);
    assert_eq!(bench.keep(bench.replacing(r#"{"n":2,"x":[1.50,"a\u0000b"]}"#)).await, Exists(id));
    assert_eq!(bench.args(id).await, serde_json::json!({ "n": 2, "x": [1.5, "a\0b"] }));
    bench.pass(secs(5));
    bench.beat(worker).await;
    bench.sweep().await;
    assert_eq!(bench.find(id).await.map(|task| task.state), Some(Ready));
    assert_eq!(bench.keep(bench.replacing(r#"{"n":3}"#)).await, Exists(id));
    let claimed = bench.claim(worker, ALL).await;
    assert_eq!((claimed.len(), claimed[0].args.as_str()), (1, r#"{"n":3}"#));
    let next = bench.replacing(r#"{"n":4}"#);
    let later = next.id;
    assert_eq!(bench.keep(next).await, Created, "it has begun");
    assert_eq!(bench.args(id).await, serde_json::json!({ "n": 3 }));
    bench.settle(claimed[0].lease, Ending::Retry { delay: secs(1) }).await;
    assert_eq!(bench.keep(bench.replacing(r#"{"n":5}"#)).await, Exists(later));
    assert_eq!(bench.args(id).await, serde_json::json!({ "n": 3 }));
    // Who never said that others are written into him is left alone, and the store knows by itself what is repeated.
    let other = with(bench.task(), key("c", Until::Started));
    let of_other = other.id;
    assert_eq!(bench.keep(other).await, Created);
    let own = NewTask { args: r#"{"n":6}"#.to_owned(), ..with(bench.task(), writes("c", Merge::Replace)) };
    let (id, again) = (own.id, own.clone());
    assert_eq!(bench.keep(own).await, Created);
    assert_ne!(bench.args(of_other).await, serde_json::json!({ "n": 6 }));
    bench.keep(NewTask { args: r#"{"n":7}"#.to_owned(), ..with(bench.task(), writes("c", Merge::Replace)) }).await;
    let of_other_type = NewTask { kind: "other".to_owned(), ..again.clone() };
    assert_eq!((bench.keep(again).await, bench.args(id).await), (Exists(id), serde_json::json!({ "n": 7 })));
    assert_eq!(bench.keep(of_other_type).await, Conflict, "its id is another's");
    let other = with(bench.task(), key("b", Until::Ended));
    let of_other = other.id;
    assert_eq!(bench.keep(other).await, Created);
    let own = NewTask { args: r#"{"n":6}"#.to_owned(), ..with(bench.task(), writes("b", Merge::Replace)) };
    assert_eq!(bench.keep(own).await, Created);
    assert_ne!(bench.args(of_other).await, serde_json::json!({ "n": 6 }));
}

/// In the order of the enqueues, each value as it was written; of what is no list the last counts.
pub async fn one_run_sees_what_many_enqueues_brought(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let first = bench.collecting(r#"{"items":[{"k":"a, [b]"}],"by":"one"}"#);
    let id = first.id;
    assert_eq!(bench.keep(first).await, Created);
    assert_eq!(bench.keep(bench.collecting(r#"{ "items" : [ ] , "by":"two"}"#)).await, Exists(id));
    assert_eq!(
        bench.keep(bench.collecting(r#"{"items":[2, "\u0000", 18446744073709551615],"by":"three","\"":null}"#)).await,
        Exists(id)
    );
    assert_eq!(bench.keep(bench.collecting(r#"{"by":"last","items":[[3]]}"#)).await, Exists(id));
    let claimed = bench.claim(worker, ALL).await;
    assert_eq!(claimed.len(), 1);
    let expected = serde_json::json!({ "items": [{ "k": "a, [b]" }, 2, "\0", u64::MAX, [3]], "by": "last" });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&claimed[0].args).expect("JSON"), expected);
}

/// Nothing is lost between a claim and what comes beside it.
pub async fn what_comes_while_it_runs_is_collected_for_the_next(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let mut brought = Vec::new();
    let mut seen = Vec::new();
    let mut dice = Dice::new(11);
    for n in 0..200 {
        brought.push(n);
        bench.keep(bench.collecting(&format!(r#"{{"items":[{n}]}}"#))).await;
        if dice.below(3) == 0 {
            for task in bench.claim(worker, ALL).await {
                let args: serde_json::Value = serde_json::from_str(&task.args).expect("JSON");
                seen.extend(args["items"].as_array().expect("a list").iter().filter_map(serde_json::Value::as_u64));
                bench.settle(task.lease, Ending::Succeeded).await;
            }
        }
    }
    for task in bench.claim(worker, ALL).await {
        let args: serde_json::Value = serde_json::from_str(&task.args).expect("JSON");
        seen.extend(args["items"].as_array().expect("a list").iter().filter_map(serde_json::Value::as_u64));
    }
    assert_eq!(seen, brought);
}

/// Some of which meet one that is there, and some one another.
pub async fn what_comes_in_one_call_is_collected(bench: Bench<'_>) {
    let all = |range: std::ops::Range<u32>| range.map(|n| bench.collecting(&format!(r#"{{"items":[{n}]}}"#))).collect::<Vec<_>>();
    let first = all(0..4);
    let id = first[0].id;
    assert_eq!(bench.enqueue_all(first).await, [Created, Exists(id), Exists(id), Exists(id)]);
    assert_eq!(bench.enqueue_all(all(4..7)).await, [Exists(id); 3]);
    assert_eq!(bench.args(id).await, serde_json::json!({ "items": [0, 1, 2, 3, 4, 5, 6] }));
    bench.store.cancel(&[id]).await.expect("cancel");
    let replacing: Vec<_> = (0..3).map(|n| bench.replacing(&format!(r#"{{"n":{n}}}"#))).collect();
    let id = replacing[0].id;
    assert_eq!(bench.enqueue_all(replacing).await, [Created, Exists(id), Exists(id)]);
    assert_eq!(bench.args(id).await, serde_json::json!({ "n": 2 }));
}

/// What is too much, or no list: it has the key from then on, and nothing is lost of either.
pub async fn what_can_not_be_collected_is_a_task_of_its_own(bench: Bench<'_>) {
    let large = format!(r#"{{"items":["{}"]}}"#, "x".repeat(COLLECTED_BYTES_MAX / 2));
    let tasks = [
        bench.collecting(&large),
        bench.collecting(r#"{"items":[1]}"#),
        bench.collecting(&large),
        bench.collecting(r#"{"items":[2]}"#),
    ];
    let [first, _, second, _] = [0, 1, 2, 3].map(|n| tasks[n].id);
    let mut outcomes = Vec::new();
    for task in tasks.clone() {
        outcomes.push(bench.keep(task).await);
    }
    assert_eq!(outcomes, [Created, Exists(first), Created, Exists(second)]);
    assert_eq!(bench.args(second).await["items"][1], 2);
    bench.store.cancel(&[first, second]).await.expect("cancel");
    let again: Vec<_> = tasks.into_iter().map(|task| NewTask { id: bench.task().id, ..task }).collect();
    let (first, second) = (again[0].id, again[2].id);
    assert_eq!(bench.enqueue_all(again).await, [Created, Exists(first), Created, Exists(second)], "in one call as well");
    assert_eq!((bench.args(first).await["items"][1].clone(), bench.args(second).await["items"][1].clone()), (1.into(), 2.into()));
    bench.store.cancel(&[first, second]).await.expect("cancel");
    let none = bench.collecting(r#"{"items":7}"#);
    let id = none.id;
    assert_eq!(bench.keep(none).await, Created);
    let list = bench.collecting(r#"{"items":[1]}"#);
    let next = list.id;
    assert_eq!(bench.keep(list).await, Created);
    assert_eq!(bench.keep(bench.collecting(r#"{"items":7}"#)).await, Created);
    assert_eq!(
        (bench.args(id).await, bench.args(next).await),
        (serde_json::json!({ "items": 7 }), serde_json::json!({ "items": [1] }))
    );
}
