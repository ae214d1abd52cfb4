//! Somebody holds every table: calls end in time, or are ended from outside, and leave nothing behind.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::{
    Claim, Claimed, Ending, Env, Filter, Note, Overrides, Settled, Settlement, State, Store, StoreError, StoreErrorKind, TaskId,
    Wanted, WorkerId, WorkerSpec,
};
use gristmill_postgres::PostgresStore;
use tokio_postgres::Client;

use crate::common::{Schema, client, task};

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_held_for_too_long_is_named() {
    let bench = Bench::new("&lock_timeout=40ms").await;
    bench.hold().await;
    for (name, call) in bench.calls() {
        let error = call.await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Busy, "{name}: {error}");
        assert!(error.to_string().contains("holds a lock"), "{name}: {error}");
    }
    bench.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_ended() {
    let bench = Bench::new("&statement_timeout=40ms").await;
    bench.hold().await;
    for (name, call) in bench.calls() {
        let error = call.await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Busy, "{name}: {error}");
        assert!(error.to_string().contains("statement timeout"), "{name}: {error}");
    }
    bench.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_an_administrator_ends_is_an_error_that_passes() {
    let bench = Bench::new("").await;
    bench.hold().await;
    for (name, call) in bench.calls() {
        let call = tokio::spawn(call);
        let until = Instant::now() + DEADLINE;
        // A sweep has several statements, which all wait in turn.
        while !call.is_finished() {
            bench.end("wait_event_type = 'Lock'").await;
            tokio::task::yield_now().await;
            assert!(Instant::now() < until, "{name} goes on though its session was ended");
        }
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{name}: {error}");
        assert!(error.to_string().contains("the server ended this connection"), "{name}: {error}");
    }
    bench.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_no_transaction_open() {
    let bench = Bench::new("").await;
    bench.hold().await;
    for (name, call) in bench.calls().into_iter().filter(|(name, _)| !name.contains("enqueue")) {
        let call = tokio::spawn(call);
        bench.until(&format!("{name} waits for a lock"), "count(*) FILTER (WHERE wait_event_type = 'Lock') > 0").await;
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        bench.end("wait_event_type = 'Lock'").await;
        bench.until(&format!("{name} has gone"), "count(*) FILTER (WHERE wait_event_type = 'Lock') = 0").await;
    }
    bench.goes_on().await;
}

/// A store with a worker that holds one task, while another waits; and somebody who is in the way.
struct Bench {
    store: Arc<dyn Store>,
    /// The same without short timeouts, which a busy machine may exceed with nobody in the way.
    calm: Arc<dyn Store>,
    env: Env,
    worker: WorkerId,
    held: Claimed,
    waiting: TaskId,
    /// Is in the way.
    other: Client,
    /// Looks on, outside of every transaction: within one it would see the same sessions for ever.
    eye: Client,
    schema: Schema,
}

type Call = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

impl Bench {
    async fn new(options: &str) -> Self {
        let (schema, env) = (Schema::new(), Env::system());
        let url = schema.url(&format!("{options}&application_name={}", schema.0));
        let worker = env.worker_id();
        let spec = WorkerSpec {
            id: worker,
            name: "w".to_owned(),
            lease: DEADLINE * 10,
            kinds: vec!["work".into()],
            queues: [("default".to_owned(), 1)].into(),
            version: String::new(),
        };
        let calm: Arc<dyn Store> = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
        let mut tries = 0;
        // With a short timeout that may take more than one try on a busy machine.
        let store: Arc<dyn Store> = loop {
            match PostgresStore::connect(&url, env.clone()).await {
                Ok(store) => break store,
                Err(error) => assert!(tries < 100 && error.is_transient(), "{error}"),
            }
            tries += 1;
        };
        calm.enter(&spec).await.unwrap();
        let tasks = [(); 2].map(|()| task(&env, "work", Overrides::default())).to_vec();
        let waiting = tasks[1].id;
        calm.enqueue(tasks).await.unwrap();
        let held = calm.claim(&claim(worker, &env)).await.unwrap().pop().unwrap();
        // So that the partitions are there, which are made in their own way.
        let _ = store.sweep(10).await;
        Self { store, calm, env, worker, held, waiting, other: client().await, eye: client().await, schema }
    }

    /// Holds every table until [`goes_on`](Self::goes_on).
    async fn hold(&self) {
        let tables = ["task", "ready", "scheduled", "parked", "lease", "live", "outcome", "worker", "queue", "kind"];
        let tables = tables.map(|table| format!("{}.{table}", self.schema.0)).join(", ");
        self.other.batch_execute(&format!("BEGIN; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
    }

    /// Every operation that writes, one by one.
    fn calls(&self) -> Vec<(&'static str, Call)> {
        let (env, worker, lease, waiting) = (self.env.clone(), self.worker, self.held.lease, self.waiting);
        macro_rules! call {
            ($store:ident => $call:expr) => {{
                let $store = self.store.clone();
                (stringify!($call), Box::pin(async move { $call.await.map(drop) }) as Call)
            }};
        }
        let new = vec![task(&env, "work", Overrides::default())];
        let claim = claim(worker, &env);
        let again = Claim { again: true, ..claim.clone() };
        let note = vec![Note { lease, logs: Some("so far".to_owned()), progress: None }];
        let plain = vec![Settlement::new(lease, Ending::Succeeded)];
        let failed = vec![Settlement::new(lease, Ending::Failed)];
        vec![
            call!(store => store.enqueue(new)),
            call!(store => store.claim(&claim)),
            call!(store => store.claim(&again)),
            call!(store => store.start(&[lease])),
            call!(store => store.note(note)),
            call!(store => store.heartbeat(worker, DEADLINE)),
            call!(store => store.settle(plain)),
            call!(store => store.settle(failed)),
            call!(store => store.cancel(&[waiting])),
            call!(store => store.retry(&[waiting])),
            call!(store => store.sweep(10)),
            call!(store => store.leave(worker)),
            call!(store => store.pause("default", true)),
        ]
    }

    /// Ends the store's sessions that this is true of.
    async fn end(&self, which: &str) {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1 AND";
        self.eye.query(&format!("{end} {which}"), &[&self.schema.0]).await.unwrap();
    }

    /// Waits until this is true of the store's sessions.
    async fn until(&self, what: &str, condition: &str) {
        let look = format!("SELECT {condition} FROM pg_stat_activity WHERE application_name = $1");
        let until = Instant::now() + DEADLINE;
        while !self.eye.query_one(&look, &[&self.schema.0]).await.unwrap().get::<_, bool>(0) {
            assert!(Instant::now() < until, "{what}");
            tokio::task::yield_now().await;
        }
    }

    /// Nobody is in the way any more: nothing of what failed has happened, and everything works.
    async fn goes_on(self) {
        self.other.batch_execute("ROLLBACK").await.unwrap();
        self.until("no session keeps a transaction open", "count(*) FILTER (WHERE state LIKE 'idle in%') = 0").await;
        let settled = self.calm.settle(vec![Settlement::new(self.held.lease, Ending::Succeeded)]).await.unwrap();
        assert_eq!(settled, [Settled::Done(State::Succeeded)]);
        let claimed = self.calm.claim(&claim(self.worker, &self.env)).await.unwrap();
        assert_eq!(claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [self.waiting]);
        assert!(self.calm.heartbeat(self.worker, DEADLINE).await.unwrap().alive);
        assert_eq!(self.calm.leave(self.worker).await.unwrap(), 1);
        let tasks = self.calm.list(&Filter::default(), None, 10).await.unwrap().items;
        assert_eq!(tasks.len(), 2, "{tasks:?}");
    }
}

fn claim(worker: WorkerId, env: &Env) -> Claim {
    Claim { worker, fence: env.fence(), wanted: vec![Wanted::new("default", 1)], again: false }
}
