//! How many tasks with one key may begin in a time.

use std::time::Duration;

use gristmill_core::concurrency::{Limit, Need, Pace};
use gristmill_core::{Claimed, Ending, Retention, State, Timestamp};

use super::bench::{ALL, Bench, secs};
use super::concurrency::{ids, need};
use super::list;
use crate::graphs::Dice;
use State::{Cancelled, Ready, Running, Scheduled, Succeeded, Waiting};

list![
    only_so_many_begin_in_a_time,
    what_nobody_claims_does_not_come_together,
    a_window_has_no_more_than_its_limit,
    each_attempt_counts_and_no_other,
    who_has_not_begun_takes_nothing,
    a_rate_goes_with_limits_and_other_rates,
    a_task_may_take_more_of_it,
    an_operator_may_set_a_rate,
    a_far_side_may_say_what_is_left,
    somebody_looks_when_the_next_may_begin,
    what_has_begun_is_remembered,
    what_has_begun_counts_though_the_rate_is_changed,
    what_begins_while_a_rate_is_closed_counts,
    another_process_knows_what_has_begun,
    a_rate_is_shown_with_its_line,
    a_success_that_leaves_nothing_counts,
    rates_hold_whatever_happens,
];

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// So many in a second, and so many at once.
fn rate(key: &str, per_s: u32, most: u32) -> Need {
    Need { pace: Some(Pace { per_ms: 1_000, most, is_window: false }), ..need(&format!("rate:{key}"), per_s) }
}

fn window(key: &str, limit: u32, per_ms: u64) -> Need {
    Need { pace: Some(Pace { per_ms, most: limit, is_window: true }), ..need(&format!("rate:{key}"), limit) }
}

impl Bench<'_> {
    /// Time goes by, and workers live on.
    async fn wait(&self, worker: gristmill_core::WorkerId, time: Duration) {
        self.pass(time);
        self.beat(worker).await;
    }

    async fn settle_all(&self, claimed: Vec<Claimed>) {
        for claimed in claimed {
            self.settle(claimed.lease, Ending::Succeeded).await;
        }
    }
}

/// A burst at once, and then one after the other, in the order in which they came.
pub async fn only_so_many_begin_in_a_time(bench: Bench<'_>) {
    let all = bench.several(5, &[rate("a", 10, 2)]).await;
    assert_eq!(bench.states(&all).await, [Ready, Ready, Waiting, Waiting, Waiting]);
    let worker = bench.worker().await;
    let first = bench.claim_all(worker).await;
    assert_eq!(ids(&first), all[..2]);
    bench.settle_all(first).await;
    assert_eq!(bench.states(&all).await, [Succeeded, Succeeded, Waiting, Waiting, Waiting], "an end lets nobody begin");
    bench.wait(worker, ms(99)).await;
    assert_eq!(bench.states(&all[2..]).await, [Waiting; 3]);
    bench.wait(worker, ms(1)).await;
    assert_eq!(bench.states(&all[2..]).await, [Ready, Waiting, Waiting]);
    let second = bench.claim_all(worker).await;
    assert_eq!(ids(&second), all[2..3]);
    assert_eq!(bench.states(&all[2..]).await, [Running, Waiting, Waiting]);
    bench.wait(worker, ms(200)).await;
    assert_eq!(ids(&bench.claim_all(worker).await), all[3..], "what came together meanwhile");
}

/// Were it so, all would begin at once when a worker comes.
pub async fn what_nobody_claims_does_not_come_together(bench: Bench<'_>) {
    let all = bench.several(6, &[rate("a", 10, 2)]).await;
    for _ in 0..5 {
        bench.pass(secs(1));
        assert_eq!(bench.states(&all).await, [Ready, Ready, Waiting, Waiting, Waiting, Waiting]);
    }
    let worker = bench.worker().await;
    assert_eq!(ids(&bench.claim_all(worker).await), all[..2]);
    assert!(bench.claim_all(worker).await.is_empty(), "they have begun just now, whenever they were let in");
    bench.wait(worker, ms(150)).await;
    assert_eq!(ids(&bench.claim_all(worker).await), all[2..3]);
}

/// All at once, and then none until the first is long ago.
pub async fn a_window_has_no_more_than_its_limit(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = bench.several(7, &[window("a", 3, 1_000)]).await;
    assert_eq!(bench.claim_all(worker).await.len(), 3);
    bench.wait(worker, ms(999)).await;
    assert!(bench.claim_all(worker).await.is_empty());
    bench.wait(worker, ms(1)).await;
    bench.sweep().await;
    assert_eq!(ids(&bench.claim(worker, 2).await), all[3..5]);
    bench.wait(worker, ms(600)).await;
    assert_eq!(ids(&bench.claim_all(worker).await), all[5..6]);
    bench.wait(worker, ms(399)).await;
    assert!(bench.claim_all(worker).await.is_empty());
    bench.wait(worker, ms(1)).await;
    assert_eq!(ids(&bench.claim_all(worker).await), all[6..]);
}

/// However it ends: a far side was asked.
pub async fn each_attempt_counts_and_no_other(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = bench.several(2, &[rate("a", 1, 1)]).await;
    let [first] = <[Claimed; 1]>::try_from(bench.claim_all(worker).await).expect("one at a time");
    bench.settle(first.lease, Ending::Retry { delay: ms(100) }).await;
    bench.wait(worker, ms(200)).await;
    assert_eq!(bench.states(&all).await, [Waiting, Waiting]);
    bench.wait(worker, ms(800)).await;
    // In the order in which they were enqueued.
    let [again] = <[Claimed; 1]>::try_from(bench.claim_all(worker).await).expect("one at a time");
    assert_eq!((again.lease.id, again.attempt), (all[0], 2));
    bench.settle(again.lease, Ending::Snooze { delay: secs(60) }).await;
    assert_eq!(bench.states(&all).await, [Scheduled, Waiting]);
    bench.wait(worker, ms(999)).await;
    assert_eq!(bench.states(&all).await, [Scheduled, Waiting]);
    bench.wait(worker, ms(1)).await;
    assert_eq!(bench.states(&all).await, [Scheduled, Ready]);
    // A worker that dies has begun it.
    let lost = bench.claim_all(worker).await;
    assert_eq!(ids(&lost), all[1..]);
    bench.pass(secs(40));
    let other = bench.worker().await;
    bench.sweep().await;
    let taken = bench.claim_all(other).await;
    assert_eq!(ids(&taken), all[1..], "its second is long over");
}

/// Nor does who is put aside while he waits for a worker.
pub async fn who_has_not_begun_takes_nothing(bench: Bench<'_>) {
    let all = bench.several(3, &[rate("a", 1, 1)]).await;
    assert_eq!(bench.states(&all).await, [Ready, Waiting, Waiting]);
    bench.store.cancel(&all[..1]).await.expect("cancel");
    assert_eq!(bench.states(&all).await, [Cancelled, Ready, Waiting]);
    bench.store.cancel(&all[1..2]).await.expect("cancel");
    bench.store.delete(&all[1..2]).await.expect("delete");
    assert_eq!(bench.states(&all[2..]).await, [Ready]);
}

/// All at once or nothing is taken of them.
pub async fn a_rate_goes_with_limits_and_other_rates(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let both = [need("b", 1), rate("a", 10, 2)];
    let all = bench.several(3, &both).await;
    let two = [rate("a", 10, 2), rate("c", 1, 1)];
    let more = bench.several(2, &two).await;
    assert_eq!(bench.states(&all).await, [Ready, Waiting, Waiting], "by the limit");
    assert_eq!(bench.states(&more).await, [Ready, Waiting], "by the other rate");
    let [first, second] = <[Claimed; 2]>::try_from(bench.claim_all(worker).await).expect("one of each");
    assert_eq!([first.lease.id, second.lease.id], [all[0], more[0]]);
    bench.settle(first.lease, Ending::Succeeded).await;
    assert_eq!(bench.states(&all[1..]).await, [Waiting, Waiting], "by the rate, though there is a slot");
    let other = bench.limited(&[need("b", 1)]).await;
    assert_eq!(bench.states(&[other]).await, [Ready], "who waits for a rate has no slot");
    bench.wait(worker, ms(100)).await;
    assert_eq!(bench.states(&all[1..]).await, [Waiting, Waiting], "by the limit again");
    let claimed = bench.claim_all(worker).await;
    assert_eq!(ids(&claimed), [other]);
    bench.settle_all(claimed).await;
    assert_eq!(bench.states(&all[1..]).await, [Ready, Waiting]);
}

/// Whoever takes much waits until it has come together, and is not passed by.
pub async fn a_task_may_take_more_of_it(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let of = |cost| Need { cost, ..rate("a", 10, 4) };
    let (small, large, tiny) = (bench.limited(&[of(2)]).await, bench.limited(&[of(4)]).await, bench.limited(&[of(1)]).await);
    assert_eq!(ids(&bench.claim_all(worker).await), [small]);
    bench.wait(worker, ms(199)).await;
    assert_eq!(bench.states(&[large, tiny]).await, [Waiting, Waiting]);
    bench.wait(worker, ms(1)).await;
    assert_eq!(ids(&bench.claim_all(worker).await), [large]);
    bench.wait(worker, ms(100)).await;
    assert_eq!(ids(&bench.claim_all(worker).await), [tiny]);
}

/// Until he takes it back.
pub async fn an_operator_may_set_a_rate(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let key = "rate:a";
    let set = |limit: Option<Limit>| bench.store.set_limit(key, limit);
    set(Some(Limit::of(0))).await.expect("set_limit");
    let all = bench.several(6, &[rate("a", 10, 2)]).await;
    bench.pass(secs(1));
    assert_eq!(bench.states(&all).await, [Waiting; 6], "nobody begins");
    set(Some(rate("a", 5, 1).limit())).await.expect("set_limit");
    assert_eq!(ids(&bench.claim_all(worker).await), all[..1]);
    bench.wait(worker, ms(199)).await;
    assert!(bench.claim_all(worker).await.is_empty());
    let info = bench.info(key).await;
    assert_eq!((info.limit, info.declared), (rate("a", 5, 1).limit(), Some(rate("a", 10, 2).limit())));
    set(None).await.expect("set_limit");
    bench.wait(worker, ms(1)).await;
    let claimed = bench.claim_all(worker).await;
    assert!((1..=2).contains(&claimed.len()), "{}", claimed.len());
    assert_eq!((bench.info(key).await.limit, bench.info(key).await.set), (rate("a", 10, 2).limit(), None));
    // A burst that was let in and is not claimed waits again where it is smaller.
    bench.wait(worker, secs(1)).await;
    bench.settle_all(claimed).await;
    assert_eq!(bench.states(&all).await.iter().filter(|state| **state == Ready).count(), 2);
    set(Some(rate("a", 10, 1).limit())).await.expect("set_limit");
    assert_eq!(bench.states(&all).await.iter().filter(|state| **state == Ready).count(), 1);
}

/// For its key, whoever asks it.
pub async fn a_far_side_may_say_what_is_left(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = bench.several(6, &[rate("a", 1_000, 100)]).await;
    assert_eq!(bench.states(&all).await, [Ready; 6]);
    bench.store.set_remaining("rate:a", 2, secs(30)).await.expect("set_remaining");
    assert_eq!(bench.states(&all).await, [Ready, Ready, Waiting, Waiting, Waiting, Waiting], "also of those that were let in");
    let first = bench.claim_all(worker).await;
    assert_eq!(ids(&first), all[..2]);
    bench.settle_all(first).await;
    bench.wait(worker, secs(10)).await;
    let more = all[2..].to_vec();
    assert_eq!(bench.states(&more).await, [Waiting; 4]);
    bench.store.set_remaining("rate:a", 1, secs(5)).await.expect("set_remaining");
    assert_eq!(bench.states(&more).await, [Ready, Waiting, Waiting, Waiting], "what was said last counts");
    assert_eq!(ids(&bench.claim_all(worker).await), more[..1]);
    bench.wait(worker, ms(4_999)).await;
    assert_eq!(bench.states(&more[1..]).await, [Waiting; 3]);
    bench.wait(worker, ms(1)).await;
    assert_eq!(bench.states(&more[1..]).await, [Ready; 3]);
}

/// A worker that sleeps until the next task is due wakes for that as well.
pub async fn somebody_looks_when_the_next_may_begin(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = bench.several(2, &[rate("a", 2, 1)]).await;
    let first = bench.claim_all(worker).await;
    assert_eq!(ids(&first), all[..1]);
    bench.settle_all(first).await;
    bench.sweep().await;
    let next = bench.sweep().await.next_due.expect("somebody waits");
    let queues = [super::bench::QUEUE.to_owned()];
    let is_soon = async |within| bench.store.pending(&queues, within).await.expect("pending").scheduled;
    assert!(!is_soon(ms(100)).await, "whoever waits for what is due soon does not wait for it");
    assert!(is_soon(secs(1)).await);
    let others = ["other".to_owned()];
    assert!(!bench.store.pending(&others, secs(1)).await.expect("pending").scheduled);
    assert!(next > ms(400) && next <= ms(500), "{next:?}");
    bench.wait(worker, next).await;
    bench.store.promote(ALL).await.expect("promote");
    assert_eq!(ids(&bench.claim(worker, ALL).await), all[1..], "the look that is due is enough");
    bench.sweep().await;
    assert_eq!(bench.sweep().await.next_due, None, "nobody waits");
}

/// By a store that begins anew.
pub async fn what_has_begun_is_remembered(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = bench.several(3, &[window("a", 2, 60_000)]).await;
    let claimed = bench.claim_all(worker).await;
    assert_eq!(claimed.len(), 2);
    bench.settle_all(claimed).await;
    bench.store.cancel(&all[2..]).await.expect("cancel");
    bench.store.delete(&all[2..]).await.expect("delete");
    bench.sweep().await;
    bench.store.prune(ALL).await.expect("prune");
    let bench = bench.reopen().await;
    let worker = bench.worker().await;
    let more = bench.several(1, &[window("a", 2, 60_000)]).await;
    bench.wait(worker, secs(20)).await;
    assert!(bench.claim_all(worker).await.is_empty(), "nobody waits, and yet it counts");
    bench.wait(worker, secs(20)).await;
    bench.wait(worker, secs(20)).await;
    assert_eq!(ids(&bench.claim_all(worker).await), more);
}

/// By an operator, by newer tasks, in another way: none forgets anything.
pub async fn what_has_begun_counts_though_the_rate_is_changed(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let by_window = [window("a", 5, 60_000)];
    let all = bench.several(12, &by_window).await;
    let claimed = bench.claim_all(worker).await;
    assert_eq!(ids(&claimed), all[..5]);
    bench.settle_all(claimed).await;
    let set = |limit: Option<Limit>| bench.store.set_limit("rate:a", limit);
    for limit in [Some(window("a", 4, 60_000).limit()), None, Some(rate("a", 1, 4).limit()), None] {
        set(limit).await.expect("set_limit");
        bench.wait(worker, ms(10)).await;
        assert!(bench.claim_all(worker).await.is_empty(), "{limit:?}");
    }
    // Tasks of two types with one key, which count it in two ways.
    let by_bucket = [Need { limit: 5, pace: Some(Pace { per_ms: 60_000, most: 1, is_window: false }), ..window("a", 5, 60_000) }];
    let mut begun = 0;
    for _ in 0..6 {
        bench.limited(&by_bucket).await;
        begun += bench.claim_all(worker).await.len();
        bench.limited(&by_window).await;
        begun += bench.claim_all(worker).await.len();
        bench.wait(worker, ms(10)).await;
    }
    assert_eq!(begun, 0, "not a moment of the minute is over");
    bench.wait(worker, secs(30)).await;
    bench.wait(worker, secs(30)).await;
    assert!(!bench.claim_all(worker).await.is_empty());
}

/// Whoever runs goes on, and has begun.
pub async fn what_begins_while_a_rate_is_closed_counts(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = bench.several(2, &[window("a", 1, 60_000)]).await;
    let claimed = bench.claim_all(worker).await;
    assert_eq!(ids(&claimed), all[..1]);
    bench.store.set_limit("rate:a", Some(Limit::of(0))).await.expect("set_limit");
    bench.sweep().await;
    bench.settle_all(claimed).await;
    assert_eq!(bench.states(&all).await, [Succeeded, Waiting]);
    bench.store.prune(ALL).await.expect("prune");
    bench.store.set_limit("rate:a", None).await.expect("set_limit");
    bench.wait(worker, secs(20)).await;
    assert!(bench.claim_all(worker).await.is_empty());
    bench.wait(worker, secs(20)).await;
    bench.wait(worker, secs(20)).await;
    assert_eq!(ids(&bench.claim_all(worker).await), all[1..]);
}

/// Whoever lets in.
pub async fn another_process_knows_what_has_begun(bench: Bench<'_>) {
    let other = bench.other().await;
    let worker = bench.worker().await;
    let all = bench.several(3, &[rate("a", 1, 1)]).await;
    assert_eq!(ids(&bench.claim_all(worker).await), all[..1]);
    for _ in 0..3 {
        other.sweep(ALL).await.expect("sweep");
        assert_eq!(bench.states(&all).await, [Running, Waiting, Waiting]);
    }
    bench.wait(worker, secs(1)).await;
    other.sweep(ALL).await.expect("sweep");
    assert_eq!(bench.states(&all).await, [Running, Ready, Waiting]);
}

/// With the moment at which the next may begin.
pub async fn a_rate_is_shown_with_its_line(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let all = bench.several(4, &[rate("a", 1, 2)]).await;
    bench.claim_all(worker).await;
    bench.sweep().await;
    let info = bench.info("rate:a").await;
    assert_eq!((info.limit.to_string(), info.used, info.waiting), ("1/s".to_owned(), 2, 2));
    let soon = |at: Option<Timestamp>| at.expect("somebody waits").since(bench.env.now());
    let next = soon(info.next);
    assert!(next > ms(900) && next <= secs(1), "{next:?}");
    let last = bench.store.stands_by(all[3]).await.expect("stands_by").expect("it waits");
    assert_eq!((last.key.as_str(), last.cost, last.before), ("rate:a", 1, 1));
    let expected = soon(last.expected);
    assert!(expected > ms(1_900) && expected <= secs(2), "{expected:?}");
    let listed = bench.store.list_limits("rate:", None, ALL).await.expect("list_limits");
    assert_eq!(listed.iter().map(|info| info.key.as_str()).collect::<Vec<_>>(), ["rate:a"]);
}

/// Its rows are gone with its end, and yet it has begun.
pub async fn a_success_that_leaves_nothing_counts(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let needs = [rate("a", 1, 1)];
    let fleeting = |task: gristmill_core::NewTask| gristmill_core::NewTask { retention: Retention::None, ..task };
    for _ in 0..2 {
        bench.enqueue(super::concurrency::with(fleeting(bench.task()), &needs)).await;
    }
    let first = bench.claim(worker, ALL).await;
    let first = if first.is_empty() { bench.claim_all(worker).await } else { first };
    assert_eq!(first.len(), 1);
    // At once, before anybody has looked.
    bench.settle_all(first).await;
    assert!(bench.claim_all(worker).await.is_empty());
    bench.wait(worker, secs(1)).await;
    assert_eq!(bench.claim_all(worker).await.len(), 1);
}

/// Whatever is done in whatever order, never do more begin than the rate gives, and nobody is forgotten.
pub async fn rates_hold_whatever_happens(bench: Bench<'_>) {
    let mut dice = Dice::new(11);
    let worker = bench.worker().await;
    let kinds = [vec![rate("a", 5, 3)], vec![window("w", 4, 2_000)], vec![need("c", 2), rate("a", 5, 3), window("w", 4, 2_000)]];
    let mut all = Vec::new();
    let mut running: Vec<Claimed> = Vec::new();
    let (mut of_bucket, mut of_window): (Vec<Timestamp>, Vec<Timestamp>) = Default::default();
    let of = |claimed: &Claimed| claimed.meta.as_deref().map(|meta| meta.needs.clone()).unwrap_or_default();
    for _ in 0..250 {
        match dice.below(10) {
            0..=3 => all.push(bench.limited(&kinds[dice.below(kinds.len())]).await),
            4..=5 => {
                let claimed = bench.claim(worker, 1 + dice.below(4)).await;
                for claimed in &claimed {
                    for need in of(claimed) {
                        match need.key.as_str() {
                            "rate:a" => of_bucket.push(bench.env.now()),
                            "rate:w" => of_window.push(bench.env.now()),
                            _ => {}
                        }
                    }
                }
                running.extend(claimed);
            }
            6..=7 if !running.is_empty() => {
                let claimed = running.swap_remove(dice.below(running.len()));
                let ending = match dice.below(4) {
                    0 => Ending::Retry { delay: ms(300) },
                    1 => Ending::Released,
                    _ => Ending::Succeeded,
                };
                bench.settle(claimed.lease, ending).await;
            }
            8 if !all.is_empty() => {
                let id = all[dice.below(all.len())];
                bench.store.cancel(&[id]).await.expect("cancel");
            }
            _ => bench.wait(worker, ms(u64::try_from(dice.below(400)).unwrap_or_default())).await,
        }
        bench.store.promote(ALL).await.expect("promote");
    }
    for (nth, from) in of_bucket.iter().enumerate() {
        for (count, to) in of_bucket[nth..].iter().enumerate() {
            let given = 3.0 + 5.0 * to.since(*from).as_secs_f64() + 1e-9;
            assert!((count + 1) as f64 <= given, "{} began in {:?}", count + 1, to.since(*from));
        }
    }
    for (nth, from) in of_window.iter().enumerate() {
        let in_window = of_window[nth..].iter().filter(|to| to.since(*from) < secs(2)).count();
        assert!(in_window <= 4, "{in_window} began within two seconds");
    }
    // Nobody waits for ever.
    for _ in 0..all.len() * 4 {
        bench.settle_all(std::mem::take(&mut running)).await;
        bench.wait(worker, secs(1)).await;
        running = bench.claim_all(worker).await;
    }
    assert!(bench.states(&all).await.iter().all(|state| state.is_final()));
}
