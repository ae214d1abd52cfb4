//! Somebody else's transaction, which is left open, and what goes on beside it.

use std::time::Instant;

use rustix::process::Signal;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use super::campaign::{Campaign, LEASE, OLDER, Reach, steady, tell};
use super::journal::now;
use super::plan::Fault;
use crate::sandbox::{PATIENCE, until};

/// Tasks of which each has to be settled beside an open transaction, so many that every worker has some.
const PROBES: usize = 8;
/// Tasks whose cancel is held: as many as two workers run at once.
const HELD: usize = 8;

/// Rolled back with this value.
pub(crate) struct Open {
    // Before the runtime, on which its connection lives.
    _client: Client,
    _runtime: Runtime,
}

impl Open {
    /// Begins a transaction on the server that the URL names, and does this in it.
    pub(crate) fn on(url: &str, sql: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            runtime.spawn(connection);
            client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
            client
        });
        Self { _client: client, _runtime: runtime }
    }
}

impl Campaign<'_> {
    /// While somebody else's transaction is open, all goes on that has nothing to do with it.
    pub(super) fn hold_up(&mut self, fault: Fault) {
        // The older version has yet to learn this.
        self.workers[OLDER].signal(Signal::KILL);
        let sandbox = self.shared.sandbox;
        let id = self.shared.ask();
        let new = format!("new-{id}");
        let args = json!({ "schedule": new }).to_string();
        let every = ["schedules", "add", &new, "--args", &args, "--tick-arg", "tick", "--every", "1s", "--task"];
        self.shared.ledger.lock().unwrap().schedules.insert(new.clone());
        let mut victim = None;
        let open: Box<dyn std::any::Any> = match (&self.reach, fault) {
            (Reach::File { open, .. }, _) => {
                let file = open();
                file.execute_batch("BEGIN; SELECT count(*) FROM gristmill_task").unwrap_or_else(|error| panic!("{error}"));
                Box::new(file)
            }
            (Reach::Server { url, .. }, Fault::OpenRead) => {
                Box::new(Open::on(url, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM gristmill.task"))
            }
            (Reach::Server { url, .. }, Fault::OpenCancel) => {
                let from = self.journal.events().len();
                let ids: Vec<_> = (0..HELD).map(|_| self.shared.ask()).collect();
                let lines: String = ids.iter().map(|id| format!("{}\n", json!({ "task": "held", "id": id }))).collect();
                sandbox.run_with_input(&["enqueue", "--jsonl", "-"], &lines);
                let journal = &mut self.journal;
                let mut all = |end| {
                    let events = &journal.events()[from..];
                    ids.iter().all(|id| events.iter().any(|event| event.id == *id && event.end == end))
                };
                until("the tasks run", || all(false));
                let cancels: String = ids.iter().map(|id| format!("SELECT gristmill.cancel('{id}');")).collect();
                let open = Open::on(url, &cancels);
                until("the tasks end", || all(true));
                Box::new(open)
            }
            (Reach::Server { url, .. }, Fault::OpenName) => {
                let options = json!({ "queue": new });
                let open = Open::on(url, &format!("SELECT gristmill.enqueue('probe', '{{}}', '{options}')"));
                victim = Some(sandbox.start(&["enqueue", "probe", "--queue", &new]));
                sandbox.ok(&[&every[..], &["probe", "--overlap", "allow", "--queue", &new]].concat());
                Box::new(open)
            }
            (Reach::Server { url, .. }, Fault::OpenCancelOfTick) => {
                let since = now();
                sandbox.ok(&[&every[..], &["held", "--overlap", "cancel_previous"]].concat());
                let (journal, mut task) = (&mut self.journal, None);
                until("its first task runs", || {
                    let mut events = journal.events().iter().rev().take_while(|event| event.at > since);
                    task = events.find(|event| event.args["schedule"] == new.as_str()).map(|event| event.id.clone());
                    task.is_some()
                });
                Box::new(Open::on(url, &format!("SELECT gristmill.cancel('{}')", task.unwrap())))
            }
            (Reach::Server { url, .. }, _) => {
                // Neither is ever kept; one of them somebody else asks for, too.
                let enqueue = |id: &str| format!("SELECT gristmill.enqueue('probe', '{{}}', '{}');", json!({ "id": id }));
                let open = Open::on(url, &(enqueue(&id) + &enqueue(&self.shared.id())));
                victim = Some(sandbox.start(&["enqueue", "probe", "--id", &id]));
                Box::new(open)
            }
        };
        let since = Instant::now();
        self.probe_tasks(fault);
        self.probe_schedules(fault);
        until("the transaction was open for a while", || since.elapsed() > LEASE);
        drop(open);
        drop(victim);
        if matches!(fault, Fault::OpenName | Fault::OpenCancelOfTick) {
            sandbox.ok(&["schedules", "delete", &new]);
        }
        let next = self.worker(OLDER);
        self.workers[OLDER] = next;
    }

    /// Tasks of nobody in particular are run and settled while the transaction is open. It stays open until they are: what waits for
    /// it waits in vain.
    fn probe_tasks(&self, fault: Fault) {
        let (sandbox, began) = (self.shared.sandbox, Instant::now());
        let patience = format!("{}s", PATIENCE.as_secs() / 2);
        let held = std::thread::scope(|scope| {
            let probe = |id: String| {
                let wait = ["enqueue", "probe", "--id", &id, "--queue", "default", "--wait", "--wait-timeout", &patience];
                sandbox.run(&wait)
            };
            let probes: Vec<_> = (0..PROBES).map(|_| self.shared.ask()).map(|id| scope.spawn(move || probe(id))).collect();
            let ended = probes.into_iter().map(|probe| probe.join().unwrap());
            ended.filter(|ended| ended.code != Some(0)).collect::<Vec<_>>()
        });
        assert!(held.is_empty(), "{fault:?}: {} of {PROBES} tasks are not settled beside it: {held:?}", held.len());
        tell(&format!("tasks went on within {:.1?}", began.elapsed()));
    }

    /// The same of schedules.
    fn probe_schedules(&mut self, fault: Fault) {
        let (from, began) = (self.journal.events().len(), Instant::now());
        // A schedule that is in trouble itself has ticked by then.
        let since = now() + 2_000_000;
        let steady = steady();
        until(&format!("schedules tick beside {fault:?}"), || {
            let events = self.journal.events()[from..].iter().filter(|event| event.at > since);
            events.filter_map(|event| event.args["schedule"].as_str()).any(|name| steady.iter().any(|steady| steady == name))
        });
        tell(&format!("schedules went on within {:.1?}", began.elapsed()));
    }
}
