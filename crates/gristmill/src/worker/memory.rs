use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::worker::shared::Shared;

/// How often it is looked at: what a handler takes and gives back in between costs nobody his worker.
const EVERY: Duration = Duration::from_secs(1);

/// Looks at what the process takes of memory, and lets the worker end as at a first signal once that is more than its limit.
pub(crate) async fn run(shared: Arc<Shared>, limit: u64, end: CancellationToken) {
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            () = shared.stopping.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let Some(taken) = taken().filter(|taken| *taken > limit) else { continue };
        tracing::warn!(
            taken,
            limit,
            "the process takes more memory than its limit: no more claims, running tasks get the grace period"
        );
        let _ = shared.outgrown.set(taken);
        shared.stopping.cancel();
        return;
    }
}

/// The bytes of memory that the process has just now (its resident set); `None` where the system does not say.
pub(crate) fn taken() -> Option<u64> {
    // Linux's own file, which holds it in KiB; nowhere else is there one of this name.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
