//! Every place where a task can be is known wherever tasks are looked for, and what a newer version made unusual is left to it.

use std::time::Duration;

use gristmill_core::Schedules;
use gristmill_core::{
    CancelOutcome, Ending, Filter, Hold, LeaseKey, Membership, NewTask, Note, Overrides, Place, QueueInfo, ReleaseOutcome,
    Retention, RetryOutcome, Settled, Settlement, Severity, Source, State, Store, TaskMeta,
};

use crate::common::{Fixture, success, task};

/// Where a task can be before it has ended: where it waits, or at a worker.
const ALL: [Option<Place>; 6] =
    [Some(Place::Blocked), Some(Place::Scheduled), Some(Place::Waiting), Some(Place::Ready), Some(Place::Parked), None];

/// A flag that no version has so far.
const STRANGE: i64 = 1 << 20;

fn table(place: Option<Place>) -> &'static str {
    match place {
        Some(Place::Blocked) => "gristmill_blocked",
        Some(Place::Scheduled) => "gristmill_scheduled",
        Some(Place::Waiting) => "gristmill_waiting",
        Some(Place::Ready) => "gristmill_ready",
        Some(Place::Parked) => "gristmill_parked",
        None => "gristmill_lease",
    }
}

fn state(place: Option<Place>) -> State {
    place.map_or(State::Running, Place::state)
}

/// Brings a task there, and looks whether it is.
async fn bring(fixture: &Fixture, place: Option<Place>, over: Overrides) -> NewTask {
    // One type is served by somebody, the other by nobody.
    let kind = if place == Some(Place::Parked) { "strange" } else { "mail" };
    bring_new(fixture, place, task(&fixture.env, kind, over)).await
}

async fn bring_new(fixture: &Fixture, place: Option<Place>, mut new: NewTask) -> NewTask {
    match place {
        Some(Place::Blocked) => new.hold = Hold { blocked: true, ..Hold::NONE },
        Some(Place::Scheduled) => new.delay = Duration::from_secs(60),
        Some(Place::Waiting) => new.hold = Hold { limited: true, ..Hold::NONE },
        Some(Place::Ready | Place::Parked) | None => {}
    }
    fixture.store.enqueue(vec![new.clone()]).await.unwrap();
    if matches!(place, Some(Place::Parked) | None) {
        let worker = fixture.worker(&["mail"]).await;
        fixture.claim(worker, 1).await;
    }
    assert_eq!(rows(fixture, place), 1, "{place:?}");
    new
}

fn rows(fixture: &Fixture, place: Option<Place>) -> i64 {
    number(fixture, &format!("SELECT count(*) FROM {}", table(place)))
}

fn number(fixture: &Fixture, sql: &str) -> i64 {
    fixture.raw().query_row(sql, [], |row| row.get(0)).unwrap()
}

async fn bad(fixture: &Fixture) -> Vec<String> {
    let findings = fixture.store.check().await.unwrap().into_iter();
    // What nobody serves is worth a word, but no harm.
    let bad = findings.filter(|finding| finding.severity > Severity::Ok && finding.code != "unserved");
    bad.map(|finding| finding.code).collect()
}

#[test]
fn all_of_them_are_here() {
    assert!(ALL.iter().flatten().eq(Place::ALL.iter()));
}

#[tokio::test]
async fn what_is_there_is_seen() {
    for place in ALL {
        let fixture = Fixture::new();
        let task = bring(&fixture, place, Overrides::default()).await;
        let state = state(place);
        assert_eq!(fixture.state(&task).await, Some(state), "{place:?}");
        assert_eq!(fixture.store.task_states(&[task.id]).await.unwrap(), [Some(state)], "{place:?}");
        for states in [vec![], vec![state], vec![state, State::Failed]] {
            let filter = Filter { states, ..Filter::default() };
            let page = fixture.store.list(&filter, None, 10).await.unwrap();
            assert_eq!(page.items.iter().map(|item| (item.id, item.state)).collect::<Vec<_>>(), [(task.id, state)], "{place:?}");
        }
        let QueueInfo { ready, scheduled, blocked, waiting, running, .. } = fixture.store.queues().await.unwrap().remove(0);
        let counts = [blocked, scheduled, waiting, ready, running];
        let states = [State::Blocked, State::Scheduled, State::Waiting, State::Ready, State::Running];
        assert_eq!(counts, states.map(|known| u64::from(known == state)), "{place:?}");
        let pending = fixture.store.pending(&["default".to_owned()], Duration::from_secs(60)).await.unwrap();
        assert_eq!(pending.held, matches!(state, State::Blocked | State::Waiting), "{place:?}");
        assert_eq!((pending.scheduled, pending.running), (state == State::Scheduled, state == State::Running), "{place:?}");
        assert_eq!(bad(&fixture).await, [""; 0], "{place:?}");
    }
}

#[tokio::test]
async fn what_is_there_can_be_cancelled_and_expires_and_is_kept() {
    for place in ALL {
        let fixture = Fixture::new();
        let over = Overrides { expires: Some(Duration::from_secs(5)), retention: Some(Retention::None), ..Overrides::default() };
        let cancelled = bring(&fixture, place, over.clone()).await;
        fixture.clock.advance(Duration::from_secs(1));
        fixture.store.prune(100).await.unwrap();
        let outcome = fixture.store.cancel(&[cancelled.id]).await.unwrap().remove(0);
        if place.is_none() {
            assert_eq!(outcome, CancelOutcome::CancelRequested);
            continue;
        }
        assert_eq!(outcome, CancelOutcome::Cancelled, "{place:?}");
        assert_eq!((rows(&fixture, place), fixture.state(&cancelled).await), (0, Some(State::Cancelled)), "{place:?}");
        assert_eq!(number(&fixture, "SELECT count(*) FROM gristmill_expiry"), 0, "{place:?}");

        let expired = bring(&fixture, place, over).await;
        fixture.clock.advance(Duration::from_secs(66));
        // A due one is made ready first, and found there.
        assert_eq!(fixture.store.sweep(100).await.unwrap().expired, 1, "{place:?}");
        assert_eq!((rows(&fixture, place), fixture.state(&expired).await), (0, Some(State::Expired)), "{place:?}");
        assert_eq!(bad(&fixture).await, [""; 0], "{place:?}");
    }
}

#[tokio::test]
async fn being_in_two_places_is_found() {
    // Its row in each place, by the columns that all have; the first two are in the order of a task's keys.
    let put = |place: Option<Place>| {
        let (own, values) = match place {
            Some(Place::Blocked | Place::Scheduled) => ("run_at, flags", "4102444800000, 0"),
            Some(Place::Waiting) => ("flags", "0"),
            Some(Place::Ready | Place::Parked) => ("kind, priority", "kind, priority"),
            None => ("mark, worker, started, retention, claimed_at", "id, 1, 1, 0, 0"),
        };
        let table = table(place);
        format!(
            "INSERT INTO {table}(seq, queue, attempt, claim_no, crashes, {own}) SELECT seq, queue, 0, 0, 0, {values} FROM gristmill_task"
        )
    };
    for one in ALL {
        for other in ALL.into_iter().filter(|other| *other != one) {
            let fixture = Fixture::new();
            fixture.worker(&["mail"]).await;
            fixture.store.enqueue(vec![fixture.task("mail")]).await.unwrap();
            fixture.raw().execute_batch(&format!("DELETE FROM gristmill_ready; {};", put(one))).unwrap();
            assert_eq!(bad(&fixture).await, [""; 0], "{one:?}");
            fixture.raw().execute_batch(&put(other)).unwrap();
            assert_eq!(bad(&fixture).await, ["overlap"], "{one:?} and {other:?}");
        }
    }
}

#[tokio::test]
async fn what_only_a_newer_version_knows_is_left_to_it() {
    for place in ALL {
        let fixture = Fixture::new();
        let task = bring(&fixture, place, Overrides { retention: Some(Retention::None), ..Overrides::default() }).await;
        fixture.raw().execute_batch(&format!("UPDATE {} SET flags = {STRANGE}", table(place))).unwrap();
        // Whatever would bring it further: its time, a worker that serves it, one that is gone, a release.
        fixture.clock.advance(Duration::from_secs(61));
        let worker = fixture.worker(if place == Some(Place::Ready) { &["other"] } else { &["mail", "strange"] }).await;
        let swept = fixture.store.sweep(100).await.unwrap();
        assert_eq!((swept.promoted, swept.unparked, swept.rescued), (0, 0, 0), "{place:?}");
        assert_ne!(swept.next_due, Some(Duration::ZERO), "nothing that this version could do is due");
        let serving = fixture.worker(&["mail"]).await;
        for worker in [worker, serving] {
            assert_eq!(fixture.claim(worker, 10).await.len(), 0, "{place:?}");
        }
        assert_eq!(fixture.store.release(&[task.id]).await.unwrap(), [ReleaseOutcome::Waits], "{place:?}");
        for answer in [fixture.store.unblock(&[task.id]).await.unwrap(), fixture.store.admit(&[task.id]).await.unwrap()] {
            assert_eq!(answer, [None], "{place:?}");
        }
        assert_eq!(rows(&fixture, place), 1, "{place:?} is where it was");
        let pending = fixture.store.pending(&["default".to_owned()], Duration::ZERO).await.unwrap();
        assert!(!pending.ready, "{place:?}");

        if place.is_none() {
            continue;
        }
        // But its end is its end, of which the rest is owed.
        assert_eq!(fixture.store.cancel(&[task.id]).await.unwrap(), [CancelOutcome::Cancelled]);
        assert_eq!(number(&fixture, "SELECT owed FROM gristmill_outcome"), STRANGE, "{place:?}");
        assert_eq!(bad(&fixture).await, ["owed"], "{place:?}");
        fixture.clock.advance(Duration::from_secs(1_000_000_000));
        fixture.store.prune(100).await.unwrap();
        assert_eq!(fixture.state(&task).await, Some(State::Cancelled), "it is kept until that is done");
        assert_eq!(fixture.store.retry(&[task.id]).await.unwrap(), [RetryOutcome::NotEnded]);
    }
}

#[tokio::test]
async fn a_member_of_a_workflow_is_one_wherever_it_is() {
    for place in ALL {
        let fixture = Fixture::new();
        let of = Membership { workflow: fixture.env.workflow_id(), number: 2, step: "a".to_owned(), place: 7, refers: false };
        let kind = if place == Some(Place::Parked) { "strange" } else { "mail" };
        let meta = Some(Box::new(TaskMeta { member: Some(of), ..TaskMeta::default() }));
        let new = bring_new(&fixture, place, NewTask { meta, ..task(&fixture.env, kind, Overrides::default()) }).await;
        assert_eq!(number(&fixture, &format!("SELECT flags & 4 FROM {}", table(place))), 4, "{place:?}");
        assert_eq!(number(&fixture, "SELECT step * 10 + place FROM gristmill_task WHERE length(workflow) = 16"), 27, "{place:?}");
        fixture.store.cancel(&[new.id]).await.unwrap();
        if place.is_none() {
            fixture.clock.advance(Duration::from_secs(31));
            fixture.store.sweep(10).await.unwrap();
        }
        assert_eq!(number(&fixture, "SELECT max(flags) & 4 FROM gristmill_outcome WHERE ended <> 0"), 4, "{place:?}");
        assert_eq!(bad(&fixture).await, [""; 0], "{place:?}");
    }
}

#[tokio::test]
async fn an_end_that_is_owed_is_kept_though_nothing_would_be() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let mail = task(&fixture.env, "mail", Overrides { retention: Some(Retention::None), ..Overrides::default() });
    fixture.store.enqueue(vec![mail.clone()]).await.unwrap();
    let claimed = fixture.claim(worker, 1).await;
    fixture.raw().execute_batch(&format!("UPDATE gristmill_lease SET flags = {STRANGE}")).unwrap();
    assert_eq!(fixture.store.settle(vec![success(&claimed[0])]).await.unwrap(), [Settled::Done(State::Succeeded)]);
    assert_eq!(fixture.state(&mail).await, Some(State::Succeeded));
    assert_eq!(bad(&fixture).await, ["owed"]);
}

#[tokio::test]
async fn what_nobody_serves_keeps_the_place_in_line_that_it_was_given() {
    let fixture = Fixture::new();
    let ann = fixture.worker(&["a"]).await;
    let limited = |kind: &str| NewTask { hold: Hold { limited: true, ..Hold::NONE }, ..fixture.task(kind) };
    let held = [limited("b"), limited("a"), limited("b")];
    let plain = [fixture.task("b"), fixture.task("a")];
    let all: Vec<_> = held.iter().chain(&plain).cloned().collect();
    fixture.store.enqueue(all).await.unwrap();
    let admitted = [held[2].id, held[0].id];
    fixture.store.admit(&admitted).await.unwrap();
    assert_eq!(fixture.claim(ann, 5).await.len(), 1, "the rest is moved out of the way");
    assert_eq!(rows(&fixture, Some(Place::Parked)), 3);
    // Behind those that are parked, too: they come back to their places.
    fixture.store.admit(&[held[1].id]).await.unwrap();
    let last = fixture.task("a");
    fixture.store.enqueue(vec![last.clone()]).await.unwrap();
    assert_eq!(bad(&fixture).await, [""; 0]);
    let both = fixture.worker(&["a", "b"]).await;
    let claimed: Vec<_> = fixture.claim(both, 10).await.iter().map(|claimed| claimed.lease.id).collect();
    assert_eq!(claimed, [plain[0].id, held[2].id, held[0].id, held[1].id, last.id]);
}

#[tokio::test]
async fn a_place_that_was_given_in_line_is_shown_cancelled_and_put_back_like_any() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let limited = || NewTask { hold: Hold { limited: true, ..Hold::NONE }, ..fixture.task("mail") };
    let held = [limited(), limited(), limited()];
    fixture.store.enqueue(held.iter().cloned().chain([fixture.task("mail")]).collect()).await.unwrap();
    fixture.store.admit(&held.each_ref().map(|held| held.id)).await.unwrap();
    assert_eq!(number(&fixture, "SELECT count(*) FROM gristmill_ready WHERE task <> 0"), 3);
    assert_eq!(fixture.state(&held[0]).await, Some(State::Ready));
    assert_eq!(fixture.store.cancel(&[held[1].id]).await.unwrap(), [CancelOutcome::Cancelled]);
    let claimed = fixture.claim(worker, 4).await;
    assert_eq!(claimed[1..].iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [held[0].id, held[2].id]);
    let released = Settlement::new(claimed[1].lease, Ending::Released);
    assert_eq!(fixture.store.settle(vec![released]).await.unwrap(), [Settled::Done(State::Waiting)]);
    assert_eq!(fixture.store.retry(&[held[1].id]).await.unwrap(), [RetryOutcome::Ready]);
    assert_eq!(fixture.state(&held[1]).await, Some(State::Waiting), "its limit holds for a retry, too");
    assert_eq!(rows(&fixture, Some(Place::Ready)), 0);
    assert_eq!(number(&fixture, "SELECT count(*) FROM gristmill_moved"), 0);
}

#[tokio::test]
async fn a_key_that_is_none_of_ours_is_no_lease() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    fixture.store.enqueue(vec![fixture.task("mail")]).await.unwrap();
    let mut claimed = fixture.claim(worker, 1).await.remove(0);
    claimed.lease.key = LeaseKey::new(b"delivery tag 7").unwrap();
    assert_eq!(fixture.store.settle(vec![success(&claimed)]).await.unwrap(), [Settled::LeaseLost]);
    assert_eq!(fixture.store.start(&[claimed.lease]).await.unwrap(), [false]);
    let note = Note { lease: claimed.lease, logs: None, progress: None };
    assert_eq!(fixture.store.note(vec![note]).await.unwrap(), [false]);
}

#[tokio::test]
async fn what_older_programs_write_stands_where_it_arrived() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let (first, second) = (fixture.task("mail"), fixture.task("mail"));
    fixture.store.enqueue(vec![first.clone(), second.clone()]).await.unwrap();
    // As the first versions put a task back, and took it out.
    let raw = fixture.raw();
    raw.execute_batch(
        "DELETE FROM gristmill_ready WHERE queue = 1 AND priority = 5 AND seq = 1;
         INSERT INTO gristmill_ready(queue, priority, seq, kind, attempt, claim_no, crashes) VALUES (1, 5, 1, 1, 0, 0, 0);
         DELETE FROM gristmill_ready WHERE queue = 1 AND priority = 5 AND seq = 2;
         INSERT INTO gristmill_parked(queue, kind, priority, seq, attempt, claim_no, crashes) VALUES (1, 1, 5, 2, 0, 0, 0);",
    )
    .unwrap();
    for task in [&first, &second] {
        assert_eq!(fixture.state(task).await, Some(State::Ready));
    }
    fixture.store.sweep(10).await.unwrap();
    let claimed = fixture.claim(worker, 10).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [first.id, second.id]);
    // A lease and an end of theirs have no flags.
    raw.execute_batch("UPDATE gristmill_lease SET started = 1").unwrap();
    crate::common::succeed(&fixture.store, &claimed).await;
}
