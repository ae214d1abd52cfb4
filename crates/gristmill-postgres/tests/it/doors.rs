//! One door in, one door out: what core decides about places and ends, and what SQL writes, are the same; and no place is forgotten.

use std::sync::Arc;
use std::time::Duration;

use gristmill_core::kit::encode::keep_until_of;
use gristmill_core::workflow::{StepDraft, Workflows as _};
use gristmill_core::{
    CancelOutcome, Claim, Claimed, Ending, Env, Flags, Hold, Membership, NewTask, Note, Overrides, Place, Retention,
    RetryOutcome, Settled, Settlement, Severity, Source, Standing, State, Store, TaskId, TaskMeta, Timestamp, VirtualTime,
    Wanted, WorkerId, WorkerSpec, WorkflowId, ended, place,
};
use gristmill_postgres::PostgresStore;
use tokio_postgres::Client;

use crate::common::{Schema, client, step, task, workflow};

const DAY: Duration = Duration::from_secs(86_400);
/// 2027-01-15 08:00.
const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// A flag of a version that is yet to come.
const STRANGE: i32 = 1 << 20;
const MEMBER: i32 = Flags::MEMBER.bits();

struct House {
    schema: Schema,
    env: Env,
    time: VirtualTime,
    store: Arc<PostgresStore>,
    sql: Client,
    worker: WorkerId,
}

impl House {
    async fn new() -> Self {
        let schema = Schema::new();
        let (env, time) = Env::virtual_time(START, 7);
        let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
        let sql = client().await;
        sql.batch_execute(&format!("SET search_path = {}", schema.0)).await.unwrap();
        let worker = env.worker_id();
        let house = Self { schema, env, time, store, sql, worker };
        house.enter(worker, "mail").await;
        house
    }

    async fn enter(&self, id: WorkerId, kind: &str) {
        let spec = WorkerSpec {
            id,
            name: "w".to_owned(),
            lease: 400 * DAY,
            kinds: vec![kind.into()],
            queues: [("default".to_owned(), 1)].into(),
            version: String::new(),
        };
        self.store.enter(&spec).await.unwrap();
    }

    fn task(&self, hold: Hold) -> NewTask {
        let over = Overrides { retention: Some(Retention::For(DAY)), ..Overrides::default() };
        NewTask { hold, ..task(&self.env, "mail", over) }
    }

    async fn add(&self, task: NewTask) -> TaskId {
        let id = task.id;
        self.store.enqueue(vec![task]).await.unwrap();
        id
    }

    async fn claim(&self, limit: usize) -> Vec<Claimed> {
        let wanted = vec![Wanted::new("default", limit)];
        let claim = Claim { worker: self.worker, fence: self.env.fence(), wanted, again: false };
        self.store.claim(&claim).await.unwrap()
    }

    async fn settle(&self, settlement: Settlement) -> Settled {
        self.store.settle(vec![settlement]).await.unwrap()[0]
    }

    async fn state(&self, id: TaskId) -> Option<State> {
        self.store.get(id).await.unwrap().map(|task| task.state)
    }

    /// A new task that waits in this place.
    async fn put(&self, place: Place) -> TaskId {
        let plain = self.task(Hold::NONE);
        match place {
            Place::Blocked => self.add(NewTask { hold: Hold { blocked: true, limited: false }, ..plain }).await,
            Place::Waiting => self.add(NewTask { hold: Hold { blocked: false, limited: true }, ..plain }).await,
            Place::Scheduled => self.add(NewTask { delay: 300 * DAY, ..plain }).await,
            Place::Ready => self.add(plain).await,
            Place::Parked => {
                let id = self.add(NewTask { kind: "nobody's".to_owned(), ..plain }).await;
                self.store.sweep(1_000).await.unwrap();
                id
            }
        }
    }

    /// In how many tables a task waits, by name.
    async fn tables_of(&self, id: TaskId) -> Vec<&'static str> {
        let mut found = Vec::new();
        for table in ["blocked", "scheduled", "waiting", "ready", "parked", "lease"] {
            let rows = self.sql.query(&format!("SELECT FROM {table} WHERE id = $1"), &[&id.as_uuid()]).await.unwrap();
            found.extend(rows.iter().map(|_| table));
        }
        found
    }
}

fn table(place: Place) -> &'static str {
    match place {
        Place::Blocked => "blocked",
        Place::Scheduled => "scheduled",
        Place::Waiting => "waiting",
        Place::Ready => "ready",
        Place::Parked => "parked",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_tasks_go_where_core_says_by_both_ways() {
    let house = House::new().await;
    let bits = [false, true];
    for (blocked, early, limited) in
        bits.into_iter().flat_map(|a| bits.map(|b| (a, b))).flat_map(|(a, b)| bits.map(|c| (a, b, c)))
    {
        let expected = place(Standing { blocked, early, limited, unserved: false });
        for in_transaction in bits {
            let delay = if early { DAY } else { Duration::ZERO };
            // Past by both clocks: the function goes by the server's, and this test has its own.
            let run_at = (!early).then_some(Timestamp::MIN);
            let new = NewTask { delay, run_at, ..house.task(Hold { blocked, limited }) };
            let id = new.id;
            if in_transaction {
                let store: Arc<dyn Store> = house.store.clone();
                gristmill_core::Within::<gristmill_postgres::TokioPostgres>::insert(&house.sql, &*store, vec![new])
                    .await
                    .unwrap();
            } else {
                house.add(new).await;
            }
            let found = house.tables_of(id).await;
            assert_eq!(found, [table(expected)], "{blocked} {early} {limited} in a transaction: {in_transaction}");
            assert_eq!(house.state(id).await, Some(expected.state()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_anywhere_or_runs_outlives_its_day() {
    let mut house = House::new().await;
    let mut waits = Vec::new();
    for place in Place::ALL {
        waits.push((house.put(place).await, table(place)));
    }
    // One that stands elsewhere in line than where it arrived, and is found by its flag alone; and its like among the parked.
    let moved = house.put(Place::Waiting).await;
    assert_eq!(house.store.admit(&[moved]).await.unwrap(), [Some(State::Ready)]);
    waits.push((moved, "ready"));
    let parked = NewTask { kind: "nobody's".to_owned(), ..house.task(Hold { blocked: true, limited: false }) };
    let parked = house.add(parked).await;
    house.store.unblock(&[parked]).await.unwrap();
    house.store.sweep(1_000).await.unwrap();
    waits.push((parked, "parked"));
    let running = house.add(NewTask { priority: 0, ..house.task(Hold::NONE) }).await;
    let lease = house.claim(1).await.remove(0).lease;
    assert_eq!(lease.id, running);
    waits.push((running, "lease"));
    // An end of which something is owed is somebody's, too.
    let owed = house.add(NewTask { priority: 0, retention: Retention::None, ..house.task(Hold::NONE) }).await;
    let last = house.claim(1).await.remove(0).lease;
    house.sql.execute("UPDATE lease SET flags = $2 WHERE id = $1", &[&owed.as_uuid(), &STRANGE]).await.unwrap();
    assert_eq!(house.settle(Settlement::new(last, Ending::Succeeded)).await, Settled::Done(State::Succeeded));
    for (id, table) in &waits {
        assert_eq!(house.tables_of(*id).await, [*table]);
    }
    let partition = |id: TaskId| {
        let sql = &house.sql;
        async move {
            let row = sql.query_one("SELECT tableoid::regclass::text FROM task WHERE id = $1", &[&id.as_uuid()]).await.unwrap();
            row.get::<_, String>(0)
        }
    };
    assert_eq!(partition(waits[0].0).await, "task_20270115");
    house.time.advance(3 * DAY);
    house.store.sweep(1_000).await.unwrap();
    while house.store.prune(1_000).await.unwrap() > 0 {}
    for (id, table) in &waits {
        assert_eq!(partition(*id).await, "task_rest", "its day is gone, and what waits in {table} is carried on");
        assert!(house.store.get(*id).await.unwrap().is_some());
    }
    assert_eq!((partition(owed).await.as_str(), house.state(owed).await), ("task_rest", Some(State::Succeeded)));
    house.worker = house.env.worker_id();
    let findings = house.store.check().await.unwrap();
    assert!(findings.iter().any(|finding| finding.code == "owed" && finding.severity == Severity::Warning), "{findings:?}");
    assert!(findings.iter().all(|finding| finding.code != "overlap" || finding.severity == Severity::Ok), "{findings:?}");
    drop(house.schema);
}

/// Each way in which a task can end, and each has to write the same about it, and to report it to the step of which it is a member; for which no
/// lock of the workflow is needed.
#[tokio::test(flavor = "multi_thread")]
async fn every_end_is_written_alike() {
    let house = House::new().await;
    let run = workflow(&house.env, None, vec![StepDraft { open: true, ..step("g", 0, &[]) }]);
    let (run, new) = (run.id, run);
    house.store.start_workflow(new).await.unwrap();
    // Somebody has it in hand, so that reports stay where they are.
    let mut other = client().await;
    let other = other.transaction().await.unwrap();
    let hold = format!("SELECT FROM {}.workflow WHERE id = $1 FOR UPDATE", house.schema.0);
    assert_eq!(other.execute(&hold, &[&run.as_uuid()]).await.unwrap(), 1);
    let retentions = [Retention::For(DAY), Retention::Forever, Retention::None, Retention::default()];
    for (retention, flags) in retentions.into_iter().flat_map(|retention| [0, STRANGE, MEMBER].map(|flags| (retention, flags))) {
        for way in Way::ALL {
            let (id, state) = way.end(&house, retention, flags, run).await;
            let expected = ended(state, Flags::from_bits(flags), retention, house.env.now());
            let text =
                "SELECT o.keep_until, o.owed, o.seq = t.seq, o.finished_at, (SELECT count(*) FROM outcome p WHERE p.id = o.id)
                        FROM outcome o JOIN task t ON t.id = o.id WHERE o.id = $1 AND o.ended <> 0";
            let row = house.sql.query_opt(text, &[&id.as_uuid()]).await.unwrap();
            let what = format!("{way:?} {retention:?} {flags}");
            match (row, keep_until_of(expected.keep)) {
                (None, None) => {}
                (Some(row), Some(keep_until)) => {
                    // A handler's transaction goes by the server's clock.
                    if way != Way::InTransaction {
                        assert_eq!(row.get::<_, i64>(3), house.env.now().as_millis(), "{what}");
                        assert_eq!(row.get::<_, i64>(0), keep_until, "{what}");
                    } else {
                        assert_eq!(row.get::<_, i64>(0) == i64::MAX, keep_until == i64::MAX, "{what}");
                    }
                    assert_eq!(row.get::<_, i32>(1), expected.owed.bits(), "{what}");
                    assert!(row.get::<_, bool>(2), "{what}");
                }
                (row, keep) => panic!("{what}: {:?} instead of {keep:?}", row.map(|row| row.get::<_, i64>(0))),
            }
            assert_eq!(house.tables_of(id).await, [""; 0], "{what}");
            let told = "DELETE FROM report RETURNING workflow, step, succeeded, failed, cancelled";
            let told = house.sql.query(told, &[]).await.unwrap();
            let told: Vec<_> = told.iter().map(|row| (row.get(0), row.get(1), [row.get(2), row.get(3), row.get(4)])).collect();
            let sums = match state {
                State::Succeeded => [1, 0, 0],
                State::Failed => [0, 1, 0],
                _ => [0, 0, 1],
            };
            let expected = if flags == MEMBER { vec![(run.as_uuid(), 0, sums)] } else { Vec::new() };
            assert_eq!(told, expected, "{what}: what its step has to learn");
            if flags == STRANGE {
                let outcome = house.store.retry(&[id]).await.unwrap();
                assert_eq!(outcome, [RetryOutcome::NotEnded], "{what}: its end is not over");
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Noted,
    InTransaction,
    Failed,
    Rescued,
    Left,
    CancelledRunning,
    Cancelled,
    ExpiredByClaim,
    ExpiredBySweep,
    SetAside,
}

impl Way {
    const ALL: [Self; 11] = [
        Self::Plain,
        Self::Noted,
        Self::InTransaction,
        Self::Failed,
        Self::Rescued,
        Self::Left,
        Self::CancelledRunning,
        Self::Cancelled,
        Self::ExpiredByClaim,
        Self::ExpiredBySweep,
        Self::SetAside,
    ];

    async fn end(self, house: &House, retention: Retention, flags: i32, workflow: WorkflowId) -> (TaskId, State) {
        let expires = matches!(self, Self::ExpiredByClaim | Self::ExpiredBySweep).then_some(Duration::from_millis(1));
        let max_crashes = if self == Self::Rescued { 1 } else { 3 };
        let member = (flags == MEMBER).then(|| Membership { workflow, number: 0, step: "g".to_owned(), place: 0, refers: false });
        let meta = Some(Box::new(TaskMeta { member, ..TaskMeta::default() }));
        let new = NewTask { retention, expires, max_crashes, meta, ..house.task(Hold::NONE) };
        let id = house.add(new).await;
        let flag = async |table: &str| {
            let text = format!("UPDATE {table} SET flags = $2 WHERE id = $1");
            assert_eq!(house.sql.execute(&text, &[&id.as_uuid(), &flags]).await.unwrap(), 1);
        };
        if self == Self::SetAside {
            house.sql.execute("UPDATE task SET meta = 'not JSON' WHERE id = $1", &[&id.as_uuid()]).await.unwrap();
        }
        if matches!(self, Self::ExpiredByClaim | Self::ExpiredBySweep) {
            house.time.advance(Duration::from_millis(2));
        }
        match self {
            Self::Cancelled => {
                flag("ready").await;
                assert_eq!(house.store.cancel(&[id]).await.unwrap(), [CancelOutcome::Cancelled]);
                return (id, State::Cancelled);
            }
            Self::ExpiredBySweep => {
                flag("ready").await;
                assert_eq!(house.store.sweep(1_000).await.unwrap().expired, 1);
                return (id, State::Expired);
            }
            // A claim takes nothing that has a flag which it does not know.
            Self::ExpiredByClaim | Self::SetAside if flags == STRANGE => {
                flag("ready").await;
                assert!(house.claim(10).await.is_empty());
                house.store.cancel(&[id]).await.unwrap();
                return (id, State::Cancelled);
            }
            Self::ExpiredByClaim => {
                assert!(house.claim(10).await.is_empty());
                return (id, State::Expired);
            }
            Self::SetAside => {
                assert!(house.claim(10).await.is_empty());
                return (id, State::Failed);
            }
            _ => {}
        }
        let other = house.env.worker_id();
        let worker = if matches!(self, Self::Rescued | Self::Left) { other } else { house.worker };
        house.enter(worker, "mail").await;
        let wanted = vec![Wanted::new("default", 1)];
        let claim = Claim { worker, fence: house.env.fence(), wanted, again: false };
        let lease = house.store.claim(&claim).await.unwrap().remove(0).lease;
        flag("lease").await;
        let succeeded = Settlement { result: Some("1".to_owned()), ..Settlement::new(lease, Ending::Succeeded) };
        let state = match self {
            Self::Plain => house.settle(succeeded).await,
            Self::Noted => {
                house.store.note(vec![Note { lease, logs: Some("so far".to_owned()), progress: None }]).await.unwrap();
                house.settle(succeeded).await
            }
            Self::InTransaction => {
                let store: Arc<dyn Store> = house.store.clone();
                let settle =
                    gristmill_core::SettleWithin::<gristmill_postgres::TokioPostgres>::settle(&house.sql, &*store, succeeded);
                settle.await.unwrap()
            }
            Self::Failed => house.settle(Settlement::new(lease, Ending::Failed)).await,
            Self::CancelledRunning => {
                assert_eq!(house.store.cancel(&[id]).await.unwrap(), [CancelOutcome::CancelRequested]);
                house.settle(Settlement::new(lease, Ending::Retry { delay: DAY })).await
            }
            Self::Rescued => {
                house.sql.execute("UPDATE worker SET lost = true WHERE id = $1", &[&worker.as_uuid()]).await.unwrap();
                let rescued = house.store.sweep(1_000).await.unwrap().rescued;
                if flags != STRANGE {
                    assert_eq!(rescued, 1);
                    return (id, State::Failed);
                }
                // That is for a program that knows the flag. Its worker may still leave.
                assert_eq!(rescued, 0);
                house.store.cancel(&[id]).await.unwrap();
                house.store.leave(worker).await.unwrap();
                Settled::Done(State::Cancelled)
            }
            Self::Left => {
                house.store.cancel(&[id]).await.unwrap();
                house.store.leave(worker).await.unwrap();
                Settled::Done(State::Cancelled)
            }
            Self::Cancelled | Self::ExpiredByClaim | Self::ExpiredBySweep | Self::SetAside => unreachable!("ended above"),
        };
        let Settled::Done(state) = state else { panic!("{self:?}: {state:?}") };
        (id, state)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_a_flag_that_nobody_knows_is_left_where_it_is() {
    let house = House::new().await;
    let mut ids = Vec::new();
    for place in Place::ALL {
        let id = if place == Place::Scheduled {
            house.add(NewTask { delay: Duration::from_secs(1), ..house.task(Hold::NONE) }).await
        } else {
            house.put(place).await
        };
        let flag = format!("UPDATE {} SET flags = flags | $2 WHERE id = $1", table(place));
        assert_eq!(house.sql.execute(&flag, &[&id.as_uuid(), &STRANGE]).await.unwrap(), 1, "{place:?}");
        ids.push(id);
    }
    house.time.advance(DAY);
    house.enter(house.env.worker_id(), "nobody's").await;
    house.store.sweep(1_000).await.unwrap();
    assert!(house.claim(10).await.is_empty());
    assert_eq!(house.store.unblock(&ids).await.unwrap(), [None; 5]);
    assert_eq!(house.store.admit(&ids).await.unwrap(), [None; 5]);
    for (id, place) in ids.iter().zip(Place::ALL) {
        assert_eq!(house.tables_of(*id).await, [table(place)], "{place:?}");
        assert_eq!(house.state(*id).await, Some(place.state()));
    }
    assert_eq!(house.store.task_states_of(&ids).await, Place::ALL.map(|place| Some(place.state())));
}

/// As the beats ask.
trait States {
    async fn task_states_of(&self, ids: &[TaskId]) -> Vec<Option<State>>;
}

impl States for PostgresStore {
    async fn task_states_of(&self, ids: &[TaskId]) -> Vec<Option<State>> {
        gristmill_core::Schedules::task_states(self, ids).await.unwrap()
    }
}

/// Callers choose ids, also of other days: whoever comes among them in the order of arrival is not overlooked.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_not_dropped_over_tasks_that_wait_behind_many_of_other_days() {
    let house = House::new().await;
    let mut waiting = vec![house.put(Place::Ready).await];
    let other = |n: usize| {
        let id = TaskId::from_uuid(uuid::Uuid::from_u128((0xa000_u128 << 64) + n as u128));
        NewTask { id, ..house.task(Hold::NONE) }
    };
    for batch in 0..2 {
        let tasks = (0..800).map(|n| other(batch * 800 + n)).collect();
        house.store.enqueue(tasks).await.unwrap();
    }
    for _ in 0..4 {
        waiting.push(house.put(Place::Ready).await);
    }
    waiting.sort_unstable();
    let day = START.as_millis().div_euclid(86_400_000);
    let now = START.as_millis() + 10 * 86_400_000;
    let wanted: Vec<uuid::Uuid> = house.sql.query_one("SELECT day_wanted($1, $2)", &[&day, &now]).await.unwrap().get(0);
    let mut wanted: Vec<_> = wanted.into_iter().map(TaskId::from_uuid).collect();
    wanted.sort_unstable();
    assert_eq!(wanted, waiting);
}

/// What a later version has put there stays there, and makes nobody look without end.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_leaves_alone_what_has_a_flag_that_it_does_not_know() {
    let house = House::new().await;
    let scheduled = house.put(Place::Scheduled).await;
    house.sql.execute("UPDATE scheduled SET flags = $1, run_at = 1", &[&STRANGE]).await.unwrap();
    assert_eq!(house.store.sweep(100).await.unwrap().next_due, None, "nothing is due for this program");
    assert_eq!(house.tables_of(scheduled).await, ["scheduled"]);
    let leased = house.put(Place::Ready).await;
    assert_eq!(house.claim(1).await[0].lease.id, leased);
    house.sql.execute("UPDATE lease SET flags = $1", &[&STRANGE]).await.unwrap();
    house.time.advance(401 * DAY);
    house.store.sweep(100).await.unwrap();
    assert_eq!(house.tables_of(leased).await, ["lease"], "its rescue is for those who know what the flag stands for");
    // And nobody brings such flags in.
    let refused = house.sql.query("SELECT insert_tasks(jsonb_build_array(jsonb_build_object('id', gen_random_uuid(), 'queue', 'q', \
         'kind', 'k', 'priority', 5, 'max_attempts', 1, 'max_crashes', 1, 'ack', 0, 'retention', 0, 'args', '{}', 'flags', 1048576)))", &[]);
    assert_eq!(refused.await.unwrap_err().code().unwrap().code(), "22023");
}
