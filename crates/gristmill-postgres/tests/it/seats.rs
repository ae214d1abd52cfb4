//! Of the idle workers that serve the same only a few listen, as a notification wakes all sessions that do; and nothing waits for one of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::{Claim, Claimed, Env, Overrides, Source, Store, TaskId, Wake, Wanted, WorkerSpec};
use gristmill_postgres::PostgresStore;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::common::{Schema, client, task};

/// Far beyond what any wake-up takes: a wait that runs into it was not woken.
const DEADLINE: Duration = Duration::from_secs(60);
const SEATS: usize = 4;

/// A worker in a process of its own, as far as the store can tell.
struct Member {
    store: Arc<PostgresStore>,
    spec: WorkerSpec,
    env: Env,
    name: String,
}

impl Member {
    async fn new(schema: &Schema, env: &Env) -> Self {
        let name = format!("m{}", env.fence().as_uuid().simple());
        let store = PostgresStore::connect(&schema.url(&format!("&application_name={name}")), env.clone()).await.unwrap();
        let spec = WorkerSpec {
            id: env.worker_id(),
            name: "w".to_owned(),
            lease: DEADLINE,
            kinds: vec!["mail".into()],
            queues: [("default".to_owned(), 1)].into(),
            version: String::new(),
        };
        store.enter(&spec).await.unwrap();
        Self { store, spec, env: env.clone(), name }
    }

    /// Waits for ready tasks as one does that has nothing to do, and takes none.
    fn wait(&self) -> JoinHandle<()> {
        let store = self.store.clone();
        tokio::spawn(async move {
            loop {
                store.wait(Wake::Ready, DEADLINE).await;
            }
        })
    }

    async fn claim(&self) -> Option<Claimed> {
        let wanted = vec![Wanted::new("default", 1)];
        let claim = Claim { worker: self.spec.id, fence: self.env.fence(), wanted, again: false };
        self.store.claim(&claim).await.unwrap().pop()
    }

    /// Takes the next task, and looks only when it is woken.
    async fn next(&self) -> Claimed {
        loop {
            if let Some(claimed) = self.claim().await {
                return claimed;
            }
            let since = Instant::now();
            self.store.wait(Wake::Ready, DEADLINE).await;
            assert!(since.elapsed() < DEADLINE, "a task is there and nobody was woken");
        }
    }

    /// How many seats it has.
    async fn seats(&self, eye: &Client) -> i64 {
        let seats = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) \
                     WHERE locktype = 'advisory' AND granted AND application_name = $1";
        eye.query_one(seats, &[&self.name]).await.unwrap().get(0)
    }

    async fn is_seated(&self, eye: &Client) {
        let until = Instant::now() + DEADLINE;
        while self.seats(eye).await == 0 {
            assert!(Instant::now() < until, "a seat is free and nobody takes it");
            tokio::task::yield_now().await;
        }
    }
}

/// So many that all have a seat and no claims, and one more that finds none.
async fn full_house(schema: &Schema, env: &Env, eye: &Client) -> (Vec<(Member, JoinHandle<()>)>, Member) {
    let mut seated = Vec::new();
    for _ in 0..SEATS {
        let member = Member::new(schema, env).await;
        let waits = member.wait();
        member.is_seated(eye).await;
        seated.push((member, waits));
    }
    (seated, Member::new(schema, env).await)
}

async fn add(store: &PostgresStore, env: &Env) -> TaskId {
    let new = task(env, "mail", Overrides::default());
    let id = new.id;
    store.enqueue(vec![new]).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_those_with_a_seat_leave_is_found_by_who_rests() {
    let (schema, env, eye) = (Schema::new(), Env::system(), client().await);
    let (seated, rests) = full_house(&schema, &env, &eye).await;
    let caller = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    for _ in 0..3 {
        let (claimed, id) = tokio::join!(rests.next(), add(&caller, &env));
        assert_eq!(claimed.lease.id, id);
        assert_eq!(rests.seats(&eye).await, 0);
    }
    seated.iter().for_each(|(_, waits)| waits.abort());
}

/// Who was told is busy by then, and who takes the seat was not told.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_busy_leaves_its_seat_and_what_it_was_told_to_another() {
    let (schema, env, eye) = (Schema::new(), Env::system(), client().await);
    let (seated, rests) = full_house(&schema, &env, &eye).await;
    let caller = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    seated[0].1.abort();
    let (claimed, id) = tokio::join!(rests.next(), add(&caller, &env));
    assert_eq!(claimed.lease.id, id);
    let waits = rests.wait();
    rests.is_seated(&eye).await;
    let until = Instant::now() + DEADLINE;
    while seated[0].0.seats(&eye).await > 0 {
        assert!(Instant::now() < until, "it keeps a seat while it takes nothing");
        tokio::task::yield_now().await;
    }
    waits.abort();
    seated.iter().for_each(|(_, waits)| waits.abort());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seat_of_one_whose_connection_breaks_is_free() {
    let (schema, env, eye) = (Schema::new(), Env::system(), client().await);
    let (mut seated, rests) = full_house(&schema, &env, &eye).await;
    let waits = rests.wait();
    let (gone, its_wait) = seated.remove(0);
    its_wait.abort();
    gone.store.close();
    drop(gone);
    rests.is_seated(&eye).await;
    waits.abort();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid) \
               WHERE locktype = 'advisory' AND application_name = $1";
    eye.query(end, &[&rests.name]).await.unwrap();
    // Comes back by itself, as nobody else wants it.
    let waits = rests.wait();
    rests.is_seated(&eye).await;
    waits.abort();
    seated.iter().for_each(|(_, waits)| waits.abort());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_rests_hears_of_a_request_to_stop_what_it_runs() {
    let (schema, env, eye) = (Schema::new(), Env::system(), client().await);
    let (seated, rests) = full_house(&schema, &env, &eye).await;
    let waits = rests.wait();
    let caller = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    for _ in 0..3 {
        let id = add(&caller, &env).await;
        while rests.claim().await.is_none() {}
        let since = Instant::now();
        let cancelled = async {
            while rests.store.cancelled(rests.spec.id).await.unwrap().iter().all(|lease| lease.id != id) {
                rests.store.wait(Wake::Cancelled, DEADLINE).await;
            }
        };
        let ids = [id];
        let (_, asked) = tokio::join!(cancelled, caller.cancel(&ids));
        asked.unwrap();
        assert!(since.elapsed() < DEADLINE, "it was found by the timeout and not by a wake-up");
        assert_eq!(rests.seats(&eye).await, 0);
    }
    waits.abort();
    seated.iter().for_each(|(_, waits)| waits.abort());
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_serve_something_else_have_seats_of_their_own() {
    let (schema, env, eye) = (Schema::new(), Env::system(), client().await);
    let (seated, rests) = full_house(&schema, &env, &eye).await;
    let other = WorkerSpec { id: env.worker_id(), queues: [("other".to_owned(), 1)].into(), ..rests.spec.clone() };
    let store = PostgresStore::connect(&schema.url(&format!("&application_name={}", rests.name)), env.clone()).await.unwrap();
    store.enter(&other).await.unwrap();
    let member = Member { store, spec: other, env: env.clone(), name: rests.name.clone() };
    let waits = member.wait();
    member.is_seated(&eye).await;
    waits.abort();
    seated.iter().for_each(|(_, waits)| waits.abort());
}
