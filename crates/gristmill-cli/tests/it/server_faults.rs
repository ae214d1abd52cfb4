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

/// Waits until so many tasks have succeeded.
fn until_all_ended(sandbox: &Sandbox, count: usize) {
    let list = ["tasks", "list", "--state", "succeeded", "--limit", "1000"];
    until("all succeed", || sandbox.json(&list)["items"].as_array().unwrap().len() == count);
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
    let (ids, text) = lines(150);
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    // So much work for each fault that it comes in the middle of it, however fast the machine is.
    let mut works = lines.chunks(30).map(|lines| {
        sandbox.write("tasks.jsonl", lines.concat());
        // With the same ids again, if the server is still about to recover.
        until("they are kept", || sandbox.run(&["enqueue", "--jsonl", "tasks.jsonl"]).code == Some(0));
        until_it_goes_on(&sandbox);
    });
    let worker = sandbox.worker(&["--queues", "default=4"]);

    works.next().unwrap();
    server.kill();
    server.start_again();

    // One process of the server dies: it ends all the others, and recovers.
    works.next().unwrap();
    let backend = "SELECT pid FROM pg_stat_activity WHERE application_name = 'gristmill' ORDER BY random() LIMIT 1";
    let backend: i32 = server.sql(backend).parse().unwrap();
    kill_process(Pid::from_raw(backend).unwrap(), Signal::KILL).unwrap();
    server.start_again();

    works.next().unwrap();
    for _ in 0..10 {
        server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gristmill' ORDER BY random() LIMIT 1",
        );
    }

    works.next().unwrap();
    server.stop();
    server.start_again();

    works.next().unwrap();
    until_all_ended(&sandbox, ids.len());
    end(worker);
    check(&sandbox, &ids);
    assert_eq!(server.sql("SELECT count(*) FROM gristmill.outcome WHERE crashes > 0"), "0", "no worker died");
}

#[test]
fn a_worker_follows_the_primary_to_another_host() {
    let mut primary = Cluster::start(&[]);
    let standby = primary.standby(&[]);
    // What is acknowledged is on both.
    primary.set("synchronous_standby_names = '*'");
    let sandbox = on(&primary.url_with(&standby));
    let ids = enqueue(&sandbox, 60);
    let worker = sandbox.worker(&["--queues", "default=4"]);
    until_it_goes_on(&sandbox);
    primary.kill();
    standby.promote();
    until_it_goes_on(&sandbox);
    until_all_ended(&sandbox, ids.len());
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
    until_all_ended(&sandbox, ids.len());

    server.sql("ALTER ROLE app PASSWORD 'another'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    worker.hears("the password is wrong");
    server.sql("ALTER ROLE app NOLOGIN PASSWORD 'app'");
    worker.hears("is not permitted to log in");
    server.sql("ALTER ROLE app LOGIN");
    let id = sandbox.ok(&["enqueue", "record"]);
    sandbox.until_state(&id, "succeeded");
    end(worker);
}

#[test]
fn what_a_worker_waits_for_ends_with_it() {
    let server = Cluster::start(&["max_prepared_transactions=1"]);
    // Longer than the test may take: a lock that nobody gives up, and no timeout.
    let sandbox = on(&format!("{}?lock_timeout=1h&statement_timeout=1h", server.url()));
    sandbox.ok(&["migrate"]);
    let blocked = || server.sql("SELECT count(*) FROM pg_locks WHERE NOT granted");
    let block = "BEGIN; LOCK TABLE gristmill.ready; PREPARE TRANSACTION 'lock'";

    let worker = sandbox.worker(&[]);
    server.sql(block);
    until("its statements wait", || blocked() != "0");
    end(worker);
    until("they are cancelled", || blocked() == "0");

    let worker = sandbox.start(&["worker"]);
    until("its statements wait", || blocked() != "0");
    worker.signal(Signal::KILL);
    worker.ended();
    until("the server has noticed", || blocked() == "0");
    server.sql("ROLLBACK PREPARED 'lock'");
}
