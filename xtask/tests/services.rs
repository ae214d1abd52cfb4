//! `xtask services` as a developer sees it: a process that prints URLs, and leaves nothing behind however it ends.

#![allow(clippy::unwrap_used, reason = "a helper that can not go on fails its test, which is what it is for")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Whether there are servers to start: `cargo xtask test` says so. A bare `cargo test` must not install any.
fn installed() -> bool {
    std::env::var_os("GRISTMILL_TEST_POSTGRES").is_some()
}

struct Running {
    child: Child,
    postgres: String,
    pgbouncer: String,
}

impl Running {
    fn start(target: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .arg("services")
            .env("CARGO_TARGET_DIR", target)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap)
            .take_while(|line| line.starts_with("export "))
            .collect();
        let url = |name: &str| {
            let found = lines.iter().find_map(|line| line.strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_else(|| panic!("no {name} in {lines:?}")).to_owned()
        };
        let (postgres, pgbouncer) = (url("GRISTMILL_TEST_POSTGRES"), url("GRISTMILL_TEST_PGBOUNCER"));
        assert_eq!(url("DATABASE_URL"), postgres);
        Self { child, postgres, pgbouncer }
    }

    fn end(mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap();
    }
}

/// The run's folder, its data's, and the pids of its servers.
fn found(target: &Path) -> (PathBuf, PathBuf, Vec<Pid>) {
    let runs: Vec<_> =
        std::fs::read_dir(target.join("services")).unwrap().map(|run| run.unwrap().path()).filter(|run| run.is_dir()).collect();
    let [run] = &runs[..] else { panic!("not one run: {runs:?}") };
    let pid = |name: &str| Pid::from_raw(std::fs::read_to_string(run.join(name)).unwrap().parse().unwrap()).unwrap();
    (run.clone(), run.join("place").canonicalize().unwrap(), vec![pid("postgres.pid"), pid("pgbouncer.pid")])
}

fn psql(url: &str, sql: &str) -> Result<String, String> {
    let output =
        Command::new("psql").args(["-XAtq", "-w", "-d", url, "-c", sql]).env("PGCONNECT_TIMEOUT", "10").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Ended; it may still wait for its parent to look, who in a container is often a process that never does.
fn gone(pid: Pid) -> bool {
    let line = Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join("cmdline");
    test_kill_process(pid).is_err() || std::fs::read(line).is_ok_and(|line| line.is_empty())
}

#[test]
fn services_answer_and_a_signal_ends_them_and_removes_their_data() {
    if !installed() {
        return;
    }
    let target = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let running = Running::start(target.path());
    let (run, place, pids) = found(target.path());
    for url in [&running.postgres, &running.pgbouncer] {
        assert_eq!(psql(url, "select 1").as_deref(), Ok("1"));
        let wrong = url.replace("gristmill:", "gristmill:not");
        assert!(psql(&wrong, "select 1").unwrap_err().contains("failed"), "another password got in");
    }
    assert_eq!(psql(&running.postgres, "show max_connections").as_deref(), Ok("200"));
    assert_eq!(psql(&running.postgres, "show fsync").as_deref(), Ok("on"));
    assert_eq!(psql(&running.postgres, "show synchronous_commit").as_deref(), Ok("on"));
    assert_eq!(psql(&running.postgres, "show listen_addresses").as_deref(), Ok("127.0.0.1"));
    assert!(pids.iter().all(|pid| !gone(*pid)));

    running.end(Signal::TERM);

    assert!(pids.iter().all(|pid| gone(*pid)));
    assert!(!run.exists() && !place.exists());
}

#[test]
fn after_a_kill_the_next_start_removes_what_is_left_of_a_path_too_long_for_sockets_too() {
    if !installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a".repeat(100));
    let running = Running::start(&target);
    let (run, place, pids) = found(&target);
    assert!(!place.starts_with(&target));
    running.end(Signal::KILL);
    // The kernel ends them, or the next start where it can't; either way none is there after it.
    let next = Running::start(&target);
    assert!(pids.iter().all(|pid| gone(*pid)));
    assert!(!run.exists() && !place.exists());
    assert_eq!(psql(&next.postgres, "select 1").as_deref(), Ok("1"));

    let (run, place, pids) = found(&target);
    next.end(Signal::INT);
    // Its servers are children of the process that was waited for, so that nothing is left to wait for.
    assert!(pids.iter().all(|pid| gone(*pid)));
    assert!(!run.exists() && !place.exists());
}
