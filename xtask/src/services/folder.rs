use std::fs::{File, TryLockError};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::account::Account;
use crate::say;

/// How long a server has to end by itself, before it is killed.
pub(super) const END_WITHIN: Duration = Duration::from_secs(10);

/// The longest path that a socket's address holds on macOS; Linux has 107.
const SOCKET_PATH: usize = 103;

/// How the data's folder begins if it has to be outside of the run's.
const OUTSIDE: &str = "gristmill-services-";

/// In `place`: the data of servers that tests start for themselves, a folder each.
const CLUSTERS: &str = "clusters";

/// The folder of one run. It holds a lock as long as the run lives, the servers' pid files, and `place` with their data.
pub(super) struct Folder {
    path: PathBuf,
    place: PathBuf,
    /// Let go by the kernel however this process ends; that is how the next run knows a leftover.
    _lock: File,
}

impl Folder {
    /// Makes a folder under `services`, after removing those of runs that were killed.
    pub(super) fn create(services: &Path, account: &Account) -> Result<Self> {
        std::fs::create_dir_all(services).with_context(|| format!("making {}", services.display()))?;
        // One at a time: a folder just made, not yet locked, looks like a leftover.
        let gate = File::create(services.join("lock")).context("making the lock file of the services")?;
        gate.lock().context("locking the folder of the services")?;
        sweep(services)?;
        let path = tempfile::Builder::new()
            .prefix("run-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in(services)
            .context("making the folder of this run")?
            .keep();
        let lock = File::create(path.join("lock"))?;
        lock.try_lock().context("locking the folder of this run")?;
        let place = make_place(&path, account)?;
        let clusters = place.join(CLUSTERS);
        std::fs::create_dir(&clusters)?;
        account.own(&clusters)?;
        Ok(Self { path, place, _lock: lock })
    }

    /// Where the servers have their data; theirs alone.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Where tests have the data of servers of their own. What is started with a path in it is ended with the run.
    pub(super) fn clusters(&self) -> PathBuf {
        self.place.join(CLUSTERS)
    }

    /// Notes a server, for the run that finds this one killed.
    pub(super) fn note(&self, server: &str, pid: u32) -> Result<()> {
        std::fs::write(self.path.join(server).with_extension("pid"), pid.to_string()).context("writing a pid file")
    }

    /// Removes everything, after ending what killed tests left. The servers must have ended.
    pub(super) fn remove(self) -> Result<()> {
        end_leftovers(&self.path)?;
        remove(&self.path)
    }
}

/// `place` in the run's folder; or a link there to a temporary folder, if the account can't reach it or the path is too
/// long for a socket.
fn make_place(run: &Path, account: &Account) -> Result<PathBuf> {
    let inside = run.join("place");
    std::fs::create_dir(&inside)?;
    std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o700))?;
    account.own(&inside)?;
    let place = inside.canonicalize()?;
    if place.join(".s.PGSQL.65535").as_os_str().len() <= SOCKET_PATH && account.reaches(&place) {
        return Ok(place);
    }
    std::fs::remove_dir_all(&inside)?;
    // On disk, where /tmp may be memory: the tests rely on what is durable.
    let above = Path::new("/var/tmp");
    let above = if above.is_dir() { above.to_owned() } else { std::env::temp_dir() };
    let place = tempfile::Builder::new().prefix(OUTSIDE).tempdir_in(above)?.keep().canonicalize()?;
    std::os::unix::fs::symlink(&place, &inside)?;
    account.own(&place)?;
    if !account.reaches(&place) {
        bail!("the servers' user can't write to {}", place.display());
    }
    Ok(place)
}

/// Ends and removes what killed runs left behind. What can't be removed, as another user's, is none of this run's trouble.
fn sweep(services: &Path) -> Result<()> {
    for entry in std::fs::read_dir(services)? {
        let run = entry?.path();
        if !run.is_dir() {
            continue;
        }
        match File::open(run.join("lock")).map(|lock| lock.try_lock()) {
            Ok(Err(TryLockError::WouldBlock)) => continue,
            // Without a lock file the run was killed before it started anything.
            Ok(_) | Err(_) => say(&format!("removing what a killed run left in {}", run.display())),
        }
        if let Err(error) = end_leftovers(&run).and_then(|()| remove(&run)) {
            say(&format!("{} stays: {error:#}", run.display()));
        }
    }
    Ok(())
}

fn end_leftovers(run: &Path) -> Result<()> {
    let Ok(place) = run.join("place").canonicalize() else { return Ok(()) };
    for file in pid_files(run, &place)? {
        let text = std::fs::read_to_string(&file)?;
        let text = text.lines().next().unwrap_or_default();
        let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else { continue };
        for signal in [Signal::INT, Signal::KILL] {
            // Asked before each signal: the number may have gone to a process of somebody else.
            if is_ours(pid, &place) {
                kill_process(pid, signal).with_context(|| format!("ending process {text}"))?;
                let deadline = Instant::now() + END_WITHIN;
                while is_ours(pid, &place) && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
        if is_ours(pid, &place) {
            bail!("process {text} can't be ended");
        }
    }
    Ok(())
}

/// Those of the run's servers, and those that PostgreSQL wrote into the data of its tests' servers.
fn pid_files(run: &Path, place: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(run)? {
        files.push(entry?.path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "pid"));
    if let Ok(clusters) = std::fs::read_dir(place.join(CLUSTERS)) {
        files.extend(clusters.flatten().map(|cluster| cluster.path().join("postmaster.pid")).filter(|file| file.is_file()));
    }
    Ok(files)
}

/// Whether the process lives and was started with a path in `place`, which is a name that no other run ever has.
fn is_ours(pid: Pid, place: &Path) -> bool {
    let pid = pid.as_raw_nonzero().to_string();
    let line = match std::fs::read(Path::new("/proc").join(&pid).join("cmdline")) {
        Ok(line) => line,
        Err(_) if Path::new("/proc/self").exists() => return false,
        Err(_) => Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid]).output().map_or(Vec::new(), |ps| ps.stdout),
    };
    String::from_utf8_lossy(&line).contains(&format!("{}/", place.display()))
}

fn remove(run: &Path) -> Result<()> {
    let place = run.join("place");
    if place.is_symlink()
        && let Ok(outside) = place.canonicalize()
        && outside.file_name().is_some_and(|name| name.to_string_lossy().starts_with(OUTSIDE))
    {
        std::fs::remove_dir_all(&outside).with_context(|| format!("removing {}", outside.display()))?;
    }
    std::fs::remove_dir_all(run).with_context(|| format!("removing {}", run.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Child;

    use super::*;

    /// A process with `name` as its command line; ended if the test fails, too.
    struct Sleeper(Child);

    impl Sleeper {
        fn start(name: &Path) -> Self {
            let sleeper = Self(Command::new("sleep").arg0(name).arg("60").spawn().unwrap());
            let (pid, place) = (Pid::from_child(&sleeper.0), name.parent().unwrap());
            // The kernel lets who started it go on a moment before the new command line is in place.
            let deadline = Instant::now() + Duration::from_secs(10);
            while !is_ours(pid, place) && Instant::now() < deadline {
                std::thread::yield_now();
            }
            sleeper
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn a_killed_run_is_ended_and_removed_but_nobody_elses_process_and_no_living_run() {
        let services = tempfile::tempdir().unwrap();
        let account = Account { ids: None };
        let living = Folder::create(services.path(), &account).unwrap();
        let killed = Folder::create(services.path(), &account).unwrap();
        let mut ours = Sleeper::start(&killed.place().join("data"));
        let cluster = killed.clusters().join("of-a-test");
        let mut test = Sleeper::start(&cluster);
        let mut other = Sleeper::start(Path::new("somebody/else"));
        killed.note("postgres", ours.0.id()).unwrap();
        std::fs::create_dir(&cluster).unwrap();
        std::fs::write(cluster.join("postmaster.pid"), format!("{}\n/data\n", test.0.id())).unwrap();
        killed.note("pgbouncer", other.0.id()).unwrap();
        let (path, place) = (killed.path.clone(), killed.place.clone());
        drop(killed);

        // More than once: a process that was just started has the lock's descriptor until its exec is through.
        let deadline = Instant::now() + Duration::from_secs(10);
        while path.exists() && Instant::now() < deadline {
            sweep(services.path()).unwrap();
        }

        assert!(!path.exists() && !place.exists());
        assert!(living.place.exists());
        // A sleep that nobody ended ends with success.
        assert!(!ours.0.wait().unwrap().success(), "a server of the killed run lived on");
        assert!(!test.0.wait().unwrap().success(), "a server of a killed test lived on");
        assert!(other.0.try_wait().unwrap().is_none(), "a process with a recycled number was killed");
        living.remove().unwrap();
    }
}
