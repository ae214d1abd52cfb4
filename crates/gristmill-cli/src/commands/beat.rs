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
    output::note(&format!(
        "beat on {}: started, process {}, for all schedules of the store",
        client.store().location(),
        std::process::id()
    ));
    signals.next().await;
    output::note("stopping: no more ticks from this beat");
    beat.stop().await;
    output::note("beat ended");
    Ok(())
}
