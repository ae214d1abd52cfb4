//! A task type that is a command: arguments as JSON on standard input, the result on standard output. One that takes many tasks at once gets and
//! gives lists.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::Stdio;

use gristmill::app::{Handler, HandlerFuture};
use gristmill::batch::{Batch, BatchHandler, BatchHandlerFuture};
use gristmill::core::Template;
use gristmill::{Context, Error, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout};

use super::batch;
use super::guard::{self, Report};
use super::lock;
use super::result::Output;

/// How much of the end of standard error goes into a failure's message.
const STDERR_TAIL: usize = 4 * 1024;
/// A longer line of standard error is logged in pieces, so that one endless line needs no endless memory.
const STDERR_LINE: usize = 4 * 1024;

/// What a command's environment holds unless its configuration says otherwise: enough to find programs and to speak the
/// user's language, and no credentials.
pub(crate) const DEFAULT_ENV: &[&str] = &["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// Runs a command for each attempt, or for each batch.
#[derive(Debug)]
pub(crate) struct Command {
    /// The program and its arguments.
    pub(crate) argv: Vec<String>,
    /// Names of variables that are handed down from the worker's own environment.
    pub(crate) env: Vec<String>,
    /// Variables that are set.
    pub(crate) set_env: BTreeMap<String, String>,
    /// Where it runs; the worker's own directory by default.
    pub(crate) cwd: Option<PathBuf>,
    /// What its standard output is.
    pub(crate) output: Output,
    /// The most bytes of it that are read before the command is stopped.
    pub(crate) max_output: usize,
    /// Exit statuses after which there is no other attempt.
    pub(crate) fail_on: Vec<u8>,
    /// The most bytes of address space that it may have.
    pub(crate) memory: Option<u64>,
    /// What one command at a time holds.
    pub(crate) lock: Option<Template>,
}

impl Handler for Command {
    fn run<'a>(&'a self, cx: &'a Context, args: &'a str) -> HandlerFuture<'a> {
        Box::pin(async move {
            let lock = lock::take(self.lock.as_ref(), cx, args).await?;
            let mut env = vec![
                ("GRISTMILL_TASK_ID", cx.id().to_string()),
                ("GRISTMILL_TASK_NAME", cx.name().to_owned()),
                ("GRISTMILL_ATTEMPT", cx.attempt().to_string()),
                ("GRISTMILL_FENCE", cx.fencing_token().to_string()),
            ];
            if let Some(lock) = &lock {
                env.push(("GRISTMILL_LOCK", lock.name().to_owned()));
                env.push(("GRISTMILL_LOCK_TOKEN", lock.token().to_string()));
            }
            let run = Run { input: args, env, log: cx, max_output: self.max_output };
            let stdout = self.run_until(&run, cx.cancellation().cancelled()).await?;
            self.output.read(&stdout, STDOUT, "write other words to standard error, or ").map_err(Error::retry)
        })
    }
}

impl BatchHandler for Command {
    fn run<'a>(&'a self, cx: &'a Batch, args: &'a [String]) -> BatchHandlerFuture<'a> {
        Box::pin(async move {
            let Some(first) = cx.tasks().first() else { return Ok(Vec::new()) };
            let mut env =
                vec![("GRISTMILL_TASK_NAME", first.name().to_owned()), ("GRISTMILL_BATCH_SIZE", args.len().to_string())];
            env.extend(cx.key().map(|key| ("GRISTMILL_BATCH_KEY", key.to_owned())));
            let input = batch::list(args);
            // A log for each of a thousand tasks would be a thousand times the same.
            let run = Run { input: &input, env, log: first, max_output: batch::most(self.max_output, args.len()) };
            let stdout = self.run_until(&run, cx.cancellation().cancelled()).await?;
            batch::answers(self.output, &stdout, args.len(), STDOUT)
        })
    }
}

/// What the result is read from.
const STDOUT: &str = "the command's standard output";

/// One run of a command.
struct Run<'a> {
    input: &'a str,
    env: Vec<(&'static str, String)>,
    /// Whose log gets what it writes to standard error.
    log: &'a Context,
    /// The most bytes of its output that are read before it is stopped.
    max_output: usize,
}

/// How the command ended, and what it said.
struct Outcome {
    report: Report,
    stdout: Vec<u8>,
    stderr: String,
}

impl Command {
    /// What it wrote to standard output, unless it failed or was `stopped`.
    async fn run_until(&self, run: &Run<'_>, stopped: impl Future<Output = ()>) -> Result<Vec<u8>> {
        let (mut guard, link) = self.start(run)?;
        let mut talk = Talk { link: BufReader::new(link), group: None, done: false };
        let outcome = tokio::select! {
            outcome = self.converse(run, &mut guard, &mut talk) => outcome,
            () = stopped => Err(Error::retry("the command was stopped before it ended")),
        };
        // Closing the socket is what tells the guard to kill the rest; an attempt that is dropped closes it as well.
        drop(talk);
        // The attempt ends when its processes have, so that the next one never runs beside them.
        let _ = guard.wait().await;
        self.judge(outcome?)
    }

    fn start(&self, run: &Run<'_>) -> Result<(Child, UnixStream)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = tokio::process::Command::new(own_binary()?);
        command.arg0(guard::NAME).arg(guard::ARGUMENT).args(&self.argv).env_clear();
        command.envs(self.env.iter().filter_map(|name| Some((name, std::env::var_os(name)?)))).envs(&self.set_env);
        command.envs(run.env.iter().map(|(name, value)| (name, value)));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        // A group of its own, so that ctrl-c in the worker's terminal leaves the end of the command to the worker.
        command.process_group(0).stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let guard = command.spawn().map_err(|error| match (error.kind(), &self.cwd) {
            (ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory, Some(cwd)) => {
                Error::fail(format!("the working directory `{}` can't be used: {error}", cwd.display()))
            }
            _ => Error::retry(format!("no process could be started: {error}")),
        })?;
        Ok((guard, UnixStream::from_std(ours)?))
    }

    async fn converse(&self, run: &Run<'_>, guard: &mut Child, talk: &mut Talk) -> Result<Outcome> {
        let (Some(stdout), Some(stderr)) = (guard.stdout.take(), guard.stderr.take()) else {
            return Err(Error::retry("the command's output could not be opened"));
        };
        let (report, stdout, stderr) = tokio::try_join!(
            talk.report(run.input, self.memory),
            self.read_output(stdout, run.max_output),
            read_stderr(stderr, run.log)
        )?;
        Ok(Outcome { report, stdout, stderr })
    }

    async fn read_output(&self, mut stdout: ChildStdout, max: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if self.output == Output::None {
            // It is read all the same: a command that writes into a full pipe would wait for ever.
            tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await?;
            return Ok(bytes);
        }
        // One byte more than is allowed tells an overflow from an output that just fits.
        stdout.take(max as u64 + 1).read_to_end(&mut bytes).await?;
        if bytes.len() > max {
            return Err(Error::fail(format!(
                "the command wrote more than {max} bytes to standard output, the limit of a result, and was stopped"
            )));
        }
        Ok(bytes)
    }

    fn judge(&self, Outcome { report, stdout, stderr }: Outcome) -> Result<Vec<u8>> {
        let program = self.argv.first().map_or("", String::as_str);
        let tail = if stderr.trim().is_empty() { String::new() } else { format!(": {}", stderr.trim()) };
        match report {
            Report::Exited(0) => Ok(stdout),
            Report::Exited(status) if u8::try_from(status).is_ok_and(|status| self.fail_on.contains(&status)) => {
                Err(Error::fail(format!("the command exited with status {status}, which is one of `fail_on`{tail}")))
            }
            Report::Exited(status) => Err(Error::retry(format!("the command exited with status {status}{tail}"))),
            Report::Signalled(signal) => {
                Err(Error::retry(format!("the command was ended by signal {signal} ({}){tail}", signal_name(signal))))
            }
            Report::Missing(why) => Err(Error::fail(format!("the command `{program}` can't be started: {why}"))),
            Report::Busy(why) => Err(Error::retry(format!("the command `{program}` could not be started: {why}"))),
            Report::Started(_) => Err(Error::retry(format!("the process that guards the command ended too early{tail}"))),
        }
    }
}

/// The worker's end of the guard's socket.
struct Talk {
    link: BufReader<UnixStream>,
    group: Option<Pid>,
    done: bool,
}

impl Talk {
    /// Hands over the arguments and what the command may take, and waits for the last report.
    async fn report(&mut self, args: &str, memory: Option<u64>) -> Result<Report> {
        self.link.write_all(&memory.unwrap_or(0).to_le_bytes()).await?;
        self.link.write_all(&(args.len() as u64).to_le_bytes()).await?;
        self.link.write_all(args.as_bytes()).await?;
        let mut line = String::new();
        loop {
            line.clear();
            if self.link.read_line(&mut line).await? == 0 {
                return Err(Error::retry("the process that guards the command was killed, and the command with it"));
            }
            match Report::parse(&line) {
                Some(Report::Started(pid)) => self.group = Pid::from_raw(pid),
                Some(report) => {
                    self.done = true;
                    return Ok(report);
                }
                None => return Err(Error::retry("the process that guards the command said something unknown")),
            }
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // The guard does this as well; it is done here too in case that somebody killed the guard.
        if let (Some(group), false) = (self.group, self.done) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// This very program, even if its file was replaced since it was started: an upgrade must not break running workers.
fn own_binary() -> Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok(PathBuf::from("/proc/self/exe")) } else { Ok(std::env::current_exe()?) }
}

/// Logs standard error line by line, and keeps its end.
async fn read_stderr(stderr: ChildStderr, cx: &Context) -> Result<String> {
    let mut reader = BufReader::new(stderr);
    let mut tail = VecDeque::with_capacity(STDERR_TAIL);
    let mut line = Vec::new();
    while read_piece(&mut reader, &mut line).await? {
        tail.extend(&line);
        tail.drain(..tail.len().saturating_sub(STDERR_TAIL));
        let text = String::from_utf8_lossy(&line);
        cx.log(text.trim_end_matches(['\n', '\r']));
        line.clear();
    }
    Ok(String::from_utf8_lossy(tail.make_contiguous()).into_owned())
}

/// A line, or the next piece of one that is too long; false at the end.
async fn read_piece(reader: &mut BufReader<impl AsyncRead + Unpin>, line: &mut Vec<u8>) -> std::io::Result<bool> {
    Ok(reader.take(STDERR_LINE as u64).read_until(b'\n', line).await? > 0)
}

fn signal_name(signal: i32) -> &'static str {
    const NAMES: [&str; 16] = [
        "unknown", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1",
        "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM",
    ];
    usize::try_from(signal).ok().and_then(|number| NAMES.get(number)).copied().unwrap_or("another signal")
}
