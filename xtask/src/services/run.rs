use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::account::Account;
use super::folder::{END_WITHIN, Folder};
use super::{NAME, READY_WITHIN};
use crate::say;

/// One run's processes and their folder, shared with the thread that waits for signals.
#[derive(Clone)]
pub(super) struct Run {
    account: Account,
    place: PathBuf,
    state: Arc<Mutex<State>>,
}

struct State {
    /// None once the run has ended; nothing is started after that.
    folder: Option<Folder>,
    processes: Vec<Process>,
}

struct Process {
    name: &'static str,
    child: Child,
}

impl Run {
    pub(super) fn new(folder: Folder, account: Account) -> Self {
        let place = folder.place().to_owned();
        Self { account, place, state: Arc::new(Mutex::new(State { folder: Some(folder), processes: Vec::new() })) }
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Where the servers have their data.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Where tests have the data of servers of their own.
    pub(super) fn clusters(&self) -> Result<PathBuf> {
        Ok(self.lock().folder.as_ref().context("interrupted")?.clusters())
    }

    /// Writes a file for the servers' eyes only; some hold the password.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.place.join(name);
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
        self.account.own(&path)?;
        Ok(path)
    }

    /// Starts a process whose output goes to its log.
    pub(super) fn spawn(&self, name: &'static str, command: &mut Command) -> Result<()> {
        let mut state = self.lock();
        let Some(folder) = &state.folder else { bail!("interrupted") };
        let log = File::create(self.log(name)).context("making a log file")?;
        let child = command
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        let noted = folder.note(name, child.id());
        state.processes.retain(|process| process.name != name);
        // Kept before the note's error is returned, as what isn't kept isn't ended.
        state.processes.push(Process { name, child });
        noted
    }

    /// Waits until a process has ended, with success.
    pub(super) fn finish(&self, name: &'static str) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.status(name)? {
                if status.success() {
                    self.lock().processes.retain(|process| process.name != name);
                    return Ok(());
                }
                bail!("{name} ended with {status}; its log:\n{}", self.tail(name));
            }
            self.pause(name, deadline)?;
        }
    }

    /// Waits until a server answers; an error as soon as it ends.
    pub(super) fn ready(&self, name: &'static str, mut answers: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            self.alive(name)?;
            if answers() {
                // Once more: it may have been somebody else who answers on the port that this one didn't get.
                return self.alive(name);
            }
            self.pause(name, deadline)?;
        }
    }

    /// An error if a server has ended.
    pub(super) fn check(&self) -> Result<()> {
        let names: Vec<_> = self.lock().processes.iter().map(|process| process.name).collect();
        names.into_iter().try_for_each(|name| self.alive(name))
    }

    /// Whether [`end`](Self::end) was called.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().folder.is_none()
    }

    /// The last lines of a process's log.
    pub(super) fn tail(&self, name: &str) -> String {
        let text = std::fs::read(self.log(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Ends the processes, the last one first, and removes the folder. A second time it does nothing.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        let Some(folder) = state.folder.take() else { return };
        while let Some(mut process) = state.processes.pop() {
            if let Err(error) = process.end() {
                say(&format!("ending {}: {error:#}", process.name));
            }
        }
        if let Err(error) = folder.remove() {
            say(&format!("{error:#}"));
        }
    }

    fn alive(&self, name: &'static str) -> Result<()> {
        match self.status(name)? {
            Some(status) => bail!("{name} ended with {status}; its log:\n{}", self.tail(name)),
            None => Ok(()),
        }
    }

    fn pause(&self, name: &str, deadline: Instant) -> Result<()> {
        if Instant::now() > deadline {
            bail!("{name} isn't ready after {READY_WITHIN:?}; its log:\n{}", self.tail(name));
        }
        std::thread::sleep(Duration::from_millis(20));
        Ok(())
    }

    fn status(&self, name: &str) -> Result<Option<std::process::ExitStatus>> {
        let mut state = self.lock();
        let process = state.processes.iter_mut().find(|process| process.name == name);
        Ok(process.context("interrupted")?.child.try_wait()?)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.place.join(name).with_extension("log")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// SIGINT is PostgreSQL's fast shutdown: it closes its connections and writes what is to be kept. PgBouncer waits
    /// for its transactions to end, and keeps nothing, so that it is killed at once.
    fn end(&mut self) -> Result<()> {
        if self.name != super::pgbouncer::SERVER && self.child.try_wait()?.is_none() {
            kill_process(Pid::from_child(&self.child), Signal::INT)?;
            let deadline = Instant::now() + END_WITHIN;
            while self.child.try_wait()?.is_none() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

/// Asks a server, as its superuser.
pub(super) fn psql(run: &Run, psql: &Path, port: u16, password: &str, database: &str, sql: &str) -> Result<()> {
    let output = run
        .account()
        .command(psql, run.place())
        .args(["-X", "-q", "-w", "-h", "127.0.0.1", "-p", &port.to_string(), "-U", NAME, "-d", database, "-c", sql])
        .envs([("PGPASSWORD", password), ("PGCONNECT_TIMEOUT", "10")])
        .output()
        .context("starting psql")?;
    if !output.status.success() {
        bail!("psql on port {port}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
