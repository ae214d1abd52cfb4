//! Locks: who holds a name, for how long, and what tells an outside resource who came later.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;

use gristmill_core::durable::{Checkpoint, Due};
use gristmill_core::limits::{LOCKS_MAX, NAME_BYTES_MAX};
use gristmill_core::{
    Claim, Ending, LeaseKey, LeaseRef, LockHolder, LockInfo, LockOutcome, NewTask, Settled, State, Store, StoreErrorKind, Wanted,
    WorkerId,
};

use super::bench::{ALL, Bench, KIND, LEASE, QUEUE, secs};
use super::list;

list![
    one_attempt_at_a_time_holds_a_lock,
    locks_of_other_names_are_others,
    an_attempt_that_ends_lets_go_of_its_locks,
    an_attempt_that_is_taken_away_lets_go_of_its_locks,
    heartbeats_keep_a_lock_from_a_busy_contender,
    what_a_dead_worker_holds_is_free_once_it_is_rescued,
    a_stale_holder_takes_nothing_and_releases_nothing,
    tokens_grow_over_all_that_is_forgotten,
    of_many_who_ask_at_once_one_is_given_it,
    one_after_the_other_has_it_however_fast_they_ask,
    locks_are_listed_with_their_holders,
    an_attempt_holds_no_more_than_it_may,
    a_lock_has_a_name,
];

const LOCK: &str = "tally:42";

/// Whoever comes second is told who holds it; whoever asks again is given what he has; and the next holder has a larger token.
pub async fn one_attempt_at_a_time_holds_a_lock(bench: Bench<'_>) {
    let [a, b] = running(&bench).await;
    let token = held(&bench, a, LOCK).await;
    let since = bench.env.now();
    bench.pass(secs(1));
    let busy = LockOutcome::Busy(LockHolder { task: a.id, since });
    assert_eq!(take(&bench, b, LOCK).await, busy);
    assert_eq!(take(&bench, a, LOCK).await, LockOutcome::Held { token, since }, "a repetition changes nothing");
    assert!(!release(&bench, b, LOCK).await, "it is another's");
    assert_eq!(take(&bench, b, LOCK).await, busy);
    assert!(release(&bench, a, LOCK).await);
    assert!(!release(&bench, a, LOCK).await, "it was released before");
    let next = held(&bench, b, LOCK).await;
    assert!(next > token, "{next} follows {token}");
    assert!(!release(&bench, a, LOCK).await, "it is another's now");
    assert_eq!(take(&bench, a, LOCK).await, LockOutcome::Busy(LockHolder { task: b.id, since: bench.env.now() }));
    assert!(release(&bench, b, LOCK).await);
    assert!(held(&bench, a, LOCK).await > next);
}

/// A name is all of it, to the letter.
pub async fn locks_of_other_names_are_others(bench: Bench<'_>) {
    let [a, b] = running(&bench).await;
    let long = "x".repeat(NAME_BYTES_MAX);
    for name in ["a", "A", "a ", " a", "ä", "a%", "a_", "'", "\\", "{s}", "$1", "日本", &long] {
        held(&bench, a, name).await;
        assert!(matches!(take(&bench, b, name).await, LockOutcome::Busy(_)), "{name}");
    }
    assert_eq!(bench.store.locks_of(a.id).await.expect("the store answers").len(), 13);
    assert_eq!(bench.store.locks_of(b.id).await.expect("the store answers"), []);
    assert!(release(&bench, a, "a_").await);
    assert!(matches!(take(&bench, b, "ab").await, LockOutcome::Held { .. }));
    assert!(matches!(take(&bench, b, "a").await, LockOutcome::Busy(_)));
}

/// However an attempt ends, what it held is free in the moment in which that is written, its task's next attempt included.
pub async fn an_attempt_that_ends_lets_go_of_its_locks(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let delay = secs(0);
    let mut last = 0;
    for ending in [
        Ending::Succeeded,
        Ending::Failed,
        Ending::Cancelled,
        Ending::Retry { delay },
        Ending::Snooze { delay },
        Ending::Released,
    ] {
        let first = run(&bench, worker).await;
        let token = held(&bench, first, LOCK).await;
        assert!(token > last, "the lock was free, and {token} follows {last}");
        assert!(matches!(bench.settle(first, ending).await, Settled::Done(_)));
        assert_eq!(bench.store.locks("", None, ALL).await.expect("the store answers"), [], "after {ending:?}");
        last = token;
        if !bench.state(first.id).await.is_final() {
            bench.sweep().await;
            let again = bench.claim_one(worker).await.lease;
            assert_eq!(again.id, first.id);
            assert_eq!(take(&bench, first, LOCK).await, LockOutcome::LeaseLost, "it is another attempt's task");
            last = held(&bench, again, LOCK).await;
            assert!(last > token);
            bench.settle(again, Ending::Succeeded).await;
        }
    }
    // To wait is to end the attempt.
    let first = run(&bench, worker).await;
    held(&bench, first, LOCK).await;
    let suspended = Checkpoint { suspend: Some(Due::In(secs(1_000))), ..Checkpoint::new(first) };
    assert_eq!(bench.store.checkpoint(suspended).await.ok(), Some(Settled::Done(State::Scheduled)));
    let next = run(&bench, worker).await;
    assert!(held(&bench, next, LOCK).await > last);
}

/// By a person, or by its own worker that leaves.
pub async fn an_attempt_that_is_taken_away_lets_go_of_its_locks(bench: Bench<'_>) {
    let (worker, other) = (bench.worker().await, bench.worker().await);
    let first = run(&bench, worker).await;
    let mut last = held(&bench, first, LOCK).await;
    bench.store.cancel(&[first.id]).await.expect("the store answers");
    let next = run(&bench, other).await;
    assert!(matches!(take(&bench, next, LOCK).await, LockOutcome::Busy(_)), "it runs until it has ended");
    bench.store.release(&[first.id]).await.expect("the store answers");
    for leaves in [other, worker] {
        let lease = if leaves == other { next } else { bench.claim_one(leaves).await.lease };
        let token = held(&bench, lease, LOCK).await;
        assert!(token > last);
        last = token;
        bench.store.leave(leaves).await.expect("the store answers");
        assert_eq!(take(&bench, lease, LOCK).await, LockOutcome::LeaseLost);
    }
    let forgotten = bench.worker().await;
    let lease = bench.claim_one(forgotten).await.lease;
    assert!(held(&bench, lease, LOCK).await > last);
    bench.store.forget_worker(forgotten).await.expect("the store answers");
    assert_eq!(bench.store.locks("", None, ALL).await.expect("the store answers"), []);
}

/// A lock has no time of its own that could pass under a handler: it is kept as the lease is, however often somebody asks for it.
pub async fn heartbeats_keep_a_lock_from_a_busy_contender(bench: Bench<'_>) {
    let [a, b] = running(&bench).await;
    let (since, token) = (bench.env.now(), held(&bench, a, LOCK).await);
    let workers = bench.store.workers().await.expect("the store answers");
    let workers: Vec<WorkerId> = workers.iter().filter_map(|worker| worker.id.parse().ok()).collect();
    for _ in 0..20 {
        bench.pass(LEASE - secs(1));
        for worker in &workers {
            bench.beat(*worker).await;
        }
        bench.sweep().await;
        bench.store.prune(ALL).await.expect("the store answers");
        for _ in 0..5 {
            assert_eq!(take(&bench, b, LOCK).await, LockOutcome::Busy(LockHolder { task: a.id, since }));
        }
    }
    // Longer than what nobody holds is kept.
    for _ in 0..200 {
        bench.pass(LEASE - secs(1));
        for worker in &workers {
            bench.beat(*worker).await;
        }
    }
    bench.store.prune(ALL).await.expect("the store answers");
    assert_eq!(take(&bench, b, LOCK).await, LockOutcome::Busy(LockHolder { task: a.id, since }));
    assert_eq!(take(&bench, a, LOCK).await, LockOutcome::Held { token, since });
}

/// A worker that says nothing for too long may live all the same, until somebody takes for himself what it held.
pub async fn what_a_dead_worker_holds_is_free_once_it_is_rescued(bench: Bench<'_>) {
    let dying = bench.worker().await;
    let first = run(&bench, dying).await;
    let token = held(&bench, first, LOCK).await;
    let since = bench.env.now();
    bench.pass(LEASE * 2);
    let spec = bench.worker_spec(&[QUEUE], &[KIND]);
    bench.store.enter(&spec).await.expect("the store answers");
    let next = run(&bench, spec.id).await;
    assert_eq!(take(&bench, next, LOCK).await, LockOutcome::Busy(LockHolder { task: first.id, since }));
    assert_eq!(bench.sweep().await.rescued, 1);
    assert_eq!(take(&bench, first, LOCK).await, LockOutcome::LeaseLost);
    assert!(held(&bench, next, LOCK).await > token);
    assert!(!release(&bench, first, LOCK).await);
}

/// Whatever took the attempt from it, and whoever has the lock since: nobody at first, then another.
pub async fn a_stale_holder_takes_nothing_and_releases_nothing(bench: Bench<'_>) {
    let [stale, next] = running(&bench).await;
    let token = held(&bench, stale, LOCK).await;
    bench.settle(stale, Ending::Released).await;
    let mut newer = None;
    for _ in 0..2 {
        assert!(!release(&bench, stale, LOCK).await, "its attempt is over");
        assert_eq!(take(&bench, stale, LOCK).await, LockOutcome::LeaseLost);
        assert_eq!(take(&bench, stale, "another").await, LockOutcome::LeaseLost);
        let given = held(&bench, next, LOCK).await;
        assert!(given > token);
        assert!(newer.is_none_or(|newer| newer == given), "nobody took it away");
        newer = Some(given);
    }
    // Of another claim of the task that holds it, and of none.
    for guessed in [
        LeaseRef { fence: bench.env.fence(), ..next },
        LeaseRef { id: bench.env.task_id(), ..next },
        LeaseRef { key: LeaseKey::default(), fence: bench.env.fence(), id: bench.env.task_id() },
    ] {
        assert_eq!(take(&bench, guessed, LOCK).await, LockOutcome::LeaseLost);
        assert_eq!(take(&bench, guessed, "another").await, LockOutcome::LeaseLost);
        assert!(!release(&bench, guessed, LOCK).await);
    }
    assert_eq!(bench.store.locks("", None, ALL).await.expect("the store answers").len(), 1);
}

/// What nobody holds any more is forgotten after a while, but not how far the tokens have come.
pub async fn tokens_grow_over_all_that_is_forgotten(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let mut last = 0;
    for releases in [true, false, true, false] {
        let lease = run(&bench, worker).await;
        for name in [LOCK, "other"] {
            let token = held(&bench, lease, name).await;
            assert!(token > last, "{token} follows {last}");
            last = token;
            if releases {
                assert!(release(&bench, lease, name).await);
            }
        }
        bench.settle(lease, Ending::Succeeded).await;
        for _ in 0..3 {
            bench.pass(LEASE - secs(1));
            bench.beat(worker).await;
        }
        bench.pass(secs(2 * 3_600));
        bench.beat(worker).await;
        bench.store.prune(ALL).await.expect("the store answers");
    }
}

/// In one process and in two.
pub async fn of_many_who_ask_at_once_one_is_given_it(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let other = bench.other().await;
    let mut last = 0;
    for round in 0..5 {
        for _ in 0..8 {
            bench.add().await;
        }
        let leases: Vec<_> = bench.claim(worker, 8).await.iter().map(|claimed| claimed.lease).collect();
        let name = format!("round:{}", round % 2);
        let mut asked: Vec<Asked<'_>> = Vec::new();
        for (nth, lease) in leases.iter().enumerate() {
            let store = if nth % 2 == 0 { &bench.store } else { &other };
            asked.push(Box::pin(take_by(store, lease, &name)));
        }
        let answers = all(asked).await;
        let tokens: Vec<u64> = answers
            .iter()
            .filter_map(|answer| match answer {
                LockOutcome::Held { token, .. } => Some(*token),
                _ => None,
            })
            .collect();
        let [token] = tokens[..] else { panic!("one is given it, and not {answers:?}") };
        assert!(answers.iter().all(|answer| *answer != LockOutcome::LeaseLost));
        assert!(token > last, "{token} follows {last}");
        last = token;
        for lease in leases {
            bench.settle(lease, Ending::Succeeded).await;
        }
    }
}

/// Those who take it, let it go and take it again, and nobody waits for anybody.
pub async fn one_after_the_other_has_it_however_fast_they_ask(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let other = bench.other().await;
    for _ in 0..6 {
        bench.add().await;
    }
    let leases: Vec<_> = bench.claim(worker, 6).await.iter().map(|claimed| claimed.lease).collect();
    let (inside, last) = (AtomicUsize::new(0), AtomicU64::new(0));
    let mut contenders: Vec<Asked<'_>> = Vec::new();
    for (nth, lease) in leases.iter().enumerate() {
        let store = if nth % 2 == 0 { &bench.store } else { &other };
        contenders.push(Box::pin(contend(store, lease, &inside, &last)));
    }
    all(contenders).await;
    assert_eq!(bench.store.locks("", None, ALL).await.expect("the store answers"), []);
}

/// Takes a lock ten times, and finds nobody else within it.
async fn contend(store: &Arc<dyn Store>, lease: &LeaseRef, inside: &AtomicUsize, last: &AtomicU64) -> LockOutcome {
    let mut times = 0;
    loop {
        let outcome = take_by(store, lease, LOCK).await;
        if let LockOutcome::Held { token, .. } = outcome {
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "another has it");
            let before = last.swap(token, Ordering::SeqCst);
            assert!(token > before, "{token} follows {before}");
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::SeqCst);
            assert!(store.release_lock(lease, LOCK).await.expect("the store answers"));
            times += 1;
            if times == 10 {
                return outcome;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// By name, from one page to the next; what is free is not among them.
pub async fn locks_are_listed_with_their_holders(bench: Bench<'_>) {
    let [a, b] = running(&bench).await;
    let since = bench.env.now();
    let mut expected = Vec::new();
    for (name, lease) in [("b:2", a), ("a", b), ("b:1", b), ("b", a), ("c", a)] {
        let token = held(&bench, lease, name).await;
        let workers = bench.store.workers().await.expect("the store answers");
        let holder = bench.get(lease.id).await.attempts.last().and_then(|attempt| attempt.worker.clone());
        assert!(workers.iter().any(|worker| Some(&worker.name) == holder.as_ref()));
        let kind = Some(KIND.to_owned());
        expected.push(LockInfo { name: name.to_owned(), token, task: lease.id, kind, worker: holder, since });
    }
    let gone = held(&bench, a, "b:0").await;
    assert!(gone > 0 && release(&bench, a, "b:0").await);
    expected.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(bench.store.locks("", None, ALL).await.expect("the store answers"), expected);
    assert_eq!(names(&bench, "b", None, ALL).await, ["b", "b:1", "b:2"]);
    assert_eq!(names(&bench, "b:", None, ALL).await, ["b:1", "b:2"]);
    assert_eq!(names(&bench, "B", None, ALL).await, [""; 0]);
    assert_eq!(names(&bench, "%", None, ALL).await, [""; 0]);
    assert_eq!(names(&bench, "", None, 2).await, ["a", "b"]);
    assert_eq!(names(&bench, "", Some("b"), 2).await, ["b:1", "b:2"]);
    assert_eq!(names(&bench, "b", Some("b:1"), ALL).await, ["b:2"]);
    assert_eq!(names(&bench, "", None, 0).await, ["a"], "a page has one at least");
    let of = |lease: LeaseRef| expected.iter().filter(|lock| lock.task == lease.id).cloned().collect::<Vec<_>>();
    assert_eq!(bench.store.locks_of(a.id).await.expect("the store answers"), of(a));
    assert_eq!(bench.store.locks_of(b.id).await.expect("the store answers"), of(b));
    bench.settle(a, Ending::Succeeded).await;
    assert_eq!(names(&bench, "", None, ALL).await, ["a", "b:1"]);
    assert_eq!(bench.store.locks_of(a.id).await.expect("the store answers"), []);
    assert_eq!(bench.store.locks_of(bench.env.task_id()).await.expect("the store answers"), []);
}

/// What it has released makes room, and what other attempts hold takes none.
pub async fn an_attempt_holds_no_more_than_it_may(bench: Bench<'_>) {
    let [a, b] = running(&bench).await;
    for nth in 0..LOCKS_MAX {
        held(&bench, a, &format!("lock:{nth}")).await;
    }
    let error = bench.store.take_lock(&a, "more").await.expect_err("it holds as many as it may");
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("more") && error.to_string().contains("100"), "{error}");
    held(&bench, a, "lock:0").await;
    held(&bench, b, "more").await;
    assert!(release(&bench, a, "lock:7").await);
    held(&bench, a, "another").await;
    assert_eq!(bench.store.locks("", None, ALL).await.expect("the store answers").len(), LOCKS_MAX + 1);
}

/// As tasks and queues have.
pub async fn a_lock_has_a_name(bench: Bench<'_>) {
    let [a, _] = running(&bench).await;
    for bad in ["", "a\nb", "\0", "a\u{7f}", &"x".repeat(NAME_BYTES_MAX + 1)] {
        let error = bench.store.take_lock(&a, bad).await.expect_err("it is no name");
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
        assert!(!release(&bench, a, bad).await);
        let none = bench.store.locks(bad, None, ALL).await.expect("the store answers");
        assert_eq!(none, []);
    }
}

/// The names of those that are listed.
async fn names(bench: &Bench<'_>, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let locks = bench.store.locks(prefix, after, limit).await.expect("the store answers");
    locks.into_iter().map(|lock| lock.name).collect()
}

/// Two attempts that run, each on a worker of its own.
async fn running(bench: &Bench<'_>) -> [LeaseRef; 2] {
    let (one, other) = (bench.worker().await, bench.worker().await);
    [run(bench, one).await, run(bench, other).await]
}

/// A new task that runs.
async fn run(bench: &Bench<'_>, worker: WorkerId) -> LeaseRef {
    let id = bench.enqueue(NewTask { priority: 0, max_attempts: 9, ..bench.task() }).await;
    let wanted = vec![Wanted::new(QUEUE, 1)];
    let claim = Claim { worker, fence: bench.env.fence(), wanted, again: false };
    let claimed = bench.store.claim(&claim).await.expect("claim");
    assert_eq!(claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [id]);
    claimed[0].lease
}

async fn take(bench: &Bench<'_>, lease: LeaseRef, name: &str) -> LockOutcome {
    bench.store.take_lock(&lease, name).await.expect("the store answers")
}

/// Takes a lock that is free, or the attempt's own.
async fn held(bench: &Bench<'_>, lease: LeaseRef, name: &str) -> u64 {
    match take(bench, lease, name).await {
        LockOutcome::Held { token, .. } => token,
        other => panic!("the lock `{name}` is free, and the answer is {other:?}"),
    }
}

type Asked<'a> = Pin<Box<dyn Future<Output = LockOutcome> + Send + 'a>>;

async fn take_by(store: &Arc<dyn Store>, lease: &LeaseRef, name: &str) -> LockOutcome {
    store.take_lock(lease, name).await.expect("the store answers")
}

/// What all of these give, which go on beside each other.
async fn all(mut asked: Vec<Asked<'_>>) -> Vec<LockOutcome> {
    let mut answers = vec![None; asked.len()];
    poll_fn(|cx| {
        for (asked, answer) in asked.iter_mut().zip(&mut answers).filter(|(_, answer)| answer.is_none()) {
            if let Poll::Ready(given) = asked.as_mut().poll(cx) {
                *answer = Some(given);
            }
        }
        if answers.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

async fn release(bench: &Bench<'_>, lease: LeaseRef, name: &str) -> bool {
    bench.store.release_lock(&lease, name).await.expect("the store answers")
}
