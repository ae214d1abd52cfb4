//! The process between a worker and a command, so that no command outlives its worker.
//!
//! A worker that is killed with `kill -9` can't clean up after itself, and the kernel's "die with your parent" would have
//! to be set in the child between fork and exec, which takes `unsafe`. So the worker starts its own binary once more as a
//! *guard*, tied to it by a socket that is the guard's standard input. The guard starts the command in a process group of
//! its own and waits for one of two things: the command ends, or the socket does. Either way it kills what is left of the
//! group and, as the *subreaper* of all that it started, whatever tried to leave it by a double fork or `setsid`.
//!
//! The command's standard output and error are the worker's own pipes; nothing is copied.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, kill_process_group, wait, waitid, waitpid};

/// The first argument that makes this binary a guard. Not for people, so it is in no help text.
pub(crate) const ARGUMENT: &str = "__guard";

/// The same for what becomes a command whose memory is bounded, and its exit status if it can't.
const BOUNDED: &str = "__bounded";
const UNBOUND: u8 = 239;

/// What a guard is called among processes; a name may have 15 characters there.
pub(crate) const NAME: &str = "gristmill-guard";

/// What a guard tells its worker, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The command runs with this process id, which is also its group's.
    Started(i32),
    /// It ended with this exit status.
    Exited(i32),
    /// It ended by this signal.
    Signalled(i32),
    /// It could not be started, and never will be.
    Missing(String),
    /// It could not be started for want of memory or processes.
    Busy(String),
}

impl Report {
    fn to_line(&self) -> String {
        match self {
            Self::Started(pid) => format!("started {pid}\n"),
            Self::Exited(status) => format!("exited {status}\n"),
            Self::Signalled(signal) => format!("signalled {signal}\n"),
            Self::Missing(why) => format!("missing {}\n", why.replace('\n', " ")),
            Self::Busy(why) => format!("busy {}\n", why.replace('\n', " ")),
        }
    }

    /// Reads what a guard wrote; `None` if no guard would write that.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.trim_end_matches('\n').split_once(' ')?;
        Some(match word {
            "started" => Self::Started(rest.parse().ok()?),
            "exited" => Self::Exited(rest.parse().ok()?),
            "signalled" => Self::Signalled(rest.parse().ok()?),
            "missing" => Self::Missing(rest.to_owned()),
            "busy" => Self::Busy(rest.to_owned()),
            _ => return None,
        })
    }
}

/// Acts as a guard if this process was started as one. Has to come before anything else in the process.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    match args.next()? {
        word if word == BOUNDED => return Some(become_bounded(args).map_or(ExitCode::from(UNBOUND), |()| ExitCode::SUCCESS)),
        word if word != ARGUMENT => return None,
        _ => {}
    }
    let Some(program) = args.next() else { return Some(ExitCode::from(2)) };
    // An error here means that the worker is gone, or that it gave no socket: there is nobody to tell.
    Some(match guard(program, args.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

fn guard(program: OsString, args: Vec<OsString>) -> io::Result<()> {
    // Else it is `exe` to whoever looks at processes, as it was started by that path.
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/comm", NAME);
    let mut worker = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let memory = read_number(&mut worker)?;
    let input = read_input(&mut worker)?;
    let spawned = starter(program, memory).args(args).stdin(Stdio::piped()).process_group(0).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return worker.write_all(refusal(&error).to_line().as_bytes()),
    };
    let group = Pid::from_child(&child);
    // If the worker is gone already, the watch below notices.
    let _ = worker.write_all(Report::Started(group.as_raw_nonzero().get()).to_line().as_bytes());
    feed(&mut child, input);
    let leads = Arc::new(Mutex::new(true));
    watch(worker.try_clone()?, group, leads.clone());

    // The command is left unreaped at first: as long as it is a zombie nobody else can have its number, so that the kill
    // below hits its group and no other.
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {}
    *lock(&leads) = false;
    let _ = kill_process_group(group, Signal::KILL);
    let report = loop {
        match waitpid(Some(group), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                break match status.terminating_signal() {
                    Some(signal) => Report::Signalled(signal),
                    None if memory > 0 && status.exit_status() == Some(UNBOUND.into()) => {
                        Report::Missing("it is not there, or its memory can't be bounded".to_owned())
                    }
                    None => Report::Exited(status.exit_status().unwrap_or(0)),
                };
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    kill_stragglers();
    worker.write_all(report.to_line().as_bytes())
}

/// What starts the command: itself, or this binary once more, which bounds its own memory and then becomes the command. Only so the bound holds
/// from the first moment on: to set it between fork and exec takes `unsafe`, and a guard that bounds itself could start nothing any more.
fn starter(program: OsString, memory: u64) -> Command {
    if memory == 0 || cfg!(not(target_os = "linux")) {
        return Command::new(program);
    }
    let mut bounded = Command::new("/proc/self/exe");
    bounded.arg0(NAME).arg(BOUNDED).arg(memory.to_string()).arg(program);
    bounded
}

/// Bounds the address space of this process and becomes the command. Comes back if it can't.
#[cfg(target_os = "linux")]
fn become_bounded(mut args: impl Iterator<Item = OsString>) -> Option<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let asked: u64 = args.next()?.to_str()?.parse().ok()?;
    let mut command = Command::new(args.next()?);
    command.args(args);
    // What it has inherited holds, too; a bound can't be raised.
    let Rlimit { current, maximum } = getrlimit(Resource::As);
    let bytes = [current, maximum].into_iter().flatten().fold(asked, u64::min);
    let error = match setrlimit(Resource::As, Rlimit { current: Some(bytes), maximum: Some(bytes) }) {
        Ok(()) => command.exec(),
        Err(error) => error.into(),
    };
    // To the command's standard error, which is kept with the failure.
    let _ = writeln!(io::stderr(), "{error}");
    None
}

#[cfg(not(target_os = "linux"))]
fn become_bounded(_: impl Iterator<Item = OsString>) -> Option<()> {
    None
}

/// Eight bytes.
fn read_number(worker: &mut UnixStream) -> io::Result<u64> {
    let mut number = [0; 8];
    worker.read_exact(&mut number)?;
    Ok(u64::from_le_bytes(number))
}

/// The arguments: their length, then themselves. The worker closes the socket only to end the command.
fn read_input(worker: &mut UnixStream) -> io::Result<Vec<u8>> {
    let length = usize::try_from(read_number(worker)?).map_err(io::Error::other)?;
    let mut input = vec![0; length];
    worker.read_exact(&mut input)?;
    Ok(input)
}

fn refusal(error: &io::Error) -> Report {
    use io::ErrorKind::{ExecutableFileBusy, OutOfMemory, WouldBlock};
    match error.kind() {
        WouldBlock | OutOfMemory | ExecutableFileBusy => Report::Busy(error.to_string()),
        _ => Report::Missing(error.to_string()),
    }
}

/// Writes the arguments on a thread of its own: a command that never reads them must not keep the guard from its watch.
fn feed(child: &mut Child, input: Vec<u8>) {
    let Some(mut stdin) = child.stdin.take() else { return };
    std::thread::spawn(move || {
        // A command may end without reading its input.
        let _ = stdin.write_all(&input);
    });
}

/// Kills the group as soon as the worker's end of the socket closes.
fn watch(mut worker: UnixStream, group: Pid, leads: Arc<Mutex<bool>>) {
    std::thread::spawn(move || {
        let mut byte = [0];
        while let Err(error) = worker.read_exact(&mut byte) {
            if error.kind() != io::ErrorKind::Interrupted {
                break;
            }
        }
        if *lock(&leads) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    });
}

/// Kills and reaps all descendants that are left. Each one that dies hands its own children to this process.
fn kill_stragglers() {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => continue,
            Ok(None) => {}
            Err(_) => return,
        }
        for pid in children() {
            let _ = kill_process(pid, Signal::KILL);
        }
        // They die within microseconds; there is nothing to be notified by that would not also block on one that
        // slipped in after the list was read.
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}

#[cfg(target_os = "linux")]
fn children() -> Vec<Pid> {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect::<Vec<_>>())
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn children() -> Vec<Pid> {
    Vec::new()
}

fn lock(leads: &Mutex<bool>) -> MutexGuard<'_, bool> {
    leads.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_socket() {
        for report in [
            Report::Started(17),
            Report::Exited(3),
            Report::Signalled(9),
            Report::Missing("No such file or directory (os error 2)".into()),
            Report::Busy("try again".into()),
        ] {
            assert_eq!(Report::parse(&report.to_line()), Some(report));
        }
        assert_eq!(Report::parse("exited soon\n"), None);
        assert_eq!(Report::parse("nonsense"), None);
    }
}
