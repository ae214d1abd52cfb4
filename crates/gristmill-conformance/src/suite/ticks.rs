//! Ticks: what a beat decides about schedules, and what becomes of it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use gristmill_core::limits::{BATCH_TASKS_MAX, PAGE_ITEMS_MAX};
use gristmill_core::{
    Advance, Advanced, Ending, NewTask, Schedule, State, StoreErrorKind, TICKS_KEPT, TaskId, Tick, TickOutcome, TickRecord, Wake,
};

use super::bench::{ALL, Bench, secs};
use super::list;
use super::schedules::{NEVER, ROUNDS, advance, advance_one, get, plan, put, putting, remove, tick, ticks};

list![
    an_advance_is_written_once,
    a_stale_advance_writes_nothing,
    a_tick_makes_its_task_once,
    a_tick_that_was_left_out_while_the_clock_was_ahead_has_its_time_still_to_come,
    a_task_that_is_there_is_the_ticks_and_another_is_not,
    an_advance_cancels_as_a_cancellation_does,
    bad_batches_of_advances_are_refused,
    two_beats_make_each_tick_once,
    ticks_are_paged_from_the_latest,
    ticks_go_when_their_time_is_over,
    task_states_are_told_in_order,
];

/// Ticks, their tasks and what comes next are written together; the same again is stale.
pub async fn an_advance_is_written_once(bench: Bench<'_>) {
    let start = bench.env.now();
    let before = put(&bench, "a", plan(Some(start))).await;
    bench.pass(secs(3));
    let (made, manual) = (bench.task(), NewTask { delay: secs(9), ..bench.task() });
    let tick = |at, task: Option<&NewTask>, outcome, reason: Option<&str>| Tick {
        at: start.saturating_add(secs(at)),
        task: task.cloned(),
        outcome,
        reason: reason.map(str::to_owned),
    };
    let written = vec![
        tick(0, None, TickOutcome::Missed, Some("no beat ran \u{1f634}")),
        tick(1, Some(&made), TickOutcome::Enqueued, None),
        tick(2, Some(&manual), TickOutcome::Manual, Some("asked for")),
        tick(3, None, TickOutcome::Skipped, None),
        tick(4, None, TickOutcome::Suppressed, None),
        tick(5, None, TickOutcome::Failed, None),
    ];
    let next = Some(start.saturating_add(secs(60)));
    let decided = Advance { due_at: next, memory: r#"{"runs": 2}"#.to_owned(), ..advance(&before, written.clone()) };
    let mut waiting = Box::pin(bench.store.wait(Wake::Ready, NEVER));
    // Polled once, so that the wait has begun.
    let early = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_ready())).await;
    assert_eq!(advance_one(&bench, decided.clone()).await, Advanced::Done(vec![true; written.len()]));
    if !early {
        waiting.await;
    }
    let after = get(&bench, "a").await.expect("it is there");
    assert!(after.revision > before.revision);
    let expected = Schedule { due_at: next, memory: r#"{"runs": 2}"#.to_owned(), revision: after.revision, ..before };
    assert_eq!(after, expected, "and nothing else has changed");
    assert_eq!((bench.state(made.id).await, bench.state(manual.id).await), (State::Ready, State::Scheduled));
    let record = |tick: &Tick| TickRecord {
        at: tick.at,
        written_at: bench.env.now(),
        task: tick.task.as_ref().map(|task| task.id),
        outcome: tick.outcome,
        reason: tick.reason.clone(),
    };
    let history: Vec<_> = written.iter().rev().map(record).collect();
    assert_eq!(ticks(&bench, "a").await, history);
    assert_eq!(advance_one(&bench, decided).await, Advanced::Stale);
    assert_eq!((get(&bench, "a").await, ticks(&bench, "a").await), (Some(after), history));
}

/// Of a schedule that has changed or gone, nothing is written: no tick, no task, no cancellation. The others are.
pub async fn a_stale_advance_writes_nothing(bench: Bench<'_>) {
    let now = bench.env.now();
    let mut old = Vec::new();
    for name in ["changed", "gone", "fresh"] {
        old.push(put(&bench, name, plan(Some(now))).await);
    }
    let changed = put(&bench, "changed", plan(Some(now))).await;
    remove(&bench, "gone").await;
    let victim = bench.add().await;
    let tasks: Vec<_> = old.iter().map(|_| bench.task()).collect();
    let decide = |(schedule, task): (&Schedule, &NewTask)| {
        let cancel = if schedule.name == "fresh" { vec![] } else { vec![victim] };
        Advance { cancel, ..advance(schedule, vec![tick(now, Some(task.clone()))]) }
    };
    let advances = old.iter().zip(&tasks).map(decide).collect();
    let advanced = bench.store.advance_schedules(advances).await.expect("advance");
    assert_eq!(advanced, [Advanced::Stale, Advanced::Stale, Advanced::Done(vec![true])]);
    assert_eq!(get(&bench, "changed").await, Some(changed));
    assert_eq!(get(&bench, "gone").await, None);
    assert_eq!((ticks(&bench, "changed").await, ticks(&bench, "gone").await), (vec![], vec![]));
    assert_eq!((bench.find(tasks[0].id).await, bench.find(tasks[1].id).await), (None, None));
    assert_eq!((bench.state(victim).await, bench.state(tasks[2].id).await), (State::Ready, State::Ready));
    assert_eq!(bench.store.advance_schedules(vec![]).await.expect("advance"), []);
}

/// One task for a name and an instant, whoever comes again with it, and though the schedule was made anew since.
pub async fn a_tick_makes_its_task_once(bench: Bench<'_>) {
    let at = bench.env.now();
    let (first, again) = (bench.task(), bench.task());
    let schedule = put(&bench, "a", plan(Some(at))).await;
    let twice = vec![tick(at, Some(first.clone())), tick(at, Some(again.clone()))];
    assert_eq!(advance_one(&bench, advance(&schedule, twice)).await, Advanced::Done(vec![true, false]));
    let schedule = get(&bench, "a").await.expect("it is there");
    let history = ticks(&bench, "a").await;
    let next = tick(at.saturating_add(Duration::from_millis(1)), None);
    let later = vec![tick(at, Some(again.clone())), next];
    assert_eq!(advance_one(&bench, advance(&schedule, later)).await, Advanced::Done(vec![false, true]));
    remove(&bench, "a").await;
    let schedule = put(&bench, "a", plan(Some(at))).await;
    let anew = vec![tick(at, Some(again.clone()))];
    assert_eq!(advance_one(&bench, advance(&schedule, anew)).await, Advanced::Done(vec![false]));
    assert_eq!(bench.find(again.id).await, None);
    assert_eq!(ticks(&bench, "a").await[1..], history, "the tick is as it was written");
    // The same instant of another schedule is another tick.
    let other = put(&bench, "b", plan(Some(at))).await;
    let anew = vec![tick(at, Some(again.clone()))];
    assert_eq!(advance_one(&bench, advance(&other, anew)).await, Advanced::Done(vec![true]));
    assert_eq!((bench.state(first.id).await, bench.state(again.id).await), (State::Ready, State::Ready));
}

/// What was missed by a clock that was years ahead was not missed; what was made then was made.
pub async fn a_tick_that_was_left_out_while_the_clock_was_ahead_has_its_time_still_to_come(bench: Bench<'_>) {
    let start = bench.env.now();
    let at = |n| start.saturating_add(secs(n));
    bench.time.set(start.saturating_add(secs(4 * 365 * 86_400)));
    let schedule = put(&bench, "a", plan(Some(start))).await;
    let (early, late, again) = (bench.task(), bench.task(), bench.task());
    let then = vec![tick(at(1), None), tick(at(2), Some(early.clone())), tick(at(3), None)];
    assert_eq!(advance_one(&bench, advance(&schedule, then)).await, Advanced::Done(vec![true; 3]));
    bench.time.set(at(2));
    let schedule = get(&bench, "a").await.expect("it is there");
    let now = vec![tick(at(1), Some(late.clone())), tick(at(2), Some(again.clone()))];
    assert_eq!(advance_one(&bench, advance(&schedule, now)).await, Advanced::Done(vec![true, false]));
    assert_eq!((bench.state(late.id).await, bench.find(again.id).await), (State::Ready, None));
    let history = ticks(&bench, "a").await;
    let seen: Vec<_> = history.iter().map(|tick| (tick.at, tick.task)).collect();
    assert_eq!(seen, [(at(3), None), (at(2), Some(early.id)), (at(1), Some(late.id))]);
    assert_eq!(history[2].written_at, at(2));
    let schedule = get(&bench, "a").await.expect("it is there");
    let twice = vec![tick(at(1), Some(again))];
    assert_eq!(advance_one(&bench, advance(&schedule, twice)).await, Advanced::Done(vec![false]));
}

/// As an enqueue does: the same task is no conflict, another one with its id is, and hinders no other tick.
pub async fn a_task_that_is_there_is_the_ticks_and_another_is_not(bench: Bench<'_>) {
    let now = bench.env.now();
    let at = |n| now.saturating_add(secs(n));
    let (there, taken, free) = (bench.task(), bench.task(), bench.task());
    bench.enqueue_all(vec![there.clone(), taken.clone()]).await;
    let before = [bench.get(there.id).await, bench.get(taken.id).await];
    let other = NewTask { args: r#"{"other": 1}"#.to_owned(), ..taken.clone() };
    let schedule = put(&bench, "a", plan(Some(now))).await;
    let all = vec![tick(at(0), Some(there.clone())), tick(at(1), Some(other)), tick(at(2), Some(free.clone()))];
    assert_eq!(advance_one(&bench, advance(&schedule, all)).await, Advanced::Done(vec![true; 3]));
    let written = ticks(&bench, "a").await;
    assert_eq!((written[2].task, written[2].outcome), (Some(there.id), TickOutcome::Enqueued));
    assert_eq!((written[1].task, written[1].outcome), (None, TickOutcome::Failed));
    assert!(written[1].reason.is_some(), "it says why");
    assert_eq!(written[0].task, Some(free.id));
    assert_eq!([bench.get(there.id).await, bench.get(taken.id).await], before);
}

/// What waits ends, what runs is told, what has ended or is not there is left alone; and the new task is not touched.
pub async fn an_advance_cancels_as_a_cancellation_does(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let ended = bench.ended(worker, bench.task(), Ending::Succeeded).await;
    let running = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let (ready, later) = (bench.add().await, bench.enqueue(NewTask { delay: secs(60), ..bench.task() }).await);
    let (now, new) = (bench.env.now(), bench.task());
    let schedule = put(&bench, "a", plan(Some(now))).await;
    let cancel = vec![ended, bench.env.task_id(), running, ready, later];
    let decided = Advance { cancel, ..advance(&schedule, vec![tick(now, Some(new.clone()))]) };
    assert_eq!(advance_one(&bench, decided).await, Advanced::Done(vec![true]));
    let states = bench.store.task_states(&[ended, running, ready, later, new.id]).await.expect("task_states");
    let expected = [State::Succeeded, State::Running, State::Cancelled, State::Cancelled, State::Ready];
    assert_eq!(states, expected.map(Some));
    let pulse = bench.store.heartbeat(worker, secs(30)).await.expect("heartbeat");
    assert_eq!(pulse.cancel, [lease]);
}

/// Schedules, ticks and cancellations each count, and no schedule may be there twice; the largest batch of each is written.
pub async fn bad_batches_of_advances_are_refused(bench: Bench<'_>) {
    let now = bench.env.now();
    let names: Vec<_> = (0..BATCH_TASKS_MAX).map(|n| format!("s{n:04}")).collect();
    let all = bench.store.edit_schedules(&names, &putting(plan(Some(now)))).await.expect("edit");
    let all: Vec<_> = all.into_iter().flatten().collect();
    let decide = |n: usize| advance(&all[n], vec![tick(now, Some(bench.task()))]);
    let at = |n: usize| now.saturating_add(Duration::from_millis(n as u64));
    let ticks_of = |count: usize| (0..count).map(|n| tick(at(n), None)).collect::<Vec<_>>();
    let most: Vec<_> = (0..BATCH_TASKS_MAX).map(decide).collect();
    let absent = Advance { name: "absent".to_owned(), ticks: vec![], ..decide(0) };
    let too_many = most.iter().cloned().chain([absent]).collect();
    let twice = vec![decide(0), decide(1), decide(0)];
    let ticks_too_many = vec![advance(&all[0], ticks_of(BATCH_TASKS_MAX)), advance(&all[1], ticks_of(1))];
    let ids: Vec<_> = (0..=BATCH_TASKS_MAX).map(|_| bench.env.task_id()).collect();
    let cancels_too_many = vec![Advance { cancel: ids.clone(), ..decide(0) }];
    for batch in [too_many, twice, ticks_too_many, cancels_too_many] {
        let refused = bench.store.advance_schedules(batch).await.expect_err("refused");
        assert_eq!(refused.kind(), StoreErrorKind::Invalid);
    }
    assert_eq!(bench.store.task_states(&ids).await.expect_err("refused").kind(), StoreErrorKind::Invalid);
    assert_eq!(bench.store.due_schedules(usize::MAX).await.expect("due").schedules, all, "nothing was written");
    assert_eq!(PAGE_ITEMS_MAX, all.len());
    let advanced = bench.store.advance_schedules(most).await.expect("advance");
    assert_eq!(advanced, vec![Advanced::Done(vec![true]); BATCH_TASKS_MAX]);
    let first = get(&bench, &names[0]).await.expect("it is there");
    let rest = advance(&first, ticks_of(BATCH_TASKS_MAX));
    let Advanced::Done(new) = advance_one(&bench, rest).await else { panic!("it has not changed") };
    assert_eq!(new.iter().filter(|new| **new).count(), BATCH_TASKS_MAX - 1, "the first is known");
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await.len(), BATCH_TASKS_MAX, "each has its task");
}

/// Two that both believe to lead: every tick is written by one of them and has one task.
pub async fn two_beats_make_each_tick_once(bench: Bench<'_>) {
    let other = bench.other().await;
    let names = ["a", "b", "c", "d"].map(str::to_owned);
    bench.store.edit_schedules(&names, &putting(plan(Some(bench.env.now())))).await.expect("edit");
    for _ in 0..ROUNDS {
        bench.pass(secs(1));
        let now = bench.env.now();
        let seen = bench.store.due_schedules(ALL).await.expect("due").schedules;
        assert_eq!(seen.len(), names.len());
        let decide =
            |schedule: &Schedule| Advance { due_at: Some(now), ..advance(schedule, vec![tick(now, Some(bench.task()))]) };
        let mine: Vec<_> = seen.iter().map(decide).collect();
        // The other one works in the opposite order, as two that lock as they go would meet in the middle.
        let theirs: Vec<_> = seen.iter().rev().map(decide).collect();
        let (a, b) = tokio::join!(bench.store.advance_schedules(mine.clone()), other.advance_schedules(theirs.clone()));
        let mut wrote = HashMap::new();
        for (advance, advanced) in mine.iter().zip(a.expect("advance")).chain(theirs.iter().zip(b.expect("advance"))) {
            let task = advance.ticks[0].task.as_ref().expect("it has one").id;
            match advanced {
                Advanced::Done(new) => {
                    assert_eq!(new, [true]);
                    assert!(wrote.insert(advance.name.clone(), task).is_none(), "both wrote {} at {now}", advance.name);
                }
                Advanced::Stale => assert_eq!(bench.find(task).await, None, "what is stale makes nothing"),
            }
        }
        for name in &names {
            let task = wrote.get(name).copied().expect("one of them wrote it");
            assert_eq!(ticks(&bench, name).await[0].task, Some(task));
            assert_eq!(bench.state(task).await, State::Ready);
        }
    }
}

/// From the latest instant to the first, each once, though the schedule is gone.
pub async fn ticks_are_paged_from_the_latest(bench: Bench<'_>) {
    let start = bench.env.now();
    for name in ["a", "b"] {
        let schedule = put(&bench, name, plan(Some(start))).await;
        let all = (0..7).map(|n| tick(start.saturating_add(secs(n)), None)).collect();
        advance_one(&bench, advance(&schedule, all)).await;
    }
    remove(&bench, "a").await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = bench.store.ticks("a", after, 3).await.expect("ticks");
        assert!(page.items.len() <= 3);
        seen.extend(page.items.iter().map(|tick| tick.at.since(start).as_secs()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1, 0]);
    let page = bench.store.ticks("a", None, 7).await.expect("ticks");
    assert_eq!((page.items.len(), page.next), (7, None), "nothing follows the last");
    assert_eq!(ticks(&bench, "absent").await, []);
}

/// Ninety days after they were written, whatever their instants are.
pub async fn ticks_go_when_their_time_is_over(bench: Bench<'_>) {
    let start = bench.env.now();
    let schedule = put(&bench, "a", plan(Some(start))).await;
    let old = (1..=3).map(|n| tick(start.saturating_add(secs(n)), None)).collect();
    advance_one(&bench, advance(&schedule, old)).await;
    bench.pass(secs(1));
    let schedule = get(&bench, "a").await.expect("it is there");
    advance_one(&bench, advance(&schedule, vec![tick(start, None)])).await;
    bench.pass(TICKS_KEPT - secs(2));
    assert_eq!(bench.store.prune(ALL).await.ok(), Some(0));
    assert_eq!(ticks(&bench, "a").await.len(), 4);
    bench.pass(secs(1));
    assert_eq!(bench.store.prune(2).await.ok(), Some(2));
    assert_eq!(bench.store.prune(2).await.ok(), Some(1));
    assert_eq!(ticks(&bench, "a").await.iter().map(|tick| tick.at).collect::<Vec<_>>(), [start]);
    bench.pass(secs(1));
    assert_eq!(bench.store.prune(ALL).await.ok(), Some(1));
    assert_eq!(ticks(&bench, "a").await, []);
    assert!(get(&bench, "a").await.is_some(), "the schedule itself stays");
}

/// In every state, and of a task that is not there.
pub async fn task_states_are_told_in_order(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let mut expected = Vec::new();
    for (ending, state) in
        [(Ending::Succeeded, State::Succeeded), (Ending::Failed, State::Failed), (Ending::Cancelled, State::Cancelled)]
    {
        expected.push((bench.ended(worker, bench.task(), ending).await, Some(state)));
    }
    let late = NewTask { expires: Some(secs(1)), ..bench.task() };
    expected.push((bench.enqueue(late).await, Some(State::Expired)));
    bench.pass(secs(1));
    bench.sweep().await;
    let again = bench.ended(worker, bench.task(), Ending::Failed).await;
    bench.store.retry(&[again]).await.expect("retry");
    assert_eq!(bench.claim_ids(worker, 1).await, [again]);
    expected.push((again, Some(State::Running)));
    expected.push((bench.enqueue(NewTask { delay: secs(9), ..bench.task() }).await, Some(State::Scheduled)));
    expected.push((bench.env.task_id(), None));
    expected.push((bench.add().await, Some(State::Ready)));
    expected.push((again, Some(State::Running)));
    let (ids, states): (Vec<TaskId>, Vec<_>) = expected.into_iter().unzip();
    assert_eq!(bench.store.task_states(&ids).await.expect("task_states"), states);
    assert_eq!(bench.store.task_states(&[]).await.expect("task_states"), []);
}
