//! What workflows go through on a server beyond what every store promises: many processes, open transactions, crashes, other versions.

use std::sync::Arc;
use std::time::Duration;

use gristmill_core::workflow::{
    Extended, Extension, NewWorkflow, Order, Ordered, Retried, Retry, Started, StepDraft, StepWord, Tally, WorkflowState,
    Workflows as _,
};
use gristmill_core::{
    Claim, Claimed, Driver, Effects, Ending, Env, Membership, NewTask, Overrides, Retention, RetryOutcome, Settled, Settlement,
    Source, State, Store, TaskId, TaskMeta, Timestamp, VirtualTime, Wanted, WorkerId, WorkerSpec, WorkflowId,
};
use gristmill_postgres::{PostgresStore, TokioPostgres};
use tokio_postgres::Client;

use crate::common::{Schema, chain, client, step, task, workflow};

const DEADLINE: Duration = Duration::from_secs(60);
/// Longer than a workflow may stand still before it is looked at.
pub(crate) const STILL: Duration = Duration::from_secs(30);

pub(crate) struct House {
    pub(crate) store: Arc<PostgresStore>,
    pub(crate) env: Env,
    pub(crate) time: VirtualTime,
    pub(crate) worker: WorkerId,
    pub(crate) sql: Client,
    pub(crate) schema: Schema,
}

impl House {
    pub(crate) async fn new() -> Self {
        let schema = Schema::new();
        let (env, time) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), 7);
        // Whatever waits for somebody's transaction would not end.
        let url = schema.url("&lock_timeout=1h&statement_timeout=2h");
        let store = PostgresStore::connect(&url, env.clone()).await.unwrap();
        let sql = client().await;
        sql.batch_execute(&format!("SET search_path = {}", schema.0)).await.unwrap();
        let worker = enter(&*store, &env).await;
        Self { store, env, time, worker, sql, schema }
    }

    pub(crate) async fn start(&self, new: &NewWorkflow) {
        assert_eq!(self.store.start_workflow(new.clone()).await.unwrap(), Started::Created);
    }

    pub(crate) async fn claim(&self, limit: usize) -> Vec<Claimed> {
        claim(&*self.store, &self.env, self.worker, limit).await
    }

    pub(crate) async fn succeed(&self, claimed: Vec<Claimed>) {
        let all = claimed.into_iter().map(|claimed| Settlement::new(claimed.lease, Ending::Succeeded)).collect();
        for settled in within(self.store.settle(all)).await.unwrap() {
            assert_eq!(settled, Settled::Done(State::Succeeded));
        }
    }

    pub(crate) async fn tally(&self, id: WorkflowId, step: usize) -> Tally {
        self.store.workflow(id).await.unwrap().unwrap().steps[step].row.tally
    }

    pub(crate) async fn word(&self, id: WorkflowId, step: usize) -> StepWord {
        self.store.workflow(id).await.unwrap().unwrap().steps[step].state()
    }

    pub(crate) async fn states(&self, tasks: &[NewTask]) -> Vec<State> {
        let mut states = Vec::new();
        for task in tasks {
            states.push(self.store.get(task.id).await.unwrap().unwrap().state);
        }
        states
    }

    /// Members of the first step, from a place on.
    fn more(&self, id: WorkflowId, from: u32, count: u32) -> Extension {
        let member = |place| {
            let of = Membership { workflow: id, number: 0, step: "g".to_owned(), place, refers: false };
            let meta = Some(Box::new(TaskMeta { member: Some(of), ..TaskMeta::default() }));
            NewTask { meta, ..task(&self.env, "mail", Overrides::default()) }
        };
        Extension { workflow: id, step: 0, from, members: (from..from + count).map(member).collect(), close: false }
    }

    pub(crate) async fn sweep(&self) {
        within(self.store.sweep(1_000)).await.unwrap();
    }

    pub(crate) async fn run(&self, sql: &str) -> u64 {
        self.sql.execute(sql, &[]).await.unwrap()
    }

    /// How many statements wait for somebody's transaction.
    pub(crate) async fn waiters(&self) -> i64 {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND strpos(query, $1) > 0";
        self.sql.query_one(waits, &[&self.schema.0]).await.unwrap().get(0)
    }

    /// A connection with an open transaction in which this was done.
    pub(crate) async fn open(&self, sql: &str) -> Client {
        let other = client().await;
        other.batch_execute(&format!("SET search_path = {}; BEGIN; {sql}", self.schema.0)).await.unwrap();
        other
    }
}

pub(crate) async fn enter(store: &dyn Store, env: &Env) -> WorkerId {
    let id = env.worker_id();
    let spec = WorkerSpec {
        id,
        name: "w".to_owned(),
        lease: Duration::from_secs(86_400),
        kinds: vec!["mail".into()],
        queues: [("default".to_owned(), 1)].into(),
        version: String::new(),
    };
    store.enter(&spec).await.unwrap();
    id
}

pub(crate) async fn claim(store: &dyn Store, env: &Env, worker: WorkerId, limit: usize) -> Vec<Claimed> {
    let claim = Claim { worker, fence: env.fence(), wanted: vec![Wanted::new("default", limit)], again: false };
    store.claim(&claim).await.unwrap()
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| panic!("it waits for somebody's transaction"))
}

/// As the transaction of a handler ends an attempt.
pub(crate) fn settles(claimed: &Claimed) -> String {
    let lease = claimed.lease;
    format!("SELECT settle_succeeded('{}', '{}', 1, NULL, NULL, NULL, '[]')", lease.id.as_uuid(), lease.fence.as_uuid())
}

pub(crate) fn cancels(id: TaskId) -> String {
    format!("SELECT cancel_tasks(ARRAY['{}'::uuid])", id.as_uuid())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_holds_up_the_end_of_no_other_member() {
    let house = House::new().await;
    let new = workflow(&house.env, None, vec![step("g", 5, &[]), step("b", 1, &["g"])]);
    house.start(&new).await;
    let mut claimed = house.claim(3).await;
    let handler = house.open(&settles(&claimed.remove(0))).await;
    let ready = house.states(&new.members[..5]).await.iter().position(|state| *state == State::Ready).unwrap();
    let somebody = house.open(&cancels(new.members[ready].id)).await;
    house.succeed(vec![claimed.remove(0)]).await;
    within(house.store.cancel(&[claimed[0].lease.id])).await.unwrap();
    let settlement = Settlement::new(claimed.remove(0).lease, Ending::Failed);
    assert_eq!(within(house.store.settle(vec![settlement])).await.unwrap(), [Settled::Done(State::Cancelled)]);
    let tally = house.tally(new.id, 0).await;
    assert_eq!((tally.succeeded, tally.cancelled), (1, 1));
    // What somebody has in hand is left to a sweep, and the order is given.
    let order = house.store.order_workflow(new.id, Order::Cancel);
    assert_eq!(within(order).await.unwrap(), Ordered::Done(WorkflowState::Cancelling));
    handler.batch_execute("COMMIT").await.unwrap();
    somebody.batch_execute("ROLLBACK").await.unwrap();
    house.sweep().await;
    house.sweep().await;
    let tally = house.tally(new.id, 0).await;
    assert_eq!((tally.succeeded, tally.cancelled), (2, 3));
    assert_eq!(house.store.workflow(new.id).await.unwrap().unwrap().state, WorkflowState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_let_go_although_somebody_has_one_of_them_in_hand() {
    let house = House::new().await;
    let new = workflow(&house.env, None, vec![step("a", 1, &[]), step("g", 3, &["a"])]);
    house.start(&new).await;
    let other = house.open(&cancels(new.members[2].id)).await;
    house.succeed(house.claim(1).await).await;
    assert_eq!(house.states(&new.members[1..]).await, [State::Ready, State::Blocked, State::Ready]);
    other.batch_execute("ROLLBACK").await.unwrap();
    house.sweep().await;
    assert_eq!(house.states(&new.members[1..]).await, [State::Ready; 3]);
}

/// In the first part of a large step, too, and while what somebody holds stays held.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_in_somebodys_hand_holds_up_none_behind_it() {
    let house = House::new().await;
    let new = workflow(&house.env, None, vec![StepDraft { open: true, ..step("g", 0, &[]) }]);
    house.start(&new).await;
    for part in 0..3 {
        let more = house.more(new.id, part * 1_000, 1_000);
        assert_eq!(house.store.extend_workflow(more).await.unwrap(), Extended::Added((part + 1) * 1_000));
    }
    let claimed = house.claim(1).await.remove(0);
    let handler = house.open(&settles(&claimed)).await;
    let order = house.store.order_workflow(new.id, Order::Cancel);
    assert_eq!(within(order).await.unwrap(), Ordered::Done(WorkflowState::Cancelling));
    for _ in 0..4 {
        house.sweep().await;
    }
    assert_eq!(house.tally(new.id, 0).await.cancelled, 2_999);
    handler.batch_execute("ROLLBACK").await.unwrap();
    for _ in 0..3 {
        house.sweep().await;
    }
    let pulse = house.store.heartbeat(house.worker, DEADLINE).await.unwrap();
    assert_eq!(pulse.cancel, [claimed.lease], "it is asked as soon as that is possible");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_steps_go_at_once_however_many_they_are_together() {
    let house = House::new().await;
    let groups = ["c", "d", "e", "f", "g"].map(|name| step(name, 150, &["a"]));
    for _ in 0..4 {
        let new = workflow(&house.env, None, [step("a", 1, &[])].into_iter().chain(groups.clone()).collect());
        house.start(&new).await;
    }
    house.succeed(house.claim(4).await).await;
    let blocked: i64 = house.sql.query_one("SELECT count(*) FROM blocked", &[]).await.unwrap().get(0);
    assert_eq!(blocked, 0, "3,000 in five steps of four workflows, and no sweep");
}

/// Nobody waits for a turn to sweep.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_promotes_goes_on_with_a_large_step_that_was_let_go() {
    let house = House::new().await;
    let new = workflow(&house.env, None, vec![StepDraft { open: true, ..step("g", 0, &["a"]) }, step("a", 1, &[])]);
    house.start(&new).await;
    for part in 0..3 {
        let more = house.more(new.id, part * 1_000, 1_000);
        assert_eq!(house.store.extend_workflow(more).await.unwrap(), Extended::Added((part + 1) * 1_000));
    }
    house.succeed(house.claim(1).await).await;
    assert_eq!(house.store.promote(1_000).await.unwrap().next_due, Some(Duration::ZERO));
    house.store.promote(1_000).await.unwrap();
    let blocked: i64 = house.sql.query_one("SELECT count(*) FROM blocked", &[]).await.unwrap().get(0);
    assert_eq!(blocked, 0);
}

/// A plan that was made when there were few steps is kept, and would go through all of them for each.
#[tokio::test(flavor = "multi_thread")]
async fn steps_are_written_by_their_keys_however_few_there_were() {
    let house = House::new().await;
    let text = include_str!("../../queries/flow_write.sql");
    let body: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
    let body = body.join("\n").replace("{s}", &house.schema.0).replace("{now}", "$1").replace("{kept_max}", "1");
    let prepare = format!("SET plan_cache_mode = force_generic_plan; PREPARE q(bigint) AS {body}");
    house.sql.batch_execute(&prepare).await.unwrap();
    let nothing = ["1"].into_iter().chain(std::iter::repeat_n("NULL", 19)).collect::<Vec<_>>().join(", ");
    let rows = house.sql.query(&format!("EXPLAIN EXECUTE q({nothing})"), &[]).await.unwrap();
    let plan = rows.iter().map(|row| row.get(0)).collect::<Vec<String>>().join("\n");
    assert!(plan.contains("Conflict Arbiter Indexes: step_pkey") && !plan.contains("Seq Scan on step"), "{plan}");
}

/// However many of them settle, each in batches of its own.
#[tokio::test(flavor = "multi_thread")]
async fn several_processes_at_once_lose_and_double_nothing() {
    const MEMBERS: usize = 600;
    let house = House::new().await;
    let new = workflow(&house.env, None, vec![step("g", MEMBERS, &[]), step("b", 1, &["g"])]);
    house.start(&new).await;
    let mut settlers = Vec::new();
    for _ in 0..4 {
        let store = PostgresStore::connect(&house.schema.url(""), house.env.clone()).await.unwrap();
        let (env, b) = (house.env.clone(), new.members[MEMBERS].id);
        settlers.push(tokio::spawn(async move {
            let worker = enter(&*store, &env).await;
            let mut settled = 0;
            loop {
                let mut claimed = claim(&*store, &env, worker, 7).await;
                claimed.retain(|claimed| claimed.lease.id != b);
                if claimed.is_empty() {
                    // It goes on for others for a while: one that ended now would leave to sweeps what they have passed over.
                    return (settled, store);
                }
                let all = claimed.into_iter().map(|claimed| Settlement::new(claimed.lease, Ending::Succeeded)).collect();
                settled += store.settle(all).await.unwrap().len();
            }
        }));
    }
    let (mut settled, mut stores) = (0, Vec::new());
    for settler in settlers {
        let (count, store) = settler.await.unwrap();
        settled += count;
        stores.push(store);
    }
    assert_eq!(settled, MEMBERS);
    // Nobody has to sweep: whoever was passed over is found by the one who had the workflow in hand.
    let gone = async {
        while house.word(new.id, 1).await == StepWord::Waiting {
            tokio::task::yield_now().await;
        }
    };
    within(gone).await;
    let tally = house.tally(new.id, 0).await;
    assert_eq!((tally.succeeded as usize, tally.ended() as usize), (MEMBERS, MEMBERS));
    let left: i64 = house.sql.query_one("SELECT count(*) FROM report", &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

/// Nothing goes before all of it waits again; until then a program of the version before finds it paused, and its steps waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_goes_on_after_a_crash() {
    const MEMBERS: u32 = 2_500;
    let house = House::new().await;
    let open = StepDraft { open: true, ..step("g", 0, &[]) };
    let new = workflow(&house.env, None, vec![open, step("b", 1, &["g"])]);
    let id = new.id;
    house.start(&new).await;
    for from in [0, 1_000, 2_000] {
        let count = 1_000.min(MEMBERS - from);
        let part = Extension { close: from + count == MEMBERS, ..house.more(id, from, count) };
        assert_eq!(house.store.extend_workflow(part).await.unwrap(), Extended::Added(from + count));
    }
    house.store.order_workflow(id, Order::Cancel).await.unwrap();
    while within(house.store.sweep(1_000)).await.unwrap().next_due == Some(Duration::ZERO) {}
    assert_eq!(house.store.retry_workflow(id, Retry::Failed.into()).await.unwrap(), Retried::Done(2));
    let count = async |of: &str| house.sql.query_one(&format!("SELECT count(*) FROM {of}"), &[]).await.unwrap().get::<_, i64>(0);
    let mut left = count("outcome WHERE ended <> 0").await;
    assert!(left >= 1_500, "{left} are left at first");
    while left > 0 {
        assert_eq!((count("ready").await, count("step WHERE state <> 0").await, count("report").await), (0, 0, 0));
        assert_eq!(count("workflow WHERE paused AND hold = 2 AND ended = 0 AND keep_until IS NULL").await, 1);
        assert_eq!(house.store.workflow(id).await.unwrap().unwrap().state, WorkflowState::Running);
        // Of a process that knows nothing of the ones before.
        let fresh = PostgresStore::connect(&house.schema.url(""), house.env.clone()).await.unwrap();
        within(fresh.sweep(1_000)).await.unwrap();
        let now = count("outcome WHERE ended <> 0").await;
        assert!(now < left, "{left} to {now}");
        left = now;
    }
    while within(house.store.sweep(1_000)).await.unwrap().next_due == Some(Duration::ZERO) {}
    assert_eq!((count("ready").await, count("workflow WHERE paused OR hold <> 0").await), (i64::from(MEMBERS), 0));
    assert_eq!(house.tally(id, 0).await.ended(), 0);
}

/// As by a handler's transaction, whose process dies then.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_knows_of_an_end_that_was_only_reported() {
    let house = House::new().await;
    let new = workflow(&house.env, None, vec![step("a", 1, &[])]);
    house.start(&new).await;
    let claimed = house.claim(1).await.remove(0);
    house.run(&settles(&claimed)).await;
    assert_eq!(house.word(new.id, 0).await, StepWord::Running);
    assert_eq!(house.store.retry_workflow(new.id, Retry::All.into()).await.unwrap(), Retried::Done(2));
    house.succeed(house.claim(1).await).await;
    let record = house.store.workflow(new.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.attempt, record.steps[0].row.tally.succeeded), (WorkflowState::Succeeded, 2, 1));
}

/// As that of a handler which waits for its own transaction by itself, and is gone with the commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_ends_before_it_conducts_keeps_nobody_waiting() {
    let house = House::new().await;
    let new = chain(&house.env, None);
    house.start(&new).await;
    let claimed = house.claim(1).await.remove(0);
    house.run(&settles(&claimed)).await;
    let (store, effects) = (house.store.clone(), Effects { ended: vec![claimed.lease.id], ..Effects::default() });
    let ends = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { <TokioPostgres as Driver>::committed(&*store, effects) });
    };
    std::thread::spawn(ends).join().unwrap();
    house.sweep().await;
    assert_eq!(house.word(new.id, 1).await, StepWord::Running);
    house.succeed(house.claim(1).await).await;
}

/// Each locks the workflow first.
#[tokio::test(flavor = "multi_thread")]
async fn two_retries_at_once_begin_one() {
    let house = House::new().await;
    let new = workflow(&house.env, Some("k"), vec![step("a", 3, &[])]);
    house.start(&new).await;
    house.store.order_workflow(new.id, Order::Cancel).await.unwrap();
    let other = PostgresStore::connect(&house.schema.url(""), house.env.clone()).await.unwrap();
    let both = tokio::join!(
        within(house.store.retry_workflow(new.id, Retry::Failed.into())),
        within(other.retry_workflow(new.id, Retry::All.into())),
    );
    let mut both = [both.0.unwrap(), both.1.unwrap()];
    both.sort_by_key(|retried| *retried == Retried::NotEnded);
    assert_eq!(both, [Retried::Done(2), Retried::NotEnded]);
    assert_eq!(house.tally(new.id, 0).await.ended(), 0);
    assert_eq!(house.claim(10).await.len(), 3);
}

/// Whoever drains goes on while a sweep may let go what is blocked, and for no other workflow's sake.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_what_was_told_of_its_own_workflows() {
    let house = House::new().await;
    let (told, other) = (chain(&house.env, None), chain(&house.env, None));
    house.start(&told).await;
    house.start(&NewWorkflow { members: Vec::new(), ..NewWorkflow { steps: Vec::new(), ..other.clone() } }).await;
    // Nothing but what is blocked is left.
    house.run(&settles(&house.claim(1).await[0])).await;
    house.run("DELETE FROM report").await;
    let report = "INSERT INTO report(workflow, step, succeeded, failed, cancelled) VALUES ($1, 0, 0, 0, 0)";
    let waits = async || house.store.pending(&["default".to_owned()], Duration::ZERO).await.unwrap().scheduled;
    house.sql.execute(report, &[&other.id.as_uuid()]).await.unwrap();
    assert!(!waits().await);
    house.sql.execute(report, &[&told.id.as_uuid()]).await.unwrap();
    assert!(waits().await);
    house.sweep().await;
    assert!(!waits().await);
}

/// One whose end is committed between two of its looks is neither running nor told of in those of one moment each.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_misses_nothing_that_ends_while_it_looks() {
    let house = House::new().await;
    house.start(&chain(&house.env, None)).await;
    let claimed = house.claim(1).await;
    let queues = ["default".to_owned()];
    house.store.pending(&queues, Duration::ZERO).await.unwrap();
    let ends = house.open("LOCK TABLE lease IN ACCESS EXCLUSIVE MODE").await;
    let store = house.store.clone();
    let pending = tokio::spawn(async move { store.pending(&queues, Duration::ZERO).await });
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'lease'::regclass";
    within(async { while house.sql.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {} }).await;
    ends.batch_execute(&format!("{}; COMMIT", settles(&claimed[0]))).await.unwrap();
    let pending = within(pending).await.unwrap().unwrap();
    assert!(!pending.is_idle(), "a member waits for what was told: {pending:?}");
}

/// They are kept as long as before, and would be found again by each sweep.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_kept_for_ever_keep_no_sweep_busy() {
    let house = House::new().await;
    let mut new = NewWorkflow { retention: Retention::None, ..workflow(&house.env, None, vec![step("a", 1_000, &[])]) };
    new.members.iter_mut().for_each(|member| member.retention = Retention::Forever);
    house.start(&new).await;
    while house.store.workflow(new.id).await.unwrap().unwrap().finished_at.is_none() {
        house.succeed(house.claim(1_000).await).await;
    }
    house.sweep().await;
    house.store.prune(1_000).await.unwrap();
    assert_eq!(house.store.workflow(new.id).await.unwrap(), None);
    assert_eq!(house.store.retry(&[new.members[0].id]).await.unwrap(), [RetryOutcome::Ready]);
    house.sweep().await;
    let left: i64 = house.sql.query_one("SELECT count(*) FROM report", &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

/// It keeps a member whose end it wrote, and leaves the flag that it does not know.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_an_older_program_wrote_is_told_once() {
    let house = House::new().await;
    let new = workflow(&house.env, None, vec![step("g", 2, &[]), step("b", 1, &["g"])]);
    house.start(&new).await;
    let older = "WITH gone AS (DELETE FROM ready WHERE id = $1 RETURNING *) INSERT INTO outcome(id, seq, finished_at, keep_until, \
                 claim_no, attempt, crashes, state, ended, owed) SELECT id, seq, 0, 9223372036854775807, 1, 0, 0, 7, 4, flags FROM gone";
    let id = new.members[0].id;
    assert_eq!(house.sql.execute(older, &[&id.as_uuid()]).await.unwrap(), 1);
    assert_eq!(house.store.retry(&[id]).await.unwrap(), [RetryOutcome::NotEnded], "its end is not over");
    for _ in 0..2 {
        house.time.advance(STILL);
        house.sweep().await;
        let tally = house.tally(new.id, 0).await;
        assert_eq!((tally.cancelled, tally.ended()), (1, 1));
    }
    assert_eq!(house.store.retry(&[id]).await.unwrap(), [RetryOutcome::Ready]);
    house.succeed(house.claim(2).await).await;
    assert_eq!((house.tally(new.id, 0).await.succeeded, house.word(new.id, 1).await), (2, StepWord::Running));
}

/// It cancels and retries members, and knows nothing of workflows.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_the_version_before_works_beside() {
    let house = House::new().await;
    let older = std::env::var("GRISTMILL_TEST_OLDER").expect("GRISTMILL_TEST_OLDER names a program; cargo xtask test builds one");
    let older = async |args: &[&str]| {
        let (program, store) = (older.clone(), house.schema.url(""));
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let run = move || std::process::Command::new(program).args(["--store", &store]).args(args).output();
        let said = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    };
    let new = workflow(&house.env, None, vec![step("g", 2, &[]), step("b", 1, &["g"])]);
    house.start(&new).await;
    let id = new.members[0].id.to_string();
    older(&["tasks", "cancel", &id]).await;
    // It tells nobody of the end that it wrote: whoever counts anew finds that.
    house.time.advance(STILL);
    house.sweep().await;
    assert_eq!(house.tally(new.id, 0).await.cancelled, 1);
    older(&["tasks", "retry", &id]).await;
    house.sweep().await;
    assert_eq!(house.tally(new.id, 0).await.ended(), 0, "what ran once more counts once");
    house.succeed(house.claim(10).await).await;
    assert_eq!((house.tally(new.id, 0).await.succeeded, house.word(new.id, 1).await), (2, StepWord::Running));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_ends_after_its_workflow_is_gone_is_kept_as_others_are() {
    let house = House::new().await;
    let new = NewWorkflow { retention: Retention::None, ..workflow(&house.env, None, vec![step("a", 1, &[])]) };
    house.start(&new).await;
    house.succeed(house.claim(1).await).await;
    house.store.prune(1_000).await.unwrap();
    assert_eq!(house.store.workflow(new.id).await.unwrap(), None);
    let id = new.members[0].id;
    assert_eq!(house.store.retry(&[id]).await.unwrap(), [RetryOutcome::Ready]);
    house.succeed(house.claim(1).await).await;
    house.sweep().await;
    let kept: i64 = house
        .sql
        .query_one("SELECT keep_until FROM outcome WHERE id = $1 AND ended <> 0", &[&id.as_uuid()])
        .await
        .unwrap()
        .get(0);
    assert!(kept < i64::MAX);
    let left: i64 = house.sql.query_one("SELECT count(*) FROM report", &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

/// Whoever may only enqueue could stop the sweeps of everybody with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_driver_sends_is_refused() {
    let house = House::new().await;
    let id = house.env.workflow_id().as_uuid();
    let spec = r#"{\"name\":\"a\",\"kind\":\"mail\",\"role\":\"work\"}"#;
    let member = format!(
        r#"{{"id":"{id}","queue":"default","kind":"mail","priority":4,"max_attempts":1,"max_crashes":1,"ack":0,"retention":0,"args":"1",
            "flags":4,"of_step":0,"of_place":0,"meta":"{{\"member\":{{\"workflow\":\"{id}\"}}}}"}}"#
    );
    let good = format!(
        r#"{{"id":"{id}","name":"w","retention":0,"definition":"{{}}","ended":0,
            "steps":[{{"spec":"{spec}","state":1,"chore":0,"closed":true}}],"members":[{member}]}}"#
    );
    let strange = house.env.workflow_id().as_uuid().to_string();
    let start = async |text: &str| house.sql.query_one("SELECT start_workflow($1::text::jsonb)", &[&text]).await;
    for (from, to, why) in [
        (r#""name":"w""#, r#""name":"""#, "name: is empty"),
        (r#""name":"w""#, r#""name":"w","key":"a\nb""#, "key: holds a control character"),
        (r#""ended":0"#, r#""ended":9"#, "ended: is not a whole number"),
        (r#""retention":0,"definition":"{}""#, r#""retention":0"#, "definition: is missing"),
        (r#""state":1"#, r#""state":4"#, "step 1: has a state"),
        (r#""chore":0"#, r#""chore":1"#, "step 1: has a state"),
        (r#""closed":true"#, r#""closed":null"#, "step 1: has a state"),
        (r#"\"name\":\"a\","#, "", "step 1: name: is empty"),
        (r#"\"kind\":\"mail\""#, r#"\"kind\":7"#, "step 1: kind: is empty"),
        (r#"\"work\""#, r#"\"play\""#, "step 1: role: is none"),
        (r#"\"work\""#, r#"{\"undo\":1}"#, "step 1: role: is none"),
        (r#"\"work\""#, r#"\"work\",\"after\":[[0,\"luck\"]]"#, "step 1: after: names no steps"),
        (r#"\"work\""#, r#"\"work\",\"after\":[[1,\"success\"]]"#, "step 1: after: names no steps"),
        (r#"\"work\""#, r#"\"work\",\"group\":1"#, "step 1: group: is neither"),
        (r#"\"work\""#, r#"\"work\",\"tolerance\":{\"count\":4294967296}"#, "step 1: tolerance: is no number"),
        (r#"\"work\""#, r#"\"work\",\"tolerance\":{\"percent\":101}"#, "step 1: tolerance: is no number"),
        (r#"\"work\""#, &format!(r#"\"work\",\"more\":\"{}\""#, "x".repeat(65_536)), "step 1: spec: is missing, or larger"),
        (r#""of_place":0"#, r#""of_place":1"#, "members: are of no step"),
        (r#""of_step":0"#, r#""of_step":1"#, "members: are of no step"),
        (r#""flags":4"#, r#""flags":0"#, "task 1: flags"),
        (r#""flags":4"#, r#""flags":20"#, "has flags that this version"),
        (r#""priority":4"#, r#""priority":12"#, "task 1: priority"),
        (r#"{\"workflow\":\"#, r#"{\"other\":\"#, "task 1: flags"),
    ] {
        assert!(good.contains(from), "{from}");
        let error = start(&good.replace(from, to)).await.expect_err(to);
        let said = error.as_db_error().unwrap().message();
        assert!(said.starts_with(why) || said.contains(why), "{to}: {said}");
    }
    let other = good.replace(&format!(r#"\"{id}\""#), &format!(r#"\"{strange}\""#));
    assert!(start(&other).await.is_err(), "a member of another workflow");
    assert_eq!(start(&good).await.unwrap().get::<_, String>(0), "created");
    assert_eq!(start(&good).await.unwrap().get::<_, String>(0), id.to_string());
    // No other way leads a task into a workflow.
    let insert = async |task: String| {
        let tasks = format!("[{task}]");
        house.sql.query_one("SELECT insert_tasks($1::text::jsonb)", &[&tasks]).await.map(drop)
    };
    for task in [
        member.clone(),
        member.replace(r#""flags":4,"#, ""),
        member.replace("member", r"\\u006dember").replace(r#""flags":4,"#, ""),
    ] {
        let error = insert(task.clone()).await.expect_err(&task);
        assert!(error.as_db_error().unwrap().message().starts_with("task 1: flags"), "{task}: {error:?}");
    }
}

/// Members that come by the thousand, to a step that waits and to one that goes, between what others do.
#[tokio::test(flavor = "multi_thread")]
async fn members_are_added_while_others_end() {
    let house = House::new().await;
    let open = |name: &str, after: &[&str]| StepDraft { open: true, ..step(name, 0, after) };
    let new = workflow(&house.env, None, vec![open("g", &[]), step("b", 1, &["g"])]);
    house.start(&new).await;
    let mut added = 0;
    for part in 0..3 {
        let more = Extension { close: part == 2, ..house.more(new.id, added, 100) };
        added += 100;
        assert_eq!(house.store.extend_workflow(more).await.unwrap(), Extended::Added(added));
        house.succeed(house.claim(60).await).await;
    }
    assert_eq!(house.word(new.id, 0).await, StepWord::Running);
    house.succeed(house.claim(1_000).await).await;
    assert_eq!((house.word(new.id, 0).await, house.word(new.id, 1).await), (StepWord::Succeeded, StepWord::Running));
    let page = house.store.members(new.id, "g", Some(149), 2).await.unwrap();
    assert_eq!(page.iter().map(|member| member.place).collect::<Vec<_>>(), [150, 151]);
}

/// Whoever cancels what is late works through a list, and each may take its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_whose_deadline_was_moved_since_it_was_seen_is_not_cancelled() {
    let house = House::new().await;
    let new = NewWorkflow { deadline: Some(Duration::from_secs(1)), ..chain(&house.env, None) };
    house.start(&new).await;
    house.time.advance(Duration::from_secs(2));
    let somebody = house.open("SELECT FROM workflow FOR UPDATE").await;
    let (store, schema) = (house.store.clone(), house.schema.0.clone());
    let sweep = tokio::spawn(async move { store.sweep(1_000).await });
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND strpos(query, $1) > 0)";
    within(async { while !house.sql.query_one(waits, &[&schema]).await.unwrap().get::<_, bool>(0) {} }).await;
    somebody.batch_execute("UPDATE workflow SET deadline_at = deadline_at + 60000; COMMIT").await.unwrap();
    within(sweep).await.unwrap().unwrap();
    let record = house.store.workflow(new.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.overdue), (WorkflowState::Running, false));
    house.time.advance(Duration::from_secs(60));
    house.sweep().await;
    assert!(house.store.workflow(new.id).await.unwrap().unwrap().overdue);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_step_that_is_begun_anew_are_not_deleted_meanwhile() {
    let house = House::new().await;
    let mut new = chain(&house.env, None);
    new.members.iter_mut().for_each(|member| member.retention = Retention::For(Duration::from_secs(1)));
    house.start(&new).await;
    house.succeed(house.claim(1).await).await;
    house.succeed(house.claim(1).await).await;
    house.run("UPDATE outcome SET keep_until = 0").await;
    let members = async || house.sql.query_one("SELECT count(*) FROM task", &[]).await.unwrap().get::<_, i64>(0);
    for chore in 4..=6 {
        house.run(&format!("UPDATE step SET chore = {chore} WHERE number = 0")).await;
        house.store.prune(1_000).await.unwrap();
        assert_eq!(members().await, 1, "those of the other step are over");
    }
    house.run("UPDATE step SET chore = 0").await;
    house.store.prune(1_000).await.unwrap();
    assert_eq!(members().await, 0);
}
