use std::io;
#[cfg(unix)]
use std::time::{Duration, Instant};

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that comes again so soon was sent twice by one hand: `timeout` signals its child and then the whole group, which must not
/// cost running tasks their grace.
#[cfg(unix)]
const ECHO: Duration = Duration::from_millis(200);

/// The ways to ask a process to stop: SIGTERM, SIGINT (Ctrl-C), and SIGHUP (its terminal has gone), unless the process was started
/// such that it outlives that, as under `nohup`. Where there are no such signals, Ctrl-C alone.
///
/// [`WorkerBuilder::run`](crate::worker::WorkerBuilder::run) listens by itself; this is for programs that do more than run a worker.
#[derive(Debug)]
pub struct StopSignals {
    #[cfg(unix)]
    listened: Vec<Listened>,
}

/// A signal, and when it last counted.
#[cfg(unix)]
#[derive(Debug)]
struct Listened {
    signal: Signal,
    counted: Option<Instant>,
}

impl StopSignals {
    /// Listens from now on. The signals no longer end the process by themselves from then on, not even once this is dropped.
    ///
    /// # Errors
    /// If the system refuses, or the tokio runtime has no I/O driver (`enable_all` of its builder gives it one).
    #[cfg(unix)]
    pub fn listen() -> io::Result<Self> {
        let mut kinds = vec![SignalKind::terminate(), SignalKind::interrupt()];
        if !ignores_hangup() {
            kinds.push(SignalKind::hangup());
        }
        // tokio panics where its runtime lacks a driver.
        let listen = |kind| Ok(Listened { signal: signal(kind)?, counted: None });
        let listened = crate::panics::catch(|| kinds.into_iter().map(listen).collect::<io::Result<_>>());
        let no_driver = "the tokio runtime has no I/O driver; build it with `enable_all()`";
        Ok(Self { listened: listened.unwrap_or_else(|_| Err(io::Error::other(no_driver)))? })
    }

    /// Waits for the next of them. One that comes again within 0.2 s counts once, as `timeout` sends it twice.
    ///
    /// # Cancel safety
    /// None is missed that comes between two calls; several may count as one.
    #[cfg(unix)]
    pub async fn next(&mut self) {
        std::future::poll_fn(|cx| {
            let mut came = false;
            for listened in &mut self.listened {
                // Each of them, until it has no more, so that each wakes us.
                while listened.signal.poll_recv(cx).is_ready() {
                    came |= counts(&mut listened.counted, Instant::now());
                }
            }
            if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }

    /// Listens from the first call of [`next`](Self::next) on.
    ///
    /// # Errors
    /// None here; the type is that of other systems.
    #[cfg(not(unix))]
    pub fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next Ctrl-C.
    #[cfg(not(unix))]
    pub async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Whether this process was started with hangups ignored, which listening to them would undo. Told by Linux alone.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // One bit a signal, from the first on; SIGHUP is the first.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Whether a signal that comes now is one of its own, and no echo of the last of its sort that counted.
#[cfg(unix)]
fn counts(last: &mut Option<Instant>, now: Instant) -> bool {
    let is_echo = last.is_some_and(|last| now.saturating_duration_since(last) < ECHO);
    if !is_echo {
        *last = Some(now);
    }
    !is_echo
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_sent_twice_by_one_hand_counts_once() {
        let (start, mut last) = (Instant::now(), None);
        let counted = [0, 3, 199, 200, 399, 5_000].map(|ms| counts(&mut last, start + Duration::from_millis(ms)));
        assert_eq!(counted, [true, false, false, true, false, true]);
    }
}
