//! Schedules and the lead among beats.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gristmill_core::limits::{BATCH_TASKS_MAX, NAME_BYTES_MAX};
use gristmill_core::{
    Advance, Advanced, Edit, Lead, NewSchedule, NewTask, Schedule, ScheduleEdit, StoreError, StoreErrorKind, Tick, TickOutcome,
    TickRecord, Timestamp, Wake,
};

use super::bench::{ALL, Bench, secs};
use super::list;
use super::wait::woken;

list![
    a_schedule_is_kept_as_it_was_put,
    any_text_and_any_name_come_back,
    an_edit_decides_about_each_as_it_stands,
    an_edit_that_refuses_writes_nothing,
    an_edit_that_panics_harms_nobody,
    bad_batches_of_edits_are_refused,
    a_schedule_that_is_made_anew_has_a_new_revision,
    schedules_are_listed_by_name_and_owner,
    what_is_due_comes_in_order,
    two_edits_at_once_both_count,
    one_beat_leads_until_its_lease_ends,
    a_lead_from_before_the_clock_was_set_back_is_over,
    an_edit_wakes_whoever_waits_for_times,
    an_edit_before_the_wait_is_not_waited_for,
    schedules_survive,
];

pub(super) const NEVER: Duration = Duration::from_secs(3600);
/// Often enough that most orders of two sides come up.
pub(super) const ROUNDS: usize = 20;

/// Every field, and what the store adds of its own; a second put replaces it all and keeps when it was first made.
pub async fn a_schedule_is_kept_as_it_was_put(bench: Bench<'_>) {
    assert_eq!(get(&bench, "a").await, None);
    let made_at = bench.env.now();
    let new = NewSchedule {
        owner: Some("app".to_owned()),
        body: r#"{"every": "10m"}"#.to_owned(),
        due_at: Some(made_at),
        memory: "[1, 2.50]".to_owned(),
    };
    let first = put(&bench, "a", new.clone()).await;
    let Schedule { name, owner, body, due_at, memory, created_at, edited_at, .. } = first.clone();
    assert_eq!((name.as_str(), created_at, edited_at), ("a", made_at, made_at));
    assert_eq!(NewSchedule { owner, body, due_at, memory }, new);
    assert_eq!(get(&bench, "a").await, Some(first.clone()));
    bench.pass(secs(5));
    let second = put(&bench, "a", plan(None)).await;
    assert!(second.revision > first.revision, "every change has a revision of its own");
    assert_eq!((second.created_at, second.edited_at), (made_at, bench.env.now()));
    assert_eq!((second.owner.as_deref(), second.due_at, second.body.as_str()), (None, None, "{}"));
    assert_eq!(get(&bench, "a").await, Some(second));
}

/// Names and owners may be anything that is a name, and texts any JSON, byte by byte.
pub async fn any_text_and_any_name_come_back(bench: Bench<'_>) {
    let long = "n".repeat(NAME_BYTES_MAX);
    let names = ["'; DROP TABLE schedule; --", "\"", "%_", " ", "график", "A", "a", "a ", "{}", long.as_str()];
    let large = format!("[\"{}\"]", "b".repeat(256 * 1024));
    let texts = [r#""\u0000""#, r#"{"b": 1, "a": 1, "b": 1.0e2}"#, " [ 1 ] ", r#""\ud83d\ude00😀\\""#, "null", large.as_str()];
    for (n, name) in names.iter().enumerate() {
        let (body, memory) = (texts[n % texts.len()].to_owned(), texts[(n + 1) % texts.len()].to_owned());
        let new = NewSchedule { owner: Some((*name).to_owned()), body, memory, due_at: Some(bench.env.now()) };
        let put = put(&bench, name, new.clone()).await;
        assert!((&put.body, &put.memory, &put.owner) == (&new.body, &new.memory, &new.owner), "{name:?}");
        assert!(get(&bench, name).await == Some(put.clone()), "{name:?} came back changed");
        let owned = bench.store.schedules(Some(name), None, ALL).await.expect("schedules");
        assert_eq!(owned.iter().map(|schedule| schedule.name.as_str()).collect::<Vec<_>>(), [*name]);
        let written = Advance { memory: new.body.clone(), ..advance(&put, vec![tick(bench.env.now(), None)]) };
        assert_eq!(advance_one(&bench, written).await, Advanced::Done(vec![true]), "{name:?}");
        assert!(get(&bench, name).await.is_some_and(|kept| kept.memory == new.body), "{name:?} came back changed");
        assert_eq!(ticks(&bench, name).await.len(), 1, "{name:?}");
    }
    let listed = names_of(&bench.store.schedules(None, None, ALL).await.expect("schedules"));
    assert_eq!(listed, names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
}

/// Each is shown to the edit as it is, with the store's time, and each gets what the edit says.
pub async fn an_edit_decides_about_each_as_it_stands(bench: Bench<'_>) {
    let (kept, removed) = (put(&bench, "kept", plan(None)).await, put(&bench, "removed", plan(None)).await);
    bench.pass(secs(1));
    let (now, expected) = (bench.env.now(), [kept.clone(), removed]);
    let edit: ScheduleEdit = Arc::new(move |name, found, at| {
        assert_eq!(found, expected.iter().find(|known| known.name == name), "{name} is shown as it stands");
        assert_eq!(at, now, "by the store's clock");
        Ok(match name {
            "kept" => Edit::Keep,
            "new" => Edit::Put(plan(None)),
            _ => Edit::Remove,
        })
    });
    let names = ["removed", "new", "absent", "kept"].map(str::to_owned);
    let standing = bench.store.edit_schedules(&names, &edit).await.expect("edit");
    assert_eq!(standing.len(), names.len(), "one answer each, in order");
    assert_eq!((&standing[0], &standing[2], &standing[3]), (&None, &None, &Some(kept)));
    for (name, standing) in names.iter().zip(standing) {
        assert_eq!(get(&bench, name).await, standing, "{name}");
    }
    assert_eq!(bench.store.edit_schedules(&[], &edit).await.expect("edit"), []);
}

/// All or nothing: what the edit decided before it refused is not written, and the caller hears the refusal.
pub async fn an_edit_that_refuses_writes_nothing(bench: Bench<'_>) {
    let before = put(&bench, "b", plan(None)).await;
    let edit: ScheduleEdit = Arc::new(|name, _, _| match name {
        "a" => Ok(Edit::Put(plan(None))),
        "b" => Ok(Edit::Remove),
        _ => Err(StoreError::new(StoreErrorKind::Invalid, "no such zone")),
    });
    let refused = bench.store.edit_schedules(&["a", "b", "c"].map(str::to_owned), &edit).await.expect_err("refused");
    assert_eq!((refused.kind(), refused.to_string().as_str()), (StoreErrorKind::Invalid, "no such zone"));
    assert_eq!((get(&bench, "a").await, get(&bench, "b").await), (None, Some(before)));
}

/// A mistake in one edit is that edit's error, and the store goes on.
pub async fn an_edit_that_panics_harms_nobody(bench: Bench<'_>) {
    let edit: ScheduleEdit = Arc::new(|name, _, _| match name {
        "a" => Ok(Edit::Put(plan(None))),
        _ => panic!("a mistake in an edit"),
    });
    let refused = bench.store.edit_schedules(&["a", "b"].map(str::to_owned), &edit).await.expect_err("an error");
    assert_eq!(refused.kind(), StoreErrorKind::Invalid);
    assert_eq!(get(&bench, "a").await, None);
    put(&bench, "a", plan(None)).await;
}

/// Too many, one twice, or what is no name; and nothing is written.
pub async fn bad_batches_of_edits_are_refused(bench: Bench<'_>) {
    let many: Vec<_> = (0..=BATCH_TASKS_MAX).map(|n| format!("s{n:04}")).collect();
    let twice = ["a", "b", "a"].map(str::to_owned).to_vec();
    let bad = ["", "a\nb", "a\0b", &"n".repeat(NAME_BYTES_MAX + 1)].map(|name| vec!["a".to_owned(), name.to_owned()]);
    for names in bad.iter().chain([&many, &twice]) {
        let refused = bench.store.edit_schedules(names, &putting(plan(None))).await.expect_err("refused");
        assert_eq!(refused.kind(), StoreErrorKind::Invalid);
    }
    assert_eq!(bench.store.schedules(None, None, ALL).await.expect("schedules"), []);
    let most = &many[..BATCH_TASKS_MAX];
    assert_eq!(bench.store.edit_schedules(most, &putting(plan(None))).await.expect("edit").len(), BATCH_TASKS_MAX);
}

/// What a beat decided about the schedule that was there before is not written to its successor.
pub async fn a_schedule_that_is_made_anew_has_a_new_revision(bench: Bench<'_>) {
    let now = bench.env.now();
    let old = put(&bench, "a", plan(Some(now))).await;
    remove(&bench, "a").await;
    let new = put(&bench, "a", plan(Some(now))).await;
    assert!(new.revision > old.revision);
    assert_eq!(advance_one(&bench, advance(&old, vec![tick(now, Some(bench.task()))])).await, Advanced::Stale);
    assert_eq!(get(&bench, "a").await, Some(new));
}

/// Page by page in the order of bytes, whoever owns them or of one owner.
pub async fn schedules_are_listed_by_name_and_owner(bench: Bench<'_>) {
    for (name, owner) in [("b", Some("x")), ("Z", None), ("é", Some("x")), ("a", Some("y")), ("c", Some("x"))] {
        put(&bench, name, NewSchedule { owner: owner.map(str::to_owned), ..plan(None) }).await;
    }
    let page =
        async |owner, after, limit| names_of(&bench.store.schedules(owner, after, limit).await.expect("schedules")).join(" ");
    assert_eq!(page(None, None, ALL).await, "Z a b c é");
    assert_eq!(page(None, Some("a"), 2).await, "b c");
    assert_eq!(page(None, Some("bb"), usize::MAX).await, "c é", "behind a name that is not there");
    assert_eq!(page(Some("x"), None, 2).await, "b c");
    assert_eq!(page(Some("x"), Some("c"), 2).await, "é");
    assert_eq!(page(Some("nobody"), None, ALL).await, "");
}

/// By the store's clock the longest due first, and how long until the next.
pub async fn what_is_due_comes_in_order(bench: Bench<'_>) {
    let due = async |limit| {
        let due = bench.store.due_schedules(limit).await.expect("due");
        assert_eq!(due.now, bench.env.now(), "by the store's clock");
        (names_of(&due.schedules).join(" "), due.next_due)
    };
    assert_eq!(due(ALL).await, (String::new(), None));
    let start = bench.env.now();
    for (name, after) in [("b", Some(10)), ("late", Some(30)), ("a", Some(10)), ("paused", None), ("z", Some(5))] {
        put(&bench, name, plan(after.map(|after| start.saturating_add(secs(after))))).await;
    }
    assert_eq!(due(ALL).await, (String::new(), Some(secs(5))));
    bench.pass(secs(10));
    assert_eq!(due(ALL).await, ("z a b".to_owned(), Some(secs(20))));
    assert_eq!(due(2).await, ("z a".to_owned(), Some(Duration::ZERO)), "more is due");
    assert_eq!(due(3).await, ("z a b".to_owned(), Some(secs(20))));
    remove(&bench, "late").await;
    assert_eq!(due(usize::MAX).await, ("z a b".to_owned(), None));
    put(&bench, "z", plan(None)).await;
    assert_eq!(due(ALL).await.0, "a b");
}

/// Two edits of the same schedules at once, in opposite orders: neither is lost, and neither waits for ever.
pub async fn two_edits_at_once_both_count(bench: Bench<'_>) {
    let other = bench.other().await;
    let one_more: ScheduleEdit = Arc::new(|_, found, _| {
        let before: usize = found.map_or(0, |found| found.memory.parse().unwrap_or_default());
        Ok(Edit::Put(NewSchedule { memory: (before + 1).to_string(), ..plan(None) }))
    });
    let (names, reversed) = (["a", "b", "c"].map(str::to_owned), ["c", "b", "a"].map(str::to_owned));
    for _ in 0..ROUNDS {
        let edits = tokio::join!(bench.store.edit_schedules(&names, &one_more), other.edit_schedules(&reversed, &one_more));
        let revisions = |edited: Result<Vec<Option<Schedule>>, StoreError>| -> BTreeSet<i64> {
            edited.expect("edit").into_iter().flatten().map(|schedule| schedule.revision).collect()
        };
        let (a, b) = (revisions(edits.0), revisions(edits.1));
        assert!(a.is_disjoint(&b), "each change has a revision of its own");
    }
    for name in &names {
        assert_eq!(get(&bench, name).await.expect("it is there").memory, (2 * ROUNDS).to_string());
    }
}

/// By the store's clock; another one gets it when the lease has ended or was given up, and the term says so.
pub async fn one_beat_leads_until_its_lease_ends(bench: Bench<'_>) {
    let (a, b) = (bench.env.worker_id(), bench.env.worker_id());
    let lead = async |beat| bench.store.lead_beats(beat, secs(10)).await.expect("lead");
    let resign = async |beat| bench.store.resign_beat(beat).await.expect("resign");
    let (leads, follows) = (|term| Lead { leads: true, term }, |term| Lead { leads: false, term });
    resign(a).await;
    assert_eq!((lead(a).await, lead(b).await), (leads(1), follows(1)));
    bench.pass(secs(9));
    assert_eq!((lead(b).await, lead(a).await), (follows(1), leads(1)), "extended");
    bench.pass(secs(9));
    assert_eq!(lead(b).await, follows(1));
    bench.pass(secs(1));
    assert_eq!((lead(b).await, lead(a).await), (leads(2), follows(2)), "it had ended");
    resign(a).await;
    assert_eq!((lead(a).await, lead(b).await), (follows(2), leads(2)), "who has no lead can't give it up");
    resign(b).await;
    assert_eq!((lead(a).await, lead(b).await), (leads(3), follows(3)));
    resign(a).await;
    assert_eq!(lead(a).await, leads(3), "it has passed to nobody");
}

/// A leader that died before the clock was set back by an hour does not lead for that hour.
pub async fn a_lead_from_before_the_clock_was_set_back_is_over(bench: Bench<'_>) {
    let (a, b) = (bench.env.worker_id(), bench.env.worker_id());
    let lead = async |beat| bench.store.lead_beats(beat, secs(10)).await.expect("lead");
    assert!(lead(a).await.leads);
    bench.time.set(bench.env.now().saturating_sub(secs(3600)));
    assert_eq!(lead(b).await, Lead { leads: true, term: 2 });
    assert_eq!(lead(a).await, Lead { leads: false, term: 2 });
}

/// A beat that sleeps until its next tick hears of what is new, changed and gone, also from another process.
pub async fn an_edit_wakes_whoever_waits_for_times(bench: Bench<'_>) {
    let other = bench.other().await;
    for _ in 0..2 {
        woken(&bench, Wake::Scheduled, async {
            put(&bench, "a", plan(Some(bench.env.now()))).await;
        })
        .await;
    }
    woken(&bench, Wake::Scheduled, remove(&bench, "a")).await;
    woken(&bench, Wake::Scheduled, async {
        let edit = putting(plan(None));
        other.edit_schedules(&["a".to_owned()], &edit).await.expect("edit");
    })
    .await;
}

/// What fell between the look and the wait is not waited for again.
pub async fn an_edit_before_the_wait_is_not_waited_for(bench: Bench<'_>) {
    bench.store.due_schedules(ALL).await.expect("due");
    put(&bench, "a", plan(Some(bench.env.now()))).await;
    bench.store.wait(Wake::Scheduled, NEVER).await;
}

/// Schedules, ticks, revisions and the lead are there after the process died.
pub async fn schedules_survive(bench: Bench<'_>) {
    let (now, beat) = (bench.env.now(), bench.env.worker_id());
    let first = put(&bench, "a", plan(Some(now))).await;
    advance_one(&bench, advance(&first, vec![tick(now, Some(bench.task()))])).await;
    bench.store.lead_beats(beat, secs(10)).await.expect("lead");
    let (schedule, history) = (get(&bench, "a").await, ticks(&bench, "a").await);
    let bench = bench.reopen().await;
    assert_eq!((get(&bench, "a").await, ticks(&bench, "a").await), (schedule.clone(), history));
    let another = bench.env.worker_id();
    let lead = bench.store.lead_beats(another, secs(10)).await.expect("lead");
    assert_eq!(lead, Lead { leads: false, term: 1 });
    remove(&bench, "a").await;
    let anew = put(&bench, "a", plan(None)).await;
    assert!(schedule.is_some_and(|schedule| anew.revision > schedule.revision));
}

pub(super) fn plan(due_at: Option<Timestamp>) -> NewSchedule {
    NewSchedule { owner: None, body: "{}".to_owned(), due_at, memory: "null".to_owned() }
}

pub(super) fn putting(new: NewSchedule) -> ScheduleEdit {
    Arc::new(move |_, _, _| Ok(Edit::Put(new.clone())))
}

pub(super) fn tick(at: Timestamp, task: Option<NewTask>) -> Tick {
    let outcome = if task.is_some() { TickOutcome::Enqueued } else { TickOutcome::Skipped };
    Tick { at, task, outcome, reason: None }
}

/// Writes these ticks, and leaves the schedule due when it was.
pub(super) fn advance(schedule: &Schedule, ticks: Vec<Tick>) -> Advance {
    let Schedule { name, revision, due_at, memory, .. } = schedule.clone();
    Advance { name, revision, due_at, memory, ticks, cancel: Vec::new() }
}

fn names_of(schedules: &[Schedule]) -> Vec<String> {
    schedules.iter().map(|schedule| schedule.name.clone()).collect()
}

pub(super) async fn put(bench: &Bench<'_>, name: &str, new: NewSchedule) -> Schedule {
    let edited = bench.store.edit_schedules(&[name.to_owned()], &putting(new)).await.expect("edit");
    edited.into_iter().flatten().next().expect("what was put is there")
}

pub(super) async fn remove(bench: &Bench<'_>, name: &str) {
    let edit: ScheduleEdit = Arc::new(|_, _, _| Ok(Edit::Remove));
    let edited = bench.store.edit_schedules(&[name.to_owned()], &edit).await.expect("edit");
    assert_eq!(edited, [None]);
}

pub(super) async fn get(bench: &Bench<'_>, name: &str) -> Option<Schedule> {
    bench.store.schedule(name).await.expect("schedule")
}

pub(super) async fn ticks(bench: &Bench<'_>, name: &str) -> Vec<TickRecord> {
    bench.store.ticks(name, None, ALL).await.expect("ticks").items
}

pub(super) async fn advance_one(bench: &Bench<'_>, advance: Advance) -> Advanced {
    let mut advanced = bench.store.advance_schedules(vec![advance]).await.expect("advance");
    assert_eq!(advanced.len(), 1, "one answer an advance");
    advanced.remove(0)
}
