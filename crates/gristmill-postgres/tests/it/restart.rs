//! A server that is killed, frozen or replaced while the store is open on it.

use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{Claim, Env, Overrides, Severity, Source, Store, StoreErrorKind, TaskId, Wake, Wanted, WorkerSpec};
use gristmill_postgres::PostgresStore;
use tokio_postgres::NoTls;

use crate::cluster::Cluster;
use crate::common::task;

/// However busy the machine is, nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

async fn open(url: &str) -> Arc<PostgresStore> {
    PostgresStore::connect(url, Env::system()).await.unwrap()
}

/// Enqueues one task; which, if that was acknowledged.
async fn enqueue(store: &PostgresStore) -> Result<TaskId, gristmill_core::StoreError> {
    let new = task(&Env::system(), "mail", Overrides::default());
    store.enqueue(vec![new.clone()]).await.map(|_| new.id)
}

fn worker(env: &Env, lease: Duration) -> WorkerSpec {
    WorkerSpec {
        id: env.worker_id(),
        name: "test".to_owned(),
        lease,
        kinds: vec!["mail".into()],
        queues: [("default".to_owned(), 1)].into(),
        version: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_that_was_acknowledged_and_is_used_again_at_once() {
    let mut server = Cluster::start(&[]);
    let store = open(&server.url()).await;
    let (sender, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            while !sender.is_closed() {
                match enqueue(&store).await {
                    Ok(id) => drop(sender.send(id)),
                    // Under way when the server died.
                    Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error}"),
                }
            }
        }
    });
    let mut kept = Vec::new();
    let written = tokio::time::timeout(PATIENCE, acknowledged.recv_many(&mut kept, 50));
    assert!(written.await.unwrap() > 0);
    server.kill();
    // What was acknowledged meanwhile was so before the kill.
    while let Ok(id) = acknowledged.try_recv() {
        kept.push(id);
    }
    server.start_again();
    for _ in 0..50 {
        kept.push(tokio::time::timeout(PATIENCE, acknowledged.recv()).await.unwrap().unwrap());
    }
    drop(acknowledged);
    tokio::time::timeout(PATIENCE, writer).await.unwrap().unwrap();
    for id in kept {
        assert!(store.get(id).await.unwrap().is_some(), "{id} was acknowledged and is lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_out_a_restart_and_wake_ups_come_again_after_it() {
    let mut server = Cluster::start(&[]);
    let (here, there) = (open(&server.url()).await, open(&server.url()).await);
    server.stop();
    let waiting = tokio::spawn({
        let here = here.clone();
        async move { here.queues().await }
    });
    server.start_again();
    // It was called while the server was down, which took shorter than a call's patience.
    tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap();
    let woken = async {
        loop {
            tokio::time::timeout(PATIENCE, here.wait(Wake::Ready, PATIENCE * 2)).await.unwrap();
            if here.queues().await.unwrap().iter().any(|queue| queue.ready > 0) {
                return;
            }
        }
    };
    let (_, enqueued) = tokio::join!(woken, enqueue(&there));
    enqueued.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_given_up_and_used_again_when_it_thaws() {
    let server = Cluster::start(&[]);
    let env = Env::system();
    // The tables, which take longer than the statements after them may.
    open(&server.url()).await.close();
    let store = open(&format!("{}?statement_timeout=500ms", server.url())).await;
    let worker = worker(&env, Duration::from_secs(600));
    store.enter(&worker).await.unwrap();
    let backends = server.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'gristmill'");
    let backends: Vec<_> = backends.lines().map(|pid| rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap()).collect();
    let signal = |signal| {
        for backend in &backends {
            rustix::process::kill_process(*backend, signal).unwrap();
        }
    };
    signal(rustix::process::Signal::STOP);
    let error = tokio::time::timeout(PATIENCE, store.heartbeat(worker.id, worker.lease)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error}");
    // On a new connection, whose server process is awake.
    assert!(store.heartbeat(worker.id, worker.lease).await.unwrap().alive);
    signal(rustix::process::Signal::CONT);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_one_that_can_be_written_is_found_before_and_after_a_failover() {
    let mut primary = Cluster::start(&[]);
    let standby = primary.standby(&[]);
    // In both orders: it does not matter which one the URL names first.
    let stores = [open(&standby.url_with(&primary)).await, open(&primary.url_with(&standby)).await];
    let mut kept = Vec::new();
    for store in &stores {
        kept.push(enqueue(store).await.unwrap());
    }
    // Alone it can be read, once it has what the primary has, and says why it can't be written.
    let reader = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Ok(reader) = PostgresStore::connect(&standby.url(), Env::system()).await
                && reader.get(kept[1]).await.unwrap().is_some()
            {
                return reader;
            }
        }
    });
    let reader = reader.await.unwrap();
    let error = enqueue(&reader).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
    assert!(error.to_string().contains("standby") && error.to_string().contains("connect to the primary"), "{error}");

    primary.kill();
    let error = PostgresStore::connect(&standby.url_with(&primary), Env::system()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "a host that may be about to become the primary: {error}");
    assert!(error.to_string().contains("read-only") && error.to_string().contains("nobody listens there"), "{error}");
    standby.promote();
    for store in &stores {
        // What was under way on the primary fails; a call that begins now finds the new one.
        let went_on = async { while enqueue(store).await.is_err() {} };
        tokio::time::timeout(PATIENCE, went_on).await.unwrap();
        for id in &kept {
            assert!(store.get(*id).await.unwrap().is_some());
        }
    }
}

/// The names of a task's queue and type, as anybody else reads them.
fn names_of(server: &Cluster, id: TaskId) -> String {
    server.sql(&format!(
        "SELECT q.name, k.name FROM gristmill.task t LEFT JOIN gristmill.queue q ON q.id = t.queue \
         LEFT JOIN gristmill.kind k ON k.id = t.kind WHERE t.id = '{}'",
        id.as_uuid()
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_a_failover_took_back_are_not_used_any_more() {
    let mut primary = Cluster::start(&[]);
    open(&primary.url()).await.close();
    let mut standby = primary.standby(&[]);
    standby.kill();
    let (store, env) = (open(&primary.url_with(&standby)).await, Env::system());
    let worker = worker(&env, Duration::from_secs(600));
    store.enter(&worker).await.unwrap();
    enqueue(&store).await.unwrap();
    let wanted = vec![Wanted::new("default", 1)];
    let claim = Claim { worker: worker.id, fence: env.fence(), wanted, again: false };
    assert_eq!(store.claim(&claim).await.unwrap().len(), 1);
    primary.kill();
    standby.start_again();
    standby.promote();
    // The first numbers are given anew, to other names.
    standby.sql(r#"SELECT gristmill.enqueue('other', '{}', '{"queue": "elsewhere", "force": true}')"#);
    let id = async {
        loop {
            if let Ok(id) = enqueue(&store).await {
                return id;
            }
        }
    };
    let id = tokio::time::timeout(PATIENCE, id).await.unwrap();
    assert_eq!(names_of(&standby, id), "default|mail");
    store.enter(&worker).await.unwrap();
    let claimed = store.claim(&Claim { fence: env.fence(), ..claim }).await.unwrap();
    assert_eq!(claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [id], "and nothing of another type");
    assert!(store.check().await.unwrap().iter().all(|finding| finding.code != "unnamed" || finding.severity == Severity::Ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_restored_under_a_program_is_noticed() {
    let server = Cluster::start(&[]);
    let store = open(&server.url()).await;
    enqueue(&store).await.unwrap();
    server.sql("DROP SCHEMA gristmill CASCADE");
    open(&server.url()).await.close();
    server.sql(r#"SELECT gristmill.enqueue('other', '{}', '{"queue": "elsewhere", "force": true}')"#);
    let noticed = async {
        loop {
            if let Ok(id) = enqueue(&store).await
                && names_of(&server, id) == "default|mail"
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, noticed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_a_crash_took_back_are_not_used_any_more() {
    let server = Cluster::start(&[]);
    if server.sql("SELECT current_setting('server_version_num')::integer < 150000") == "t" {
        return;
    }
    let store = open(&server.url()).await;
    enqueue(&store).await.unwrap();
    // All the others end with it, and the server recovers without having been stopped.
    let backend: i32 = server.sql("SELECT min(pid) FROM pg_stat_activity WHERE application_name = 'gristmill'").parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(backend).unwrap(), rustix::process::Signal::KILL).unwrap();
    let recovered = async {
        while remembers(&server, backend).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, recovered).await.unwrap();
    // As if the commits of the names had not reached the disk, and others had been given the numbers since.
    for table in ["queue", "kind"] {
        server.sql(&format!("UPDATE gristmill.{table} SET name = 'other'"));
    }
    let id = async {
        loop {
            if let Ok(id) = enqueue(&store).await {
                return id;
            }
        }
    };
    let id = tokio::time::timeout(PATIENCE, id).await.unwrap();
    assert_eq!(names_of(&server, id), "default|mail");
}

/// Whether the server still has, or does not say whether it has, this process among its own.
async fn remembers(server: &Cluster, backend: i32) -> bool {
    let Ok((client, connection)) = tokio_postgres::connect(&server.url(), NoTls).await else { return true };
    tokio::spawn(connection);
    let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)";
    client.query_one(sql, &[&backend]).await.map_or(true, |row| row.get(0))
}
