use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{
    Advance, Advanced, Edit, NewSchedule, Schedule, ScheduleEdit, ScheduleWithin, Schedules, Source, State, StoreError,
    StoreErrorKind, Tick, TickOutcome, Timestamp, Wake, failpoint,
};
use gristmill_sqlite::Rusqlite;
use rusqlite::{Connection, TransactionBehavior};

use crate::common::{FAILPOINTS, Fixture};

fn putting(due_at: Option<Timestamp>) -> ScheduleEdit {
    let new = NewSchedule { owner: None, body: "{}".to_owned(), due_at, memory: "null".to_owned() };
    Arc::new(move |_, _, _| Ok(Edit::Put(new.clone())))
}

fn advance(fixture: &Fixture, schedule: &Schedule, due_at: Timestamp) -> Advance {
    let now = schedule.due_at.unwrap();
    let tick = Tick { at: now, task: Some(fixture.task("mail")), outcome: TickOutcome::Enqueued, reason: None };
    let Schedule { name, revision, memory, .. } = schedule.clone();
    Advance { name, revision, due_at: Some(due_at), memory, ticks: vec![tick], cancel: Vec::new() }
}

fn edit<W>(fixture: &Fixture, within: W, edit: &ScheduleEdit) -> Result<Option<Schedule>, StoreError>
where
    W: ScheduleWithin<Rusqlite, Doing<Option<Schedule>> = std::future::Ready<Result<Option<Schedule>, StoreError>>>,
{
    within.edit_schedule(&*fixture.store, "report".to_owned(), edit.clone()).into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_lives_and_dies_with_the_callers_transaction() {
    let fixture = Fixture::new();
    let mut conn = fixture.raw();
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let put = edit(&fixture, &tx, &putting(None)).unwrap();
    assert_eq!(fixture.store.schedule("report").await.unwrap(), None, "not before the commit");
    fixture.store.due_schedules(1).await.unwrap();
    tx.commit().unwrap();
    // An hour: the test would rather hang than pass without being woken.
    fixture.store.wait(Wake::Scheduled, Duration::from_secs(3600)).await;
    assert_eq!(fixture.store.schedule("report").await.unwrap(), put);

    let refusing: ScheduleEdit = Arc::new(|_, found, _| {
        assert!(found.is_some(), "it is shown as it stands");
        Err(StoreError::new(StoreErrorKind::Invalid, "no such zone"))
    });
    let removing: ScheduleEdit = Arc::new(|_, _, _| Ok(Edit::Remove));
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    let plain: &Connection = &conn;
    assert_eq!(edit(&fixture, plain, &refusing).unwrap_err().to_string(), "no such zone");
    assert_eq!(edit(&fixture, plain, &removing).unwrap(), None);
    conn.execute_batch("ROLLBACK").unwrap();
    assert_eq!(fixture.store.schedule("report").await.unwrap(), put);

    let elsewhere = Connection::open_in_memory().unwrap();
    assert_eq!(edit(&fixture, &elsewhere, &removing).unwrap_err().kind(), StoreErrorKind::NotOurs);
}

#[tokio::test]
async fn an_advance_that_fails_around_its_commit_is_nothing_or_a_lost_reply() {
    let _alone = FAILPOINTS.write().await;
    let fixture = Fixture::new();
    let (now, names) = (fixture.env.now(), ["report".to_owned()]);
    let schedule = fixture.store.edit_schedules(&names, &putting(Some(now))).await.unwrap().remove(0).unwrap();
    let first = advance(&fixture, &schedule, now);
    let task = first.ticks[0].task.clone().unwrap();

    failpoint::configure("advance.before_commit=error").unwrap();
    let error = fixture.store.advance_schedules(vec![first.clone()]).await.unwrap_err();
    assert_eq!(error.to_string(), "failpoint advance.before_commit");
    assert_eq!(fixture.store.schedule("report").await.unwrap(), Some(schedule));
    assert_eq!(fixture.state(&task).await, None, "nothing was written");

    failpoint::configure("advance.after_commit=error").unwrap();
    let error = fixture.store.advance_schedules(vec![first.clone()]).await.unwrap_err();
    assert_eq!(error.to_string(), "failpoint advance.after_commit");
    failpoint::configure("").unwrap();
    assert_eq!(fixture.state(&task).await, Some(State::Ready), "it was written, only the reply was lost");
    assert_eq!(fixture.store.advance_schedules(vec![first]).await.unwrap(), [Advanced::Stale]);

    let schedule = fixture.store.schedule("report").await.unwrap().unwrap();
    let again = fixture.store.advance_schedules(vec![advance(&fixture, &schedule, now)]).await.unwrap();
    assert_eq!(again, [Advanced::Done(vec![false])], "the tick has its task");
}

#[tokio::test]
async fn a_hundred_thousand_schedules_give_what_is_due_and_no_more() {
    const ALL: usize = 100_000;
    const A_SECOND: usize = 1_000;
    let _quiet = FAILPOINTS.read().await;
    let fixture = Fixture::with("synchronous=normal");
    let start = fixture.env.now();
    let due = |second: usize| start.saturating_add(Duration::from_secs(second as u64));
    for second in 0..ALL / A_SECOND {
        let names: Vec<_> = (0..A_SECOND).map(|n| format!("schedule-{second}-{n}")).collect();
        fixture.store.edit_schedules(&names, &putting(Some(due(second)))).await.unwrap();
    }
    let next_round = due(ALL / A_SECOND);
    for second in 0..5 {
        let found = fixture.store.due_schedules(A_SECOND).await.unwrap();
        assert!(found.schedules.iter().all(|schedule| schedule.due_at == Some(due(second))));
        assert_eq!((found.schedules.len(), found.next_due), (A_SECOND, Some(Duration::from_secs(1))));
        let advances = found.schedules.iter().map(|schedule| advance(&fixture, schedule, next_round)).collect();
        let advanced = fixture.store.advance_schedules(advances).await.unwrap();
        assert_eq!(advanced, vec![Advanced::Done(vec![true]); A_SECOND]);
        fixture.clock.advance(Duration::from_secs(1));
    }
}
