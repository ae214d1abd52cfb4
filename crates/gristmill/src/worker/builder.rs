use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::app::used_queues;
use crate::beat::ScheduleError;
use crate::core::{InvalidInput, KindSpec, StoreError, limits};
use crate::near::did_you_mean;
use crate::runtime::Ground;
use crate::worker::companion::Companion;
use crate::worker::memory;
use crate::worker::report::ExitReport;
use crate::worker::run::{self, Asked, Running};
use crate::worker::signals::StopSignals;
use crate::workflow::NESTED;

/// Options of a worker, then [`start`](Self::start).
///
/// ```no_run
/// # use gristmill::worker::WorkerError;
/// # use gristmill::Client;
/// # use std::time::Duration;
/// # async fn example(client: Client) -> Result<(), WorkerError> {
/// let worker = client.worker().queue("default", 8).queue("heavy", 2).grace(Duration::from_secs(60)).start().await?;
/// # let until_asked_to_stop = async {};
/// until_asked_to_stop.await;
/// let report = worker.stop().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a worker does nothing until it is started"]
#[derive(Debug)]
pub struct WorkerBuilder {
    ground: Arc<Ground>,
    companion: Option<Box<dyn Companion>>,
    config: Config,
    queues: Vec<(String, u32)>,
    lease: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) queues: BTreeMap<String, u32>,
    pub(crate) lease: Duration,
    pub(crate) grace: Duration,
    pub(crate) poll: Duration,
    pub(crate) prefetch: usize,
    pub(crate) prefetch_of: BTreeMap<String, usize>,
    pub(crate) stall: Duration,
    pub(crate) drain: bool,
    pub(crate) maintain: bool,
    pub(crate) beat: bool,
    pub(crate) memory_limit: Option<u64>,
}

impl WorkerBuilder {
    pub(crate) fn new(ground: Arc<Ground>, companion: Option<Box<dyn Companion>>) -> Self {
        let config = Config {
            name: default_name(),
            queues: BTreeMap::new(),
            lease: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            poll: Duration::from_millis(500),
            prefetch: 2_000,
            prefetch_of: BTreeMap::new(),
            stall: Duration::from_millis(500),
            drain: false,
            maintain: true,
            beat: true,
            memory_limit: None,
        };
        Self { ground, companion, config, queues: Vec::new(), lease: None }
    }

    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn beside(self, companion: impl Companion) -> Self {
        Self { companion: Some(Box::new(companion)), ..self }
    }

    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn shared(self) -> std::sync::Arc<crate::worker::shared::Shared> {
        Arc::new(crate::worker::shared::Shared::new(self.ground, self.config))
    }

    /// Serves a queue with its own concurrency: at most so many tasks of it run at once in this worker. Without any, the
    /// queues of the registered task types are served, each with as many slots as the machine has cores.
    pub fn queue(mut self, name: impl Into<String>, concurrency: u32) -> Self {
        self.queues.push((name.into(), concurrency));
        self
    }

    /// How long this worker is taken for alive without a heartbeat, at least 100 ms; 30 s by default. When it dies, its
    /// tasks are with another worker after this time. It beats three times as often, and at least each 5 s.
    ///
    /// A worker that is told none takes the shortest of the leases that its queues have ([`App::queue_lease`](crate::App::queue_lease)).
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// How long running tasks may go on after a request to stop, 30 s by default; then they are cancelled and released.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace;
        self
    }

    /// How often it looks for tasks when nothing wakes it, at least 10 ms; 500 ms by default. Most wake-ups come from the store.
    pub fn poll(mut self, poll: Duration) -> Self {
        self.config.poll = poll;
        self
    }

    /// The most tasks of a queue it claims ahead of its free slots, 2,000 by default. It claims ahead only what it runs
    /// within about 50 ms, and gives back what does not start within a second, or sooner if all slots are busy and none ends:
    /// slow tasks are not held back from other workers.
    pub fn prefetch(mut self, tasks: usize) -> Self {
        self.config.prefetch = tasks;
        self
    }

    /// The same for one queue; 0 claims only for free slots.
    pub fn prefetch_of(mut self, queue: impl Into<String>, tasks: usize) -> Self {
        self.config.prefetch_of.insert(queue.into(), tasks);
        self
    }

    /// How long a handler may hold a thread of the runtime without an `.await` before the log names it; 500 ms by default.
    pub fn stall_warning(mut self, after: Duration) -> Self {
        self.config.stall = after;
        self
    }

    /// Stops when nothing in its queues is ready, due within a second, or running.
    pub fn drain(mut self, drain: bool) -> Self {
        self.config.drain = drain;
        self
    }

    /// Whether it does the store's housekeeping too (promotes what is due, rescues, deletes what is past its retention);
    /// yes by default, and at least one worker of a store must.
    pub fn maintain(mut self, maintain: bool) -> Self {
        self.config.maintain = maintain;
        self
    }

    /// Whether a beat runs inside, which turns the ticks of stored schedules into tasks, and whether the program's own schedules
    /// are written before; yes by default, but not in a worker that [drains](Self::drain), nor on a source that is no store. See
    /// [`Client::beat`](crate::Client::beat).
    pub fn beat(mut self, beat: bool) -> Self {
        self.config.beat = beat;
        self
    }

    /// The most bytes of memory that the process may take (its resident set, looked at once a second). Once it takes more, the worker ends as at a
    /// first request to stop: nothing more is claimed, and running tasks get the [grace](Self::grace) period. Its supervisor starts the process
    /// anew. Known on Linux alone.
    ///
    /// ```no_run
    /// # use gristmill::{Client, worker::WorkerError};
    /// # async fn example(client: Client) -> Result<(), WorkerError> {
    /// client.worker().queue("default", 8).memory_limit(1_500_000_000).run().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.config.memory_limit = Some(bytes);
        self
    }

    /// The name under which operators see it; host and process id by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// Starts the worker and runs it until the process is asked to stop, by SIGTERM, SIGINT (Ctrl-C) or SIGHUP (see [`StopSignals`]):
    /// then no more is claimed, and running tasks get the [grace](Self::grace) period. Asked again, it cancels and releases what still
    /// runs at once. A worker that [drains](Self::drain) ends when nothing is left, too, and any ends when an operator
    /// [asks it](crate::client::Workers::drain) to. Asked before it has started, as the store does not answer, it does not start, and the
    /// report is empty.
    ///
    /// ```no_run
    /// # use gristmill::{Client, worker::WorkerError};
    /// # async fn example(client: Client) -> Result<(), WorkerError> {
    /// let report = client.worker().queue("default", 8).run().await?;
    /// println!("{report}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`start`](Self::start); if signals can't be listened for, as on a tokio runtime without an I/O driver; and
    /// [`WorkerError::StoreLost`] if the store can't be used any more, and [`WorkerError::Outgrown`] if it takes too much memory, so that the
    /// process ends and is started anew.
    ///
    /// # Cancel safety
    /// Once it is started, the worker goes on; for a stop by other means, [`start`](Self::start) it.
    pub async fn run(self) -> Result<ExitReport, WorkerError> {
        // Before the start: a signal that came in between would end the process, and leave its tasks to the end of their leases.
        let mut signals = StopSignals::listen().map_err(WorkerError::Signals)?;
        let running = tokio::select! {
            biased;
            running = self.start() => running?,
            () = signals.next() => {
                tracing::info!("asked to stop before the worker had started");
                return Ok(ExitReport::default());
            }
        };
        let tell = |asked| match asked {
            Asked::ToStop => tracing::info!("asked to stop: running tasks get the grace period; asked again, they get none"),
            Asked::ToStopNow => tracing::info!("asked again to stop: running tasks are released"),
        };
        let report = running.until_asked(signals, tell).await;
        match &report {
            ExitReport { store_error: Some(_), .. } => Err(WorkerError::StoreLost(Box::new(report))),
            ExitReport { outgrown: Some(_), .. } => Err(WorkerError::Outgrown(Box::new(report))),
            _ => Ok(report),
        }
    }

    /// Makes the worker known to the store and starts it on the current tokio runtime.
    ///
    /// # Errors
    /// Options that are out of range, a client that only enqueues others' types
    /// ([`connect_to_enqueue`](crate::App::connect_to_enqueue)), a schedule of the program that can't be, or a store that can't be written.
    pub async fn start(mut self) -> Result<Running, WorkerError> {
        let invalid = |field: &str, problem: &str| WorkerError::Invalid(InvalidInput::new(field, problem));
        self.config.lease = self.lease.unwrap_or(self.config.lease);
        if self.config.lease < limits::LEASE_MIN || self.config.lease > limits::DURATION_MAX {
            return Err(invalid("lease", "is at least 100ms and at most 100 years"));
        }
        if self.config.poll < limits::POLL_MIN {
            return Err(invalid("poll", "is at least 10ms"));
        }
        if let Some(limit) = self.config.memory_limit {
            let Some(taken) = memory::taken() else {
                return Err(invalid("memory_limit", "can't be kept here, as the system does not say what a process takes"));
            };
            if taken >= limit {
                let problem = format!("is {limit} bytes, and the process takes {taken} before it has begun; give it more");
                return Err(invalid("memory_limit", &problem));
            }
        }
        limits::check_name("worker name", &self.config.name)?;
        if self.ground.runtime.registry.only_borrows() {
            return Err(invalid(
                "task types",
                "this client only enqueues those of other programs; register some to have a worker",
            ));
        }
        if self.queues.is_empty() {
            let cores = std::thread::available_parallelism().map_or(2, |n| u32::try_from(n.get()).unwrap_or(2));
            let names = used_queues(&self.ground.runtime.registry, &self.ground.runtime.routes);
            self.queues = names.into_iter().map(|name| (name, cores)).collect();
        }
        for (name, concurrency) in self.queues.drain(..) {
            let name = self.ground.runtime.routes.real(&name).into_owned();
            check_queue(&name, concurrency)?;
            if self.config.queues.insert(name.clone(), concurrency).is_some() {
                return Err(invalid(&name, "the queue is named twice"));
            }
        }
        if self.lease.is_none()
            && let Some(lease) = self.ground.runtime.routes.lease_of(self.config.queues.keys())
        {
            self.config.lease = lease;
        }
        let real = |(name, tasks): (String, usize)| (self.ground.runtime.routes.real(&name).into_owned(), tasks);
        self.config.prefetch_of = std::mem::take(&mut self.config.prefetch_of).into_iter().map(real).collect();
        if let Some(name) = self.config.prefetch_of.keys().find(|name| !self.config.queues.contains_key(*name)) {
            return Err(invalid(name, "a prefetch is set for it, but this worker does not serve the queue"));
        }
        self.tell_unserved();
        let companion = self.companion.filter(|_| self.config.beat && !self.config.drain);
        if let Some(companion) = &companion {
            companion.prepare().await?;
        }
        Ok(run::start(self.ground, self.config, companion).await?)
    }

    /// Says which task types wait in queues that are not served here: right if another worker does, and a long wait if not.
    fn tell_unserved(&self) {
        let specs = self.ground.runtime.registry.specs();
        let is_own = |kind: &&KindSpec| kind.name != NESTED;
        let real = |kind: &KindSpec| self.ground.runtime.routes.real(&kind.policy.queue).into_owned();
        let unserved = specs.iter().filter(is_own).filter(|kind| !self.config.queues.contains_key(&real(kind)));
        let tell = |kind: &KindSpec| {
            let near = did_you_mean(&kind.policy.queue, self.config.queues.keys().map(String::as_str));
            format!("{} (queue {}{near})", kind.name, kind.policy.queue)
        };
        let names: Vec<_> = unserved.map(tell).collect();
        if !names.is_empty() {
            tracing::info!("not served by this worker: {}", names.join(", "));
        }
    }
}

/// Checks what is said of a queue that is to be served.
pub(crate) fn check_queue(name: &str, concurrency: u32) -> Result<(), InvalidInput> {
    limits::check_name("queue", name)?;
    if concurrency == 0 || concurrency > limits::CONCURRENCY_MAX {
        let problem = format!("its concurrency is at least 1 and at most {}", limits::CONCURRENCY_MAX);
        return Err(InvalidInput::new(name, problem));
    }
    Ok(())
}

/// Why a worker could not start, or could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// An option is out of range.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// The store can't be written.
    #[error("the worker could not be made known to the store: {0}")]
    Store(#[from] StoreError),
    /// A schedule of the program can't be, or its name is another's.
    #[error(transparent)]
    Schedule(ScheduleError),
    /// The signals that ask the process to stop can't be listened for.
    #[error("signals can't be listened for: {0}")]
    Signals(std::io::Error),
    /// The process took more memory than [its limit](WorkerBuilder::memory_limit), which ended the worker.
    #[error("the worker ended, as its process took {} bytes of memory, more than its limit; start it anew", .0.outgrown.unwrap_or_default())]
    Outgrown(Box<ExitReport>),
    /// The store can't be used any more, which ended the worker: see [`ExitReport::store_error`].
    #[error("the worker ended, as its store can't be used any more: {}", .0.store_error.as_deref().unwrap_or_default())]
    StoreLost(Box<ExitReport>),
    /// It has been stopped, or has ended.
    #[error("the worker has stopped; start another")]
    Stopped,
}

impl From<ScheduleError> for WorkerError {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::Store(error) => Self::Store(error),
            error => Self::Schedule(error),
        }
    }
}

fn default_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_default();
    let host: String = host.trim().chars().filter(|c| !c.is_control()).take(200).collect();
    format!("{}:{}", if host.is_empty() { "localhost" } else { &host }, std::process::id())
}
