use std::time::{Duration, Instant};

use gristmill_core::{Claim, Ending, Env, Overrides, Settlement, Source, State, Store, Wake, Wanted, WorkerSpec};
use gristmill_postgres::PostgresStore;

use crate::common::{Schema, database, task};

/// Far beyond what any wake-up takes: a wait that runs into it was not woken.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn an_enqueue_elsewhere_wakes_and_so_does_an_end() {
    let schema = Schema::new();
    news_travel(&schema.url("")).await;
}

/// Who waits has said so before the other was there, and says it again only after a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_came_later_tells_of_ends_too() {
    let (schema, env) = (Schema::new(), Env::system());
    let there = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let first = task(&env, "mail", Overrides::default());
    let id = first.id;
    there.enqueue(vec![first]).await.unwrap();
    // Longer than it takes to say so.
    there.wait(Wake::Ended(id), Duration::from_secs(1)).await;
    let here = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let ended = async {
        while there.get(id).await.unwrap().is_some_and(|task| !task.state.is_final()) {
            there.wait(Wake::Ended(id), DEADLINE).await;
        }
    };
    let (since, ids) = (Instant::now(), [id]);
    let (_, cancelled) = tokio::join!(ended, here.cancel(&ids));
    cancelled.unwrap();
    assert!(since.elapsed() < DEADLINE, "it was found by the timeout and not by a wake-up");
}

/// From one store to another, all by themselves.
pub(crate) async fn news_travel(url: &str) {
    let env = Env::system();
    let here = PostgresStore::connect(url, env.clone()).await.unwrap();
    let there = PostgresStore::connect(url, env.clone()).await.unwrap();
    let spec = WorkerSpec {
        id: env.worker_id(),
        name: "w".to_owned(),
        lease: DEADLINE,
        kinds: vec!["mail".into()],
        queues: [("default".to_owned(), 1)].into(),
        version: String::new(),
    };
    here.enter(&spec).await.unwrap();
    for _ in 0..3 {
        let new = task(&env, "mail", Overrides::default());
        let id = new.id;
        let since = Instant::now();
        let claimed = async {
            loop {
                let wanted = vec![Wanted::new("default", 1)];
                let claim = Claim { worker: spec.id, fence: env.fence(), wanted, again: false };
                match here.claim(&claim).await.unwrap().pop() {
                    Some(claimed) => break claimed,
                    None => here.wait(Wake::Ready, DEADLINE).await,
                }
            }
        };
        let (claimed, _) = tokio::join!(claimed, there.enqueue(vec![new]));
        assert!(since.elapsed() < DEADLINE, "it was found by the timeout and not by a wake-up");
        let ended = async {
            while there.get(id).await.unwrap().is_some_and(|task| task.state != State::Succeeded) {
                there.wait(Wake::Ended(id), DEADLINE).await;
            }
        };
        let settle = here.settle(vec![Settlement::new(claimed.lease, Ending::Succeeded)]);
        let (_, settled) = tokio::join!(ended, settle);
        settled.unwrap();
        assert!(since.elapsed() < DEADLINE, "it was found by the timeout and not by a wake-up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_ends_are_replaced() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url("&application_name=to_be_ended"), env.clone()).await.unwrap();
    store.enqueue(vec![task(&env, "mail", Overrides::default())]).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&database(), tokio_postgres::NoTls).await.unwrap();
    let serve = async { connection.await.unwrap() };
    let end = async {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'to_be_ended'";
        assert!(!client.query(end, &[]).await.unwrap().is_empty());
        drop(client);
    };
    tokio::join!(serve, end);
    let mut errors = 0;
    // A call may be the one that finds out, and is told so as something that passes.
    while let Err(error) = store.enqueue(vec![task(&env, "mail", Overrides::default())]).await {
        errors += 1;
        assert!(error.is_transient() && errors < 10, "{error}");
    }
    assert_eq!(store.list(&Default::default(), None, 10).await.unwrap().items.len(), 2);
}
