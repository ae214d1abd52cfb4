use std::pin::pin;

use super::signals;
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{self, Out};

pub(crate) async fn run<S: Send + Sync + 'static>(mut session: Session<S>, _: &Out) -> Result<(), CliError> {
    let defined = session.defined.take();
    let client = session.connect_when_writable().await?;
    if let Some(defined) = defined {
        defined.sync(&client).await?;
    }
    // Before the start: a signal that came in between would kill the process instead of stopping the beat.
    let mut signals = signals::listen()?;
    let beat = tokio::select! {
        biased;
        beat = client.beat() => beat?,
        () = signals.next() => {
            output::note("asked to stop before the beat had started");
            return Ok(());
        }
    };
    let stop = beat.stopper();
    let mut ended = pin!(beat.ended());
    output::note(&format!(
        "beat on {}: started, process {}, for all schedules of the store",
        client.store().location(),
        std::process::id()
    ));
    tokio::select! {
        error = &mut ended => return Ok(error?),
        () = signals.next() => {}
    }
    output::note("stopping: no more ticks from this beat");
    stop.cancel();
    ended.await?;
    output::note("beat ended");
    Ok(())
}
