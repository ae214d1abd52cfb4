//! How soon a handler hears that somebody cancelled its task.

use std::time::Duration;

use gristmill::client::CancelOutcome;
use gristmill::record::State;
use gristmill::{App, Context, Result, task};

use crate::support::{Probe, in_memory, within};

#[task(name = "listen")]
async fn listen(cx: &Context<Probe>) -> Result<()> {
    cx.state.saw("listens");
    cx.cancellation().cancelled().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handler_hears_of_it_long_before_the_next_heartbeat() {
    let probe = Probe::default();
    let client = in_memory(App::new(probe.clone()).register::<Listen>()).await;
    let worker = client.worker().queue("default", 2).start().await.unwrap();
    for nth in 1..=5 {
        let handle = client.enqueue(Listen {}).await.unwrap();
        probe.until(|seen| seen.len() == nth).await;
        let asked_at = tokio::time::Instant::now();
        assert_eq!(handle.cancel().await.unwrap(), CancelOutcome::CancelRequested);
        assert_eq!(within(handle.ended()).await.unwrap().state, State::Succeeded);
        // On the clock of the test, on which all but waiting takes no time. A heartbeat comes each 5 s.
        assert!(asked_at.elapsed() < Duration::from_millis(100), "{:?}", asked_at.elapsed());
    }
    worker.stop().await;
}
