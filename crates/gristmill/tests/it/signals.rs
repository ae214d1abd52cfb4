//! A worker that runs until its process is asked to stop.
#![expect(clippy::disallowed_methods, reason = "what a test spawns ends with the test's runtime")]

use std::process::Command;

use gristmill::core::Env;
use gristmill::testing::MemoryBroker;
use gristmill::worker::WorkerError;
use gristmill::{App, Context, Result, task};

use crate::faulty::{Fault, Faulty};
use crate::support::{Probe, in_memory, within};

#[task(name = "hang")]
async fn hang(cx: &Context<Probe>) -> Result<()> {
    cx.state.saw("started");
    cx.state.pass().await;
    cx.state.saw("ended");
    Ok(())
}

fn ask(signal: &str) {
    let kill = format!("kill -{signal} {}", std::process::id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// One test, as signals are the process's: the first asks, the second does not wait.
#[tokio::test]
async fn a_worker_runs_until_it_is_asked_to_stop() {
    let probe = Probe::default();
    let client = in_memory(App::new(probe.clone()).register::<Hang>()).await;
    for (signal, again) in [("TERM", false), ("INT", true)] {
        probe.close();
        let handle = client.enqueue(Hang {}).await.unwrap();
        let started = probe.seen().len();
        let running = tokio::spawn(client.worker().queue("default", 1).run());
        probe.until(|seen| seen.len() > started).await;
        ask(signal);
        if again {
            // A signal that comes before the one ahead is seen counts as one with it.
            within(async {
                while !running.is_finished() {
                    ask(signal);
                    tokio::task::yield_now().await;
                }
            })
            .await;
        } else {
            probe.open();
        }
        let report = within(running).await.unwrap().unwrap();
        assert_eq!((report.succeeded, report.released), if again { (0, 1) } else { (1, 0) }, "{signal}: {report}");
        handle.cancel().await.unwrap();
    }
    // Before it has started.
    let source = Faulty::with(MemoryBroker::new(Env::system()), &probe, "enter", Fault::Hangs);
    let worker = App::new(probe.clone()).register::<Hang>().worker_on(source.clone()).unwrap();
    let running = tokio::spawn(worker.queue("default", 1).run());
    probe.until_seen("enter hangs").await;
    ask("TERM");
    let report = within(running).await.unwrap().unwrap();
    assert!(report.claimed == 0 && source.entered().is_none(), "{report}");
}

#[test]
fn a_runtime_without_a_driver_is_told_of() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let client = in_memory(App::new(Probe::default()).register::<Hang>()).await;
        let error = client.worker().queue("default", 1).run().await.unwrap_err();
        assert!(matches!(error, WorkerError::Signals(_)) && error.to_string().contains("enable_all"), "{error}");
    });
}
