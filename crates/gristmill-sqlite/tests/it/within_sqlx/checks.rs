use std::sync::Arc;
use std::time::Duration;

use gristmill_core::durable::Sent;
use gristmill_core::unique::{OnConflict, UniqueKey, Until};
use gristmill_core::workflow::{Needs, Role, Started, StepDraft, WorkflowState, Workflows};
use gristmill_core::{
    Edit, EnqueueOutcome, Hold, NewSchedule, NewTask, Overrides, Retention, ScheduleEdit, ScheduleWithin, Schedules, SendWithin,
    Source, StartWithin, State, Store, StoreErrorKind, TaskMeta, Wake, Within,
};

use super::sqlx::{Connection, SqliteConnection};

use crate::common::{Fixture, task};
use crate::durable::event;

/// Far beyond what any wake-up takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn tasks_live_and_die_with_the_callers_transaction() {
    let fixture = Fixture::new();
    let mut conn = SqliteConnection::connect(&format!("sqlite:{}", fixture.store.path().display())).await.unwrap();
    let (kept, dropped) = (fixture.task("mail"), fixture.task("mail"));
    let mut other = kept.clone();
    other.args = "{}".to_owned();
    let mut later = fixture.task("mail");
    later.delay = std::time::Duration::from_secs(3600);
    later.expires = Some(std::time::Duration::from_secs(5));

    let mut tx = conn.begin().await.unwrap();
    let tasks = vec![kept.clone(), kept.clone(), other, later.clone()];
    let outcomes = Within::insert(&mut tx, &*fixture.store, tasks).await.unwrap();
    use EnqueueOutcome::{Conflict, Created, Exists};
    assert_eq!(outcomes, [Created, Exists(kept.id), Conflict, Created]);
    assert_eq!(fixture.state(&kept).await, None, "not before the commit");
    tx.commit().await.unwrap();
    assert_eq!(fixture.state(&kept).await, Some(State::Ready));
    assert_eq!(fixture.state(&later).await, Some(State::Scheduled));

    let mut tx = conn.begin().await.unwrap();
    assert_eq!(Within::insert(&mut *tx, &*fixture.store, vec![dropped.clone()]).await.unwrap(), [Created]);
    tx.rollback().await.unwrap();
    assert_eq!(fixture.state(&dropped).await, None);
}

#[tokio::test]
async fn a_key_of_its_own_lives_and_dies_with_the_callers_transaction() {
    let fixture = Fixture::new();
    let mut conn = SqliteConnection::connect(&format!("sqlite:{}", fixture.store.path().display())).await.unwrap();
    let keyed = || {
        let unique = UniqueKey {
            key: "a".to_owned(),
            until: Until::Ended,
            on_conflict: OnConflict::Existing,
            debounce: None,
            merge: None,
        };
        let meta = Some(Box::new(TaskMeta { unique: Some(unique), ..TaskMeta::default() }));
        NewTask { meta, ..fixture.task("mail") }
    };
    use EnqueueOutcome::{Created, Exists};
    let (dropped, kept) = (keyed(), keyed());
    let mut tx = conn.begin().await.unwrap();
    let outcomes = Within::insert(&mut tx, &*fixture.store, vec![dropped.clone(), keyed(), dropped.clone()]).await.unwrap();
    assert_eq!(outcomes, [Created, Exists(dropped.id), Exists(dropped.id)]);
    tx.rollback().await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    assert_eq!(Within::insert(&mut tx, &*fixture.store, vec![kept.clone()]).await.unwrap(), [Created]);
    tx.commit().await.unwrap();
    assert_eq!(fixture.store.enqueue(vec![keyed()]).await.unwrap(), [Exists(kept.id)]);
    assert_eq!(Within::insert(&mut conn, &*fixture.store, vec![keyed()]).await.unwrap(), [Exists(kept.id)]);
}

/// One plan, which both drivers run.
#[tokio::test]
async fn it_writes_what_the_store_writes() {
    let (ours, theirs) = (Fixture::new(), Fixture::new());
    let hold = |blocked, limited| NewTask { hold: Hold { blocked, limited }, ..ours.task("held") };
    let long = Duration::from_secs(3600);
    let over = Overrides { tags: vec!["t".to_owned()], expires: Some(long), priority: Some(2), ..Overrides::default() };
    let mut tasks =
        vec![ours.task("mail"), hold(true, false), hold(false, true), hold(true, true), task(&ours.env, "tagged", over)];
    tasks.push(NewTask { delay: long, queue: "other".to_owned(), retention: Retention::Forever, ..ours.task("later") });
    tasks.push(tasks[0].clone());
    tasks.push(NewTask { args: "{}".to_owned(), ..tasks[0].clone() });
    let outcomes = ours.store.enqueue(tasks.clone()).await.unwrap();
    let mut conn = SqliteConnection::connect(&format!("sqlite:{}", theirs.store.path().display())).await.unwrap();
    assert_eq!(Within::insert(&mut conn, &*theirs.store, tasks).await.unwrap(), outcomes);
    for table in ["queue", "kind", "task", "ready", "scheduled", "waiting", "blocked", "expiry"] {
        let dump = |fixture: &Fixture| -> Vec<String> {
            let raw = fixture.raw();
            let mut rows = raw.prepare(&format!("SELECT * FROM gristmill_{table}")).unwrap();
            let columns = rows.column_count();
            let row = |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get_ref(at).map(|it| format!("{it:?} "))).collect();
            rows.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
        };
        assert_eq!(dump(&ours), dump(&theirs), "{table}");
        assert!(!dump(&ours).is_empty(), "{table}");
    }
}

/// A deferred transaction that has read can't write any more once somebody else has, and waiting would not help.
#[tokio::test]
async fn a_transaction_that_has_read_too_early_is_told_how_to_begin() {
    let fixture = Fixture::new();
    let mut conn = SqliteConnection::connect(&format!("sqlite:{}", fixture.store.path().display())).await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    super::sqlx::query("SELECT count(*) FROM gristmill_task").execute(&mut *tx).await.unwrap();
    fixture.store.enqueue(vec![fixture.task("mail")]).await.unwrap();
    let error = Within::insert(&mut tx, &*fixture.store, vec![fixture.task("mail")]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Busy);
    assert!(error.to_string().contains("`BEGIN IMMEDIATE`"), "{error}");
}

#[tokio::test]
async fn a_database_without_our_tables_is_named_as_such() {
    let fixture = Fixture::new();
    let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let error = Within::insert(&mut conn, &*fixture.store, vec![fixture.task("mail")]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotOurs);
    assert!(error.to_string().contains("no tables of gristmill"), "{error}");
}

#[tokio::test]
async fn an_edit_of_a_schedule_lives_and_dies_with_the_callers_transaction() {
    let fixture = Fixture::new();
    let mut conn = SqliteConnection::connect(&format!("sqlite:{}", fixture.store.path().display())).await.unwrap();
    let due_at = Some(fixture.env.now());
    let new = NewSchedule { owner: Some("app".to_owned()), body: "{}".to_owned(), due_at, memory: "[0]".to_owned() };
    let putting: ScheduleEdit = Arc::new(move |_, _, _| Ok(Edit::Put(new.clone())));
    let name = || "report".to_owned();

    let mut tx = conn.begin().await.unwrap();
    let put = tx.edit_schedule(&*fixture.store, name(), putting.clone()).await.unwrap();
    assert_eq!(fixture.store.schedule("report").await.unwrap(), None, "not before the commit");
    tx.commit().await.unwrap();
    assert_eq!(fixture.store.schedule("report").await.unwrap(), put);

    fixture.clock.advance(std::time::Duration::from_secs(1));
    let shown = put.clone();
    let removing: ScheduleEdit = Arc::new(move |_, found, _| {
        assert_eq!(found, shown.as_ref(), "it is shown as it stands");
        Ok(Edit::Remove)
    });
    let mut tx = conn.begin().await.unwrap();
    assert_eq!(tx.edit_schedule(&*fixture.store, name(), removing).await.unwrap(), None);
    tx.rollback().await.unwrap();
    assert_eq!(fixture.store.schedule("report").await.unwrap(), put);

    let again = conn.edit_schedule(&*fixture.store, name(), putting.clone()).await.unwrap().unwrap();
    let put = put.unwrap();
    assert!(again.revision > put.revision);
    assert_eq!((again.created_at, again.edited_at), (put.created_at, fixture.env.now()));
    assert_eq!(fixture.store.schedule("report").await.unwrap(), Some(again));

    let mut elsewhere = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let error = elsewhere.edit_schedule(&*fixture.store, name(), putting).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotOurs);
}

#[tokio::test]
async fn a_start_lives_and_dies_with_the_callers_transaction() {
    let fixture = Fixture::new();
    let group = |name: &str, members| StepDraft::group(name, "mail", vec![(); members]);
    let after = StepDraft { after: vec![("g".to_owned(), Needs::Success)], ..StepDraft::one("b", "mail", ()) };
    let never = StepDraft { role: Role::Handler(Needs::Failure), ..StepDraft::one("h", "mail", ()) };
    let new = fixture.workflow(vec![group("g", 2), after]);
    let over = fixture.workflow(vec![group("g", 0), never]);
    let mut conn = SqliteConnection::connect(&format!("sqlite:{}", fixture.store.path().display())).await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    assert_eq!(tx.start_workflow(&*fixture.store, new.clone()).await.unwrap(), Started::Created);
    tx.rollback().await.unwrap();
    assert_eq!(fixture.store.workflow(new.id).await.unwrap(), None);

    let mut tx = conn.begin().await.unwrap();
    assert_eq!(tx.start_workflow(&*fixture.store, new.clone()).await.unwrap(), Started::Created);
    assert_eq!(tx.start_workflow(&*fixture.store, new.clone()).await.unwrap(), Started::Exists(new.id));
    let mut taken = fixture.workflow(vec![group("g", 2)]);
    taken.members[1].id = new.members[0].id;
    assert_eq!(tx.start_workflow(&*fixture.store, taken.clone()).await.unwrap(), Started::Conflict);
    assert_eq!(tx.start_workflow(&*fixture.store, over.clone()).await.unwrap(), Started::Created);
    tx.commit().await.unwrap();
    let states = new.members.iter().map(|member| member.id).collect::<Vec<_>>();
    let states = fixture.store.task_states(&states).await.unwrap();
    assert_eq!(states, [State::Ready, State::Ready, State::Blocked].map(Some));
    assert_eq!(fixture.store.workflow(taken.id).await.unwrap(), None);
    assert_eq!(fixture.store.get(taken.members[0].id).await.unwrap(), None, "all of it or nothing");
    // What it leaves to do is done by the next sweep.
    fixture.store.sweep(10).await.unwrap();
    assert_eq!(fixture.store.workflow(over.id).await.unwrap().unwrap().state, WorkflowState::Succeeded);
    assert_eq!(fixture.state(&over.members[0]).await, Some(State::Cancelled));

    let mut elsewhere = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let error = elsewhere.start_workflow(&*fixture.store, fixture.workflow(vec![])).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotOurs);
}

#[tokio::test]
async fn an_event_lives_and_dies_with_the_callers_transaction() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let id = fixture.waits_for(worker, "paid").await;
    let mut conn = SqliteConnection::connect(&format!("sqlite:{}", fixture.store.path().display())).await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    assert_eq!(tx.send_event(&*fixture.store, event("paid")).await.unwrap(), Sent::Stored);
    tx.rollback().await.unwrap();
    fixture.store.promote(10).await.unwrap();
    assert_eq!(fixture.state_of(id).await, State::Scheduled);

    let mut tx = conn.begin().await.unwrap();
    assert_eq!(tx.send_event(&*fixture.store, event("paid")).await.unwrap(), Sent::Stored);
    assert_eq!(SendWithin::send_event(&mut *tx, &*fixture.store, event("paid")).await.unwrap(), Sent::Exists);
    let wait = tokio::time::timeout(PATIENCE, fixture.store.wait(Wake::Scheduled, PATIENCE * 2));
    let (committed, woken) = tokio::join!(tx.commit(), wait);
    committed.unwrap();
    woken.expect("whoever sweeps is to tell those who wait");
    assert!(fixture.store.pending(&["default".to_owned()], Duration::ZERO).await.unwrap().scheduled);
    fixture.store.promote(10).await.unwrap();
    assert_eq!(fixture.state_of(id).await, State::Ready);

    let mut elsewhere = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let error = elsewhere.send_event(&*fixture.store, event("paid")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotOurs);
}
