//! The roles of a PostgreSQL store, as an administrator makes them and programs log in with them.

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::sandbox::Sandbox;

const KINDS: &str = "[tasks.echo]\ncommand = [\"cat\"]\n";

/// What somebody with this role sees of the server.
fn login(server: &Cluster, name: &str, role: &str) -> Sandbox {
    server.sql(&format!("CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE {role}"));
    let url = server.url();
    let (_, place) = url.split_once('@').unwrap();
    Sandbox::new(KINDS).env("GRISTMILL_STORE", &format!("postgres://{name}:secret@{place}"))
}

#[test]
fn a_worker_a_reader_and_an_enqueuer_each_do_their_part() {
    let server = Cluster::start(&[]);
    let owner = Sandbox::without_config().env("GRISTMILL_STORE", &server.url());
    let sql = owner.ok(&["migrate", "--roles", "--sql"]);
    assert!(sql.contains("CREATE ROLE") && !sql.contains("CREATE TABLE"), "{sql}");
    assert_eq!(server.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'gristmill\\_%'"), "0", "it was only printed");
    for _ in 0..2 {
        let answer = owner.json(&["migrate", "--roles"]);
        assert_eq!(answer["roles"], serde_json::json!(["gristmill_enqueue", "gristmill_worker", "gristmill_read"]));
    }
    assert!(owner.ok(&["migrate", "--roles"]).contains("gristmill_worker"));

    let works = login(&server, "works", "gristmill_worker");
    let worker = works.worker(&[]);
    let enqueue = "SELECT gristmill.enqueue('echo', '{\"n\": 1}')";
    server.sql("CREATE ROLE shop LOGIN PASSWORD 'secret' IN ROLE gristmill_enqueue");
    let id = server.sql(&format!("SET ROLE shop; {enqueue}"));

    let reads = login(&server, "reads", "gristmill_read");
    let task = reads.until_state(&id, "succeeded");
    assert_eq!(task["result"], serde_json::json!({"n": 1}));
    assert_eq!(reads.json(&["tasks", "list"])["items"].as_array().unwrap().len(), 1);
    assert_eq!(reads.json(&["workers"])["items"][0]["alive"], true);
    for command in [&["queues", "list"][..], &["kinds"], &["migrate", "--check"]] {
        reads.ok(command);
    }
    for command in
        [&["enqueue", "echo"][..], &["tasks", "retry", &id], &["queues", "pause", "default"], &["worker", "--drain"], &["worker"]]
    {
        let said = reads.fails(3, command);
        assert!(said.contains("the role lacks this right"), "{command:?}: {said}");
    }

    for command in [&["migrate"][..], &["queues", "pause", "default"], &["queues", "resume", "default"], &["tasks", "retry", &id]]
    {
        works.ok(command);
    }
    works.until_state(&id, "succeeded");
    let other = works.enqueue("echo", "{}");
    works.until_state(&other, "succeeded");
    worker.signal(Signal::TERM);
    let (status, said) = worker.ended();
    assert!(status.success(), "{said}");
    // Only who owns the tables makes roles, and only PostgreSQL has any.
    assert!(works.fails(3, &["migrate", "--roles"]).contains("the role lacks this right"));
    let file = Sandbox::without_config();
    assert!(file.fails(2, &["migrate", "--roles"]).contains("--roles is for PostgreSQL"));
    assert!(!file.path("gristmill.db").exists());
}
