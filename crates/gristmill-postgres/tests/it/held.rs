//! Somebody's transaction stays open. It holds up what it is about, and nothing else: with a lock timeout of an hour, whatever waits for
//! it would not end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::{
    Advance, Advanced, Claim, Claimed, Edit, Ending, EnqueueOutcome, Env, KindSpec, LeaseRef, NewSchedule, NewTask, Note,
    Overrides, Policy, Schedule, ScheduleEdit, Settled, Settlement, State, Store, StoreErrorKind, Tick, TickOutcome, Timestamp,
    Wanted, WorkerId, WorkerSpec,
};
use gristmill_postgres::PostgresStore;
use tokio_postgres::Client;

use crate::common::{Schema, client, task};

const DEADLINE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

struct House {
    store: Arc<dyn Store>,
    env: Env,
    worker: WorkerId,
    /// Whoever leaves a transaction open.
    other: Client,
    schema: Schema,
}

impl House {
    async fn new(options: &str) -> Self {
        let schema = Schema::new();
        let url = schema.url(&format!("&lock_timeout=1h&statement_timeout=2h{options}"));
        Self::at(schema, &url).await
    }

    async fn at(schema: Schema, url: &str) -> Self {
        let env = Env::system();
        let store: Arc<dyn Store> = PostgresStore::connect(url, env.clone()).await.unwrap();
        let worker = env.worker_id();
        let spec = WorkerSpec {
            id: worker,
            name: "w".to_owned(),
            lease: HOUR,
            kinds: vec!["work".into()],
            queues: [("default".to_owned(), 1)].into(),
            version: String::new(),
        };
        store.enter(&spec).await.unwrap();
        // So that nobody is the first to use it.
        store.declare(&[kind("work")]).await.unwrap();
        Self { store, env, worker, other: client().await, schema }
    }

    fn task(&self) -> NewTask {
        task(&self.env, "work", Overrides::default())
    }

    fn task_in(&self, queue: &str) -> NewTask {
        task(&self.env, "work", Overrides { queue: Some(queue.to_owned()), ..Overrides::default() })
    }

    /// Tasks that the worker has claimed.
    async fn held(&self, count: usize) -> Vec<LeaseRef> {
        self.store.enqueue((0..count).map(|_| self.task()).collect()).await.unwrap();
        let claimed = self.claim().await;
        assert_eq!(claimed.len(), count);
        claimed.iter().map(|claimed| claimed.lease).collect()
    }

    async fn claim(&self) -> Vec<Claimed> {
        let wanted = vec![Wanted::new("default", 100)];
        let claim = Claim { worker: self.worker, fence: self.env.fence(), wanted, again: false };
        within(self.store.claim(&claim)).await.unwrap()
    }

    /// Begins a transaction and leaves it open.
    async fn open(&self, sql: &str) {
        self.other.batch_execute(&format!("BEGIN; {}", sql.replace("{s}", &self.schema.0))).await.unwrap();
    }

    async fn open_cancel(&self, lease: LeaseRef) {
        self.open(&format!("SELECT {{s}}.cancel('{}')", lease.id.as_uuid())).await;
    }

    async fn end(&self, how: &str) {
        self.other.batch_execute(how).await.unwrap();
    }

    async fn settle(&self, leases: &[LeaseRef], ending: Ending) -> Vec<Settled> {
        within(self.store.settle(leases.iter().map(|lease| Settlement::new(*lease, ending)).collect())).await.unwrap()
    }

    async fn state(&self, lease: LeaseRef) -> State {
        self.store.get(lease.id).await.unwrap().unwrap().state
    }

    async fn schedule(&self, name: &str) -> Schedule {
        let due_at = Some(self.env.now());
        let edit: ScheduleEdit = Arc::new(move |_, _, _| {
            Ok(Edit::Put(NewSchedule { owner: None, body: "{}".to_owned(), due_at, memory: "{}".to_owned() }))
        });
        let edited = self.store.edit_schedules(&[name.to_owned()], &edit).await.unwrap();
        edited.into_iter().next().flatten().unwrap()
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| panic!("it waits for somebody's transaction"))
}

fn kind(name: &str) -> KindSpec {
    KindSpec { name: name.to_owned(), schema: serde_json::Value::Null, fields: Vec::new(), policy: Policy::default() }
}

fn advance(schedule: Schedule, at: Timestamp, task: NewTask) -> Advance {
    let tick = Tick { at, outcome: TickOutcome::Enqueued, task: Some(task), reason: None };
    let Schedule { name, revision, memory, .. } = schedule;
    Advance { name, revision, due_at: None, memory, ticks: vec![tick], cancel: Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_holds_up_the_settlement_of_its_own_task_alone() {
    let house = House::new("").await;
    for (ending, end, after) in [
        (Ending::Succeeded, "COMMIT", State::Succeeded),
        (Ending::Retry { delay: HOUR }, "COMMIT", State::Cancelled),
        (Ending::Retry { delay: HOUR }, "ROLLBACK", State::Scheduled),
    ] {
        let leases = house.held(4).await;
        house.open_cancel(leases[1]).await;
        let plain = house.settle(&leases[..3], Ending::Succeeded).await;
        let done = Settled::Done(State::Succeeded);
        assert_eq!(plain, [done, Settled::Later, done]);
        let mixed = vec![Settlement::new(leases[1], ending), Settlement::new(leases[3], Ending::Failed)];
        assert_eq!(within(house.store.settle(mixed)).await.unwrap(), [Settled::Later, Settled::Done(State::Failed)]);
        house.end(end).await;
        assert_eq!(house.settle(&leases[1..2], ending).await, [Settled::Done(after)], "{ending:?} {end}");
        assert_eq!(house.state(leases[1]).await, after);
        assert_eq!(house.settle(&leases[1..2], ending).await, [Settled::LeaseLost]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_is_settled_beside_a_task_that_somebody_cancels() {
    let house = House::new("").await;
    let leases = house.held(2).await;
    house.open_cancel(leases[0]).await;
    let parent = Settlement { children: vec![house.task()].into(), ..Settlement::new(leases[1], Ending::Succeeded) };
    let batch = vec![Settlement::new(leases[0], Ending::Succeeded), parent];
    let answers = within(house.store.settle(batch)).await.unwrap();
    assert_eq!(answers, [Settled::Later, Settled::Done(State::Succeeded)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_comes_after_the_settlement_finds_the_task_as_it_is_then() {
    let house = House::new("").await;
    let leases = house.held(2).await;
    house.settle(&leases[..1], Ending::Succeeded).await;
    house.settle(&leases[1..], Ending::Retry { delay: HOUR }).await;
    house.open_cancel(leases[0]).await;
    house.other.batch_execute(&format!("SELECT {}.cancel('{}')", house.schema.0, leases[1].id.as_uuid())).await.unwrap();
    house.end("COMMIT").await;
    assert_eq!((house.state(leases[0]).await, house.state(leases[1]).await), (State::Succeeded, State::Cancelled));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_holds_up_the_notes_of_its_own_task_alone() {
    let house = House::new("").await;
    let leases = house.held(3).await;
    house.open_cancel(leases[1]).await;
    let note = |lease: &LeaseRef| Note { lease: *lease, logs: Some("so far".to_owned()), progress: None };
    let error = within(house.store.note(leases.iter().map(note).collect())).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Busy, "so that it is tried again: {error}");
    for (n, lease) in leases.iter().enumerate() {
        let logs = house.store.get(lease.id).await.unwrap().unwrap().attempts[0].logs.clone();
        assert_eq!(logs.is_some(), n != 1, "{n}");
    }
    house.end("ROLLBACK").await;
    assert_eq!(within(house.store.note(leases.iter().map(note).collect())).await.unwrap(), [true; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_waits_for_a_cancel_keeps_no_connection() {
    let house = House::new("&pool=1").await;
    let leases = house.held(2).await;
    house.open_cancel(leases[0]).await;
    let start = tokio::spawn({
        let (store, lease) = (house.store.clone(), leases[0]);
        async move { store.start(&[lease]).await }
    });
    assert_eq!(within(house.store.start(&leases[1..])).await.unwrap(), [true]);
    assert_eq!(house.settle(&leases[1..], Ending::Succeeded).await, [Settled::Done(State::Succeeded)]);
    assert!(!start.is_finished(), "its task may be cancelled by now");
    house.end("COMMIT").await;
    assert_eq!(within(start).await.unwrap().unwrap(), [true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_leaves_what_a_cancel_has_in_hand_to_a_sweep() {
    let house = House::new("").await;
    let leases = house.held(3).await;
    house.open_cancel(leases[1]).await;
    assert_eq!(within(house.store.leave(house.worker)).await.unwrap(), 2);
    house.end("ROLLBACK").await;
    assert_eq!(within(house.store.sweep(100)).await.unwrap().rescued, 1);
    assert_eq!(house.state(leases[1]).await, State::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_whose_task_somebody_cancels_holds_up_no_other() {
    let house = House::new("").await;
    let leases = house.held(1).await;
    let (first, second) = (house.schedule("first").await, house.schedule("second").await);
    house.open_cancel(leases[0]).await;
    let at = house.env.now();
    let cancels = Advance { cancel: vec![leases[0].id], ..advance(first, at, house.task()) };
    let advances = vec![cancels.clone(), advance(second, at, house.task())];
    assert_eq!(within(house.store.advance_schedules(advances)).await.unwrap(), [Advanced::Stale, Advanced::Done(vec![true])]);
    house.end("ROLLBACK").await;
    assert_eq!(within(house.store.advance_schedules(vec![cancels])).await.unwrap(), [Advanced::Done(vec![true])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_whose_queue_somebody_makes_holds_up_no_other() {
    let house = House::new("").await;
    let (first, second) = (house.schedule("first").await, house.schedule("second").await);
    house.open(r#"SELECT {s}.enqueue('work', '{}', '{"queue": "tenant-17", "force": true}')"#).await;
    let at = house.env.now();
    let into_new = advance(first, at, house.task_in("tenant-17"));
    let advances = vec![into_new.clone(), advance(second, at, house.task())];
    assert_eq!(within(house.store.advance_schedules(advances)).await.unwrap(), [Advanced::Stale, Advanced::Done(vec![true])]);
    house.end("COMMIT").await;
    assert_eq!(within(house.store.advance_schedules(vec![into_new])).await.unwrap(), [Advanced::Done(vec![true])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_that_ask_for_what_can_not_be_are_refused_and_not_put_off() {
    let house = House::new("").await;
    let at = house.env.now();
    let can_not_be = |schedule: Schedule| advance(schedule, at, NewTask { args: "{\"a\":\"\0\"}".to_owned(), ..house.task() });
    let bad = [can_not_be(house.schedule("first").await), can_not_be(house.schedule("second").await)];
    let good = advance(house.schedule("third").await, at, house.task());
    let leases = house.held(1).await;
    let held_up = Advance { cancel: vec![leases[0].id], ..advance(house.schedule("fourth").await, at, house.task()) };
    let all = || [bad.as_slice(), std::slice::from_ref(&good)].concat();
    for batch in [bad[..1].to_vec(), bad.to_vec(), all()] {
        let error = within(house.store.advance_schedules(batch)).await.unwrap_err();
        assert_eq!(
            error.kind(),
            StoreErrorKind::Invalid,
            "so that each is tried alone, and those that fail are set aside: {error}"
        );
    }
    house.open_cancel(leases[0]).await;
    let error = within(house.store.advance_schedules(vec![held_up, bad[0].clone()])).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    assert_eq!(within(house.store.advance_schedules(vec![good])).await.unwrap(), [Advanced::Done(vec![true])]);
    house.end("ROLLBACK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_or_an_id_that_somebody_uses_first_holds_up_who_needs_it_alone() {
    let house = House::new("&pool=2").await;
    let taken = house.task();
    let by_id = format!(r#"SELECT {{s}}.enqueue('work', '{{"n": 1}}', '{{"id": "{}", "force": true}}')"#, taken.id.as_uuid());
    let by_queue = r#"SELECT {s}.enqueue('work', '{}', '{"queue": "tenant-17", "force": true}')"#.to_owned();
    let by_kind = "SELECT {s}.enqueue('fresh', '{}', '{\"force\": true}')".to_owned();
    let fresh = task(&house.env, "fresh", Overrides::default());
    for (sql, held_up) in [(by_queue, house.task_in("tenant-17")), (by_kind, fresh), (by_id, taken)] {
        house.open(&sql).await;
        let enqueue = |task: NewTask| {
            let store = house.store.clone();
            tokio::spawn(async move { store.enqueue(vec![task]).await })
        };
        let late = enqueue(held_up);
        // Some share its statement, some come while it is tried.
        for _ in 0..5 {
            let others: Vec<_> = (0..5).map(|_| enqueue(house.task())).collect();
            for other in others {
                assert_eq!(within(other).await.unwrap().unwrap(), [EnqueueOutcome::Created]);
            }
        }
        house.claim().await;
        assert!(!late.is_finished(), "{sql}");
        house.end("ROLLBACK").await;
        assert_eq!(within(late).await.unwrap().unwrap(), [EnqueueOutcome::Created], "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_too() {
    let schema = Schema::new();
    let url = schema.pooled_url("&pgbouncer=true&lock_timeout=1h");
    let house = House::at(schema, &url).await;
    let leases = house.held(3).await;
    house.open(r#"SELECT {s}.enqueue('work', '{}', '{"queue": "tenant-17"}')"#).await;
    house.other.batch_execute(&format!("SELECT {}.cancel('{}')", house.schema.0, leases[1].id.as_uuid())).await.unwrap();
    let (store, task) = (house.store.clone(), house.task_in("tenant-17"));
    let late = tokio::spawn(async move { store.enqueue(vec![task]).await });
    assert_eq!(within(house.store.enqueue(vec![house.task()])).await.unwrap(), [EnqueueOutcome::Created]);
    let done = Settled::Done(State::Succeeded);
    assert_eq!(house.settle(&leases, Ending::Succeeded).await, [done, Settled::Later, done]);
    house.end("COMMIT").await;
    assert_eq!(within(late).await.unwrap().unwrap(), [EnqueueOutcome::Created]);
    assert_eq!(house.settle(&leases[1..2], Ending::Succeeded).await, [done]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_longer_than_a_lock_may_be_waited_for_is_told() {
    let house = House::new("").await;
    let short = house.schema.url("&lock_timeout=300ms");
    let store: Arc<dyn Store> = PostgresStore::connect(&short, house.env.clone()).await.unwrap();
    house.open(r#"SELECT {s}.enqueue('work', '{}', '{"queue": "tenant-17", "force": true}')"#).await;
    let (late, other) =
        tokio::join!(within(store.enqueue(vec![house.task_in("tenant-17")])), within(store.enqueue(vec![house.task()])));
    assert_eq!(late.unwrap_err().kind(), StoreErrorKind::Busy);
    assert_eq!(other.unwrap(), [EnqueueOutcome::Created]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_somebody_uses_first_is_declared_when_he_is_done() {
    let house = House::new("").await;
    house.open("SELECT {s}.enqueue('fresh', '{}', '{\"force\": true}')").await;
    within(house.store.declare(&[kind("fresh"), kind("other")])).await.unwrap();
    let names = async || house.store.kinds().await.unwrap().into_iter().map(|kind| kind.name).collect::<Vec<_>>();
    assert_eq!(names().await, ["other", "work"]);
    house.end("ROLLBACK").await;
    let until = Instant::now() + DEADLINE;
    while names().await != ["fresh", "other", "work"] {
        assert!(Instant::now() < until, "it is not declared");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_serves_a_type_that_somebody_uses_first_claims_the_others() {
    let house = House::new("").await;
    house.store.enqueue(vec![house.task()]).await.unwrap();
    house.open("SELECT {s}.enqueue('fresh', '{}', '{\"force\": true}')").await;
    let worker = house.env.worker_id();
    let spec = WorkerSpec {
        id: worker,
        name: "w".to_owned(),
        lease: HOUR,
        kinds: vec!["fresh".into(), "work".into()],
        queues: [("default".to_owned(), 1)].into(),
        version: String::new(),
    };
    within(house.store.enter(&spec)).await.unwrap();
    let claim = async |again| {
        let wanted = vec![Wanted::new("default", 100)];
        let claim = Claim { worker, fence: house.env.fence(), wanted, again };
        within(house.store.claim(&claim)).await.unwrap().into_iter().map(|claimed| claimed.kind).collect::<Vec<_>>()
    };
    assert_eq!(claim(false).await, ["work".into()]);
    // One that is repeated holds the worker's row meanwhile.
    house.store.enqueue(vec![house.task()]).await.unwrap();
    assert_eq!(claim(true).await, ["work".into()]);
    house.end("COMMIT").await;
    assert_eq!(claim(false).await, ["fresh".into()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_written_holds_up_no_other() {
    let house = House::new("").await;
    let leases = house.held(20).await;
    let poison = format!(
        "CREATE FUNCTION {{s}}.poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'bigint out of range' USING ERRCODE = '22003'; END $$;
         CREATE TRIGGER poison BEFORE INSERT ON {{s}}.outcome FOR EACH ROW WHEN (NEW.id = '{}') EXECUTE FUNCTION {{s}}.poison()",
        leases[7].id.as_uuid()
    );
    house.open(&poison).await;
    house.end("COMMIT").await;
    let answers = house.settle(&leases, Ending::Succeeded).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, if n == 7 { Settled::Later } else { Settled::Done(State::Succeeded) }, "{n}");
    }
    let alone = house.store.settle(vec![Settlement::new(leases[7], Ending::Failed)]).await.unwrap_err();
    assert!(alone.to_string().contains("out of range"), "{alone}");
    house.other.batch_execute(&format!("DROP TRIGGER poison ON {}.outcome", house.schema.0)).await.unwrap();
    assert_eq!(house.settle(&leases[7..8], Ending::Failed).await, [Settled::Done(State::Failed)]);
}
