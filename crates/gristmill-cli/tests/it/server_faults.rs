//! Workers on a PostgreSQL server that is killed, replaced, read-only, full or locked to them: none ends, nothing is lost.

use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::Cluster;
use crate::crash::{RECORD, Record, check, lines};
use crate::sandbox::{Sandbox, Worker, until};

fn on(url: &str) -> Sandbox {
    Sandbox::new(RECORD).env("GRISTMILL_STORE", url)
}

/// Enqueues tasks that record what they do; their ids.
fn enqueue(sandbox: &Sandbox, count: usize) -> Vec<String> {
    let (ids, text) = lines(count);
    sandbox.write("tasks.jsonl", text);
    sandbox.ok(&["enqueue", "--jsonl", "tasks.jsonl"]);
    ids
}

/// Waits until more tasks were run than now.
fn until_it_goes_on(sandbox: &Sandbox) {
    let before = Record::read(sandbox).len();
    until("tasks are run", || Record::read(sandbox).len() > before + 4);
}

fn until_all_ended(sandbox: &Sandbox, ids: &[String]) {
    for id in ids {
        sandbox.until_state(id, "succeeded");
    }
}

/// It is alive and ends in order.
fn end(worker: Worker) -> String {
    worker.signal(Signal::TERM);
    let (status, said) = worker.ended();
    assert!(status.success(), "{said}");
    said
}

#[test]
fn a_worker_outlives_its_server_and_its_connections() {
    let mut server = Cluster::start(&[]);
    let sandbox = on(&server.url());
    let ids = enqueue(&sandbox, 240);
    let worker = sandbox.worker(&["--queues", "default=4"]);
    until_it_goes_on(&sandbox);
    server.kill();
    server.start_again();
    until_it_goes_on(&sandbox);

    // One process of the server dies: it ends all the others, and recovers.
    let backends = "SELECT pid FROM pg_stat_activity WHERE application_name = 'gristmill' ORDER BY random() LIMIT 1";
    let backend: i32 = server.sql(backends).parse().unwrap();
    kill_process(Pid::from_raw(backend).unwrap(), Signal::KILL).unwrap();
    until_it_goes_on(&sandbox);

    for _ in 0..10 {
        server.start_again();
        let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gristmill' \
                     ORDER BY random() LIMIT 1";
        server.sql(ended);
    }
    until_it_goes_on(&sandbox);
    server.stop();
    server.start_again();
    until_it_goes_on(&sandbox);

    until_all_ended(&sandbox, &ids);
    end(worker);
    check(&sandbox, &ids);
    let crashed = "SELECT count(*) FROM gristmill.outcome WHERE crashes > 0";
    assert_eq!(server.sql(crashed), "0", "no worker died");
}

#[test]
fn a_worker_follows_the_primary_to_another_host() {
    let mut primary = Cluster::start(&[]);
    let standby = primary.standby(&[]);
    // What is acknowledged is on both.
    primary.set("synchronous_standby_names = '*'");
    let sandbox = on(&primary.url_with(&standby));
    let ids = enqueue(&sandbox, 120);
    let worker = sandbox.worker(&["--queues", "default=4"]);
    until_it_goes_on(&sandbox);
    primary.kill();
    standby.promote();
    until_it_goes_on(&sandbox);
    until_all_ended(&sandbox, &ids);
    end(worker);
    check(&sandbox, &ids);
}

#[test]
fn a_worker_waits_while_its_server_can_only_be_read() {
    let mut primary = Cluster::start(&[]);
    on(&primary.url()).ok(&["enqueue", "record"]);
    let standby = primary.standby(&[]);
    let sandbox = on(&standby.url());
    let mut worker = sandbox.start(&["worker"]);
    worker.hears("waiting: ");
    let said = sandbox.fails(3, &["enqueue", "record"]);
    assert!(said.contains("read-only: a standby"), "{said}");
    primary.stop();
    standby.promote();
    worker.hears(": started");
    until("the task that waited is run", || Record::read(&sandbox).len() == 2);

    standby.set("default_transaction_read_only = on");
    worker.hears("the server is read-only");
    let said = sandbox.fails(3, &["enqueue", "record"]);
    assert!(said.contains("read-only"), "{said}");
    standby.set("default_transaction_read_only = off");
    let id = sandbox.ok(&["enqueue", "record"]);
    sandbox.until_state(&id, "succeeded");
    end(worker);
}

#[test]
fn a_worker_waits_while_its_role_may_not_connect() {
    let server = Cluster::start(&[]);
    server.sql(
        "CREATE ROLE app LOGIN PASSWORD 'app'; GRANT CREATE ON DATABASE gristmill TO app; ALTER ROLE app CONNECTION LIMIT 0",
    );
    let url = server.url();
    let (_, host) = url.split_once('@').unwrap();
    // One connection, and as many tasks at once as the machine can bear.
    let sandbox = on(&format!("postgres://app:app@{host}?pool=1"));
    let said = sandbox.fails(3, &["enqueue", "record"]);
    assert!(said.contains("no connection left"), "{said}");
    let mut worker = sandbox.start(&["worker", "--queues", "default=50"]);
    worker.hears("waiting: ");
    server.sql("ALTER ROLE app CONNECTION LIMIT -1");
    worker.hears(": started");
    let ids = enqueue(&sandbox, 60);
    until_all_ended(&sandbox, &ids);

    server.sql("ALTER ROLE app PASSWORD 'another'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    worker.hears("the password is wrong");
    server.sql("ALTER ROLE app NOLOGIN PASSWORD 'app'");
    worker.hears("is not permitted to log in");
    server.sql("ALTER ROLE app LOGIN");
    let id = sandbox.ok(&["enqueue", "record"]);
    sandbox.until_state(&id, "succeeded");
    end(worker);
}
