use std::collections::BTreeMap;
use std::time::Duration;

use gristmill::Client;
use gristmill::core::format_duration;
use gristmill::core::limits::{CONCURRENCY_MAX, LEASE_MIN, check_name};
use gristmill::options::{Ack, KindSpec};
use gristmill::worker::{Asked, WorkerBuilder};

use super::queues::count;
use super::signals;
use super::unserved::tell_new_queues;
use super::values::duration;
use crate::config::WorkerOptions;
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{self, Out};
use crate::size::Size;

/// How many tasks of a queue run at once if nobody says: commands and HTTP calls mostly wait.
const CONCURRENCY: u32 = 8;

/// Arguments of `worker`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The queues, each with the number of tasks that run there at once: default=8,heavy=2
    /// [default: from the configuration, then the queues of all task types]
    #[arg(long, value_name = "QUEUE=N,...", value_delimiter = ',', value_parser = queue)]
    queues: Vec<(String, u32)>,
    /// The most tasks to claim ahead of free slots, for all queues (100) or for each (heavy=0)
    /// [default: from the configuration, then as many as run within 50 ms, at most 2000]
    #[arg(long, value_name = "N|QUEUE=N,...", value_delimiter = ',', value_parser = prefetch)]
    prefetch: Vec<(String, usize)>,
    /// Threads that run tasks [default: one a core]
    #[arg(long, env = "GRISTMILL_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX))]
    pub(crate) threads: Option<u16>,
    /// The most memory that the process may take, such as 1.5GB; above it the worker ends gracefully, with exit code 1, to be started anew
    /// [default: from the configuration, then no limit]
    #[arg(long, env = "GRISTMILL_MEMORY_LIMIT", value_name = "SIZE", allow_hyphen_values = true)]
    memory_limit: Option<Size>,
    /// Stop when nothing is ready, due within a second, or running
    #[arg(long)]
    drain: bool,
    /// Run no beat in this process; schedules are for other workers, or for `beat`
    #[arg(long)]
    no_beat: bool,
    #[command(flatten)]
    times: Times,
}

/// The most threads that can be asked for.
const THREADS_MAX: i64 = 1024;

/// What `worker` and `dev` have in common.
#[derive(Debug, clap::Args)]
pub(crate) struct Times {
    /// How long the worker is taken for alive without a heartbeat, at least 100ms [default: 30s]
    #[arg(long, env = "GRISTMILL_LEASE", value_parser = lease, allow_hyphen_values = true, value_name = "DURATION")]
    lease: Option<Duration>,
    /// How long running tasks may go on after a request to stop [default: 30s]
    #[arg(long, env = "GRISTMILL_GRACE", value_parser = duration, allow_hyphen_values = true, value_name = "DURATION")]
    grace: Option<Duration>,
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, mut session: Session<S>, _: &Out) -> Result<(), CliError> {
    let (kinds, poll) = (session.kinds(), session.worker.poll);
    let queues = queues(&args.queues, &session.worker, &session.used_queues(), |name| session.real_queue(name))?;
    let (times, memory_limit) = (args.times.resolve(&session.worker), args.memory_limit.or(session.worker.memory_limit));
    let mut prefetch = session.worker.prefetch.clone();
    prefetch.extend(args.prefetch);
    // The empty name is that of all queues.
    let real = |(name, tasks): (String, usize)| (if name.is_empty() { name } else { session.real_queue(&name) }, tasks);
    let prefetch: BTreeMap<String, usize> = prefetch.into_iter().map(real).collect();
    // Before the store, of which a worker that is refused makes and changes nothing.
    if let Some(name) = idle_prefetch(&prefetch, &queues) {
        return Err(CliError::usage(format!("{name}: a prefetch is set for it, but this worker does not serve the queue")));
    }
    let (defined, own) = (session.defined.take(), session.used_queues());
    let client = if args.drain { session.connect().await? } else { session.connect_when_writable().await? };
    let location = client.store().location();
    // What stands in a file is new once, when it is started for the first time.
    let are_typed = !args.queues.is_empty();
    tell_new_queues(queues.iter().map(|(name, _)| name.as_str()), &own, are_typed, &client).await;
    // Before the first claim: what this worker would take is seen before it takes it.
    tell_tasks(&kinds);
    // A drain ends when nothing is left, and so must not make more; and who wants no beat has no say in schedules.
    let beat = !args.no_beat && !args.drain;
    if let Some(defined) = defined.filter(|_| beat) {
        defined.sync(&client).await?;
    }
    let builder = configure(client.worker(), &queues, times, poll).drain(args.drain).beat(beat);
    let builder = memory_limit.into_iter().fold(builder, |builder, Size(limit)| builder.memory_limit(limit));
    let builder = prefetch.into_iter().fold(builder, |builder, (queue, tasks)| match queue.as_str() {
        "" => builder.prefetch(tasks),
        _ => builder.prefetch_of(queue, tasks),
    });
    run_until_stopped(builder, &format!("worker on {location}, queues {}", describe(&queues))).await?;
    if args.drain {
        tell_left(&client, &queues).await?;
    }
    Ok(())
}

/// Says what a drain left: whoever waits for an empty queue would wait in vain.
async fn tell_left(client: &Client, served: &[(String, u32)]) -> Result<(), CliError> {
    let queues = client.queues().list().await?;
    for queue in queues.iter().filter(|queue| served.iter().any(|(name, _)| *name == queue.name)) {
        if queue.paused && queue.ready > 0 {
            output::note(&format!("left: {} ready tasks in the paused queue `{}`", count(queue.ready), queue.name));
        }
        if queue.waiting > 0 {
            let (waiting, name) = (count(queue.waiting), &queue.name);
            output::note(&format!(
                "left: {waiting} tasks in the queue `{name}` that wait for slots of keys; `limits list` tells of them"
            ));
        }
    }
    Ok(())
}

/// Says which task types there are, and which of them run at most once.
pub(crate) fn tell_tasks(kinds: &[KindSpec]) {
    let name = |kind: &KindSpec| match kind.policy.ack {
        Ack::Late => kind.name.clone(),
        Ack::Early => format!("{} (at most once)", kind.name),
    };
    let names: Vec<_> = kinds.iter().map(name).collect();
    output::note(&format!("tasks   {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") }));
}

/// What the environment says to every worker of this machine.
#[derive(Debug, Default)]
pub(crate) struct FromEnvironment {
    pub(crate) lease: Option<Duration>,
    pub(crate) grace: Option<Duration>,
    pub(crate) threads: Option<u16>,
    pub(crate) memory_limit: Option<Size>,
}

impl FromEnvironment {
    /// # Errors
    /// What a worker would refuse.
    pub(crate) fn read() -> Result<Self, CliError> {
        let threads = |text: &str| {
            let threads = text.parse().ok().filter(|threads| (1..=THREADS_MAX).contains(&i64::from(*threads)));
            threads.ok_or_else(|| format!("a number of threads is from 1 to {THREADS_MAX}"))
        };
        Ok(Self {
            lease: variable("GRISTMILL_LEASE", lease)?,
            grace: variable("GRISTMILL_GRACE", duration)?,
            threads: variable("GRISTMILL_THREADS", threads)?,
            memory_limit: variable("GRISTMILL_MEMORY_LIMIT", str::parse)?,
        })
    }
}

fn variable<T>(name: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, CliError> {
    let Some(set) = std::env::var_os(name) else { return Ok(None) };
    let wrong = |why| CliError::usage(format!("{name}={}: {why}", set.to_string_lossy()));
    read(&set.to_string_lossy()).map(Some).map_err(wrong)
}

impl Times {
    /// Lease and grace: flags and environment first, then the file.
    pub(crate) fn resolve(&self, file: &WorkerOptions) -> (Option<Duration>, Option<Duration>) {
        (self.lease.or(file.lease), self.grace.or(file.grace))
    }
}

pub(crate) fn configure(
    mut builder: WorkerBuilder,
    queues: &[(String, u32)],
    (lease, grace): (Option<Duration>, Option<Duration>),
    poll: Option<Duration>,
) -> WorkerBuilder {
    for (name, concurrency) in queues {
        builder = builder.queue(name, *concurrency);
    }
    if let Some(lease) = lease {
        builder = builder.lease(lease);
    }
    if let Some(grace) = grace {
        builder = builder.grace(grace);
    }
    match poll {
        Some(poll) => builder.poll(poll),
        None => builder,
    }
}

/// The queues that were asked for, else those of the file, else all that are `used`; by the names that they have in the store.
pub(crate) fn queues(
    asked: &[(String, u32)],
    file: &WorkerOptions,
    used: &[String],
    real: impl Fn(&str) -> String,
) -> Result<Vec<(String, u32)>, CliError> {
    let mut queues = BTreeMap::new();
    for (name, concurrency) in asked {
        if queues.insert(real(name), *concurrency).is_some() {
            return Err(CliError::usage(format!("the queue `{name}` is named twice")));
        }
    }
    if queues.is_empty() {
        queues = file.queues.iter().map(|(name, concurrency)| (real(name), *concurrency)).collect();
    }
    if queues.is_empty() {
        queues = used.iter().map(|name| (real(name), CONCURRENCY)).collect();
    }
    Ok(queues.into_iter().collect())
}

/// A queue for which a prefetch is set, and that a worker of these queues does not serve.
pub(crate) fn idle_prefetch<'a>(prefetch: &'a BTreeMap<String, usize>, queues: &[(String, u32)]) -> Option<&'a str> {
    let is_served = |name: &&String| name.is_empty() || queues.iter().any(|(queue, _)| queue == *name);
    prefetch.keys().find(|name| !is_served(name)).map(String::as_str)
}

/// The queues as they are written on the command line.
pub(crate) fn describe(queues: &[(String, u32)]) -> String {
    queues.iter().map(|(name, concurrency)| format!("{name}={concurrency}")).collect::<Vec<_>>().join(",")
}

/// Runs a worker until it has drained, or until it was asked to stop and has ended.
pub(crate) async fn run_until_stopped(builder: WorkerBuilder, what: &str) -> Result<(), CliError> {
    // Before the start: a signal that came in between would kill the process instead of stopping the worker.
    let mut signals = signals::listen()?;
    let running = tokio::select! {
        biased;
        running = builder.start() => running?,
        () = signals.next() => {
            output::note(&format!("{what}: asked to stop before it had started"));
            return Ok(());
        }
    };
    output::note(&format!("{what}: started, process {}", std::process::id()));
    let tell = |asked| {
        output::note(match asked {
            Asked::ToStop => "stopping: no more claims, running tasks get the grace period; ask again to stop at once",
            Asked::ToStopNow => "stopping at once",
        });
    };
    let report = running.until_asked(signals, tell).await;
    output::note(&format!("worker ended: {report}"));
    for task in &report.abandoned {
        output::note(&format!("abandoned: {task}"));
    }
    if let Some(error) = report.store_error {
        return Err(CliError::store(error));
    }
    if let Some(taken) = report.outgrown {
        let mb = taken / 1_000_000;
        return Err(CliError::failed(format!(
            "the process took {mb} MB of memory, more than its limit, and ended; start it anew"
        )));
    }
    if !report.panicked.is_empty() {
        return Err(CliError::failed("a part of the worker panicked, which stopped it; the log has the place, please report it"));
    }
    if report.unsettled > 0 {
        return Err(CliError::failed("the last outcomes could not be written; their tasks will be run again"));
    }
    Ok(())
}

/// Reads how long a worker is taken for alive.
fn lease(text: &str) -> Result<Duration, String> {
    let lease = duration(text)?;
    if lease < LEASE_MIN { Err(format!("a lease is at least {}", format_duration(LEASE_MIN))) } else { Ok(lease) }
}

/// Reads `default=8`, or `default` alone.
fn queue(text: &str) -> Result<(String, u32), String> {
    let (name, concurrency) = match text.split_once('=') {
        Some((name, number)) => {
            let number = number.parse().ok().filter(|number| (1..=CONCURRENCY_MAX).contains(number));
            let problem = || format!("`{text}`: after `=` comes how many tasks run at once, from 1 to {CONCURRENCY_MAX}");
            (name, number.ok_or_else(problem)?)
        }
        None => (text, CONCURRENCY),
    };
    check_name("queue", name).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), concurrency))
}

/// Reads `100`, or `heavy=0`; without a name it is for all queues.
fn prefetch(text: &str) -> Result<(String, usize), String> {
    let (name, number) = text.split_once('=').unwrap_or(("", text));
    if !name.is_empty() {
        check_name("queue", name).map_err(|error| error.to_string())?;
    }
    let tasks = number.parse().map_err(|_| format!("`{text}`: write a number of tasks, or QUEUE=NUMBER"))?;
    Ok((name.to_owned(), tasks))
}
