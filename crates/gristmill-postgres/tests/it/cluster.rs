//! A server of a test's own, to be killed, stopped and set up as no shared one may be.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// However busy the machine is, nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a small server for a test needs. Without fsync a power loss would take commits, but no kill does.
const SETTINGS: &[&str] = &["fsync=off", "max_wal_senders=3", "autovacuum_max_workers=1"];

/// A PostgreSQL of one test, ended and removed with it.
pub(crate) struct Cluster {
    data: PathBuf,
    port: u16,
    settings: Vec<String>,
    server: Option<Child>,
}

impl Cluster {
    /// A server with an empty database, and these settings: `max_connections=10`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let data = place(&format!("cluster-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        run(command("cp").arg("-a").arg(template()).arg(&data));
        Self::of(data, settings)
    }

    /// A server that follows this one, and can only be read until it is [promoted](Self::promote).
    pub(crate) fn standby(&self, settings: &[&str]) -> Self {
        let data = place(&format!("standby-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        let mut backup = self.tool("pg_basebackup");
        run(backup.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--pgdata"]).arg(&data));
        Self::of(data, settings)
    }

    fn of(data: PathBuf, settings: &[&str]) -> Self {
        let settings = SETTINGS.iter().chain(settings).map(|setting| (*setting).to_owned()).collect();
        let mut cluster = Self { data, port: free_port(), settings, server: None };
        cluster.start_again();
        cluster
    }

    /// Starts the server that was killed or stopped, and waits until it answers.
    pub(crate) fn start_again(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            assert!(Instant::now() < deadline, "the server does not start: {}", self.log());
            // After a kill it refuses to start as long as a child of the one before lives.
            if self.server.as_mut().is_none_or(|server| server.try_wait().unwrap().is_some()) {
                self.server = Some(self.spawn());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn spawn(&self) -> Child {
        let log = File::options().append(true).create(true).open(self.data.with_extension("log")).unwrap();
        let mut command = program("postgres");
        command.arg("-D").arg(&self.data).args(["-h", "127.0.0.1", "-k", "", "-p", &self.port.to_string()]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        // Out of reach of the terminal's ctrl-c: the test ends it, or whoever started the test.
        command.process_group(0).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    fn answers(&self) -> bool {
        self.server.is_some() && self.tool("pg_isready").arg("-q").status().unwrap().success()
    }

    /// Kills the postmaster; its children die when they notice, as those of any other that was killed.
    pub(crate) fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Ends the server as its administrator would.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::INT);
        let mut server = self.server.take().unwrap();
        server.wait().unwrap();
    }

    /// Sends the postmaster a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.server.as_ref().unwrap()), signal).unwrap();
    }

    /// Makes a standby a primary.
    pub(crate) fn promote(&self) {
        run(program("pg_ctl").args(["promote", "--wait", "--pgdata"]).arg(&self.data));
    }

    /// Changes settings of the running server: `default_transaction_read_only = on`.
    pub(crate) fn set(&self, setting: &str) {
        self.sql(&format!("SET default_transaction_read_only = off; ALTER SYSTEM SET {setting}"));
        self.sql("SELECT pg_reload_conf()");
    }

    /// Runs statements as the superuser, each in a transaction of its own; gives the rows.
    pub(crate) fn sql(&self, text: &str) -> String {
        let mut psql = self.tool("psql");
        for statement in text.split("; ") {
            psql.args(["-c", statement]);
        }
        let output =
            psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", &user_and_password().0]).stdout(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Writes a file into the server's data, for its eyes only.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.data.join(name), text).unwrap();
        own(&self.data.join(name));
    }

    /// Its database's URL.
    pub(crate) fn url(&self) -> String {
        let (user, password) = user_and_password();
        format!("postgres://{user}:{password}@127.0.0.1:{}/{user}", self.port)
    }

    /// The URL of a database that may be on this server or on the other.
    pub(crate) fn url_with(&self, other: &Self) -> String {
        self.url().replace(&format!(":{}/", self.port), &format!(":{},127.0.0.1:{}/", self.port, other.port))
    }

    fn tool(&self, name: &str) -> Command {
        let (user, password) = user_and_password();
        let mut command = program(name);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", &user]).env("PGPASSWORD", password);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.data.with_extension("log")).unwrap_or_default()
    }
}

impl Drop for Cluster {
    #[expect(clippy::print_stderr, reason = "for whoever reads why a test failed")]
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It kills its children and keeps nothing, but has to be awake for it.
            let pid = Pid::from_child(&server);
            let _ = kill_process(pid, Signal::QUIT);
            let _ = kill_process(pid, Signal::CONT);
            let deadline = Instant::now() + Duration::from_secs(10);
            while Instant::now() < deadline && matches!(server.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = server.kill();
            let _ = server.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("the server's last words:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        let _ = std::fs::remove_dir_all(&self.data);
        let _ = std::fs::remove_file(self.data.with_extension("log"));
    }
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Data as initdb makes it, made once by whichever test comes first, in whichever process.
fn template() -> PathBuf {
    let lock = File::create(place("template.lock")).unwrap();
    lock.lock().unwrap();
    let (template, unfinished, password) = (place("template"), place("template.new"), place("template.password"));
    if template.exists() {
        return template;
    }
    let _ = std::fs::remove_dir_all(&unfinished);
    let (user, secret) = user_and_password();
    std::fs::write(&password, secret).unwrap();
    own(&password);
    let mut initdb = program("initdb");
    initdb.args(["--locale=C", "--encoding=UTF8", "--auth=scram-sha-256", "--no-sync", "--username", &user, "--pgdata"]);
    run(initdb.arg(&unfinished).arg("--pwfile").arg(&password));
    std::fs::remove_file(password).unwrap();
    // A server without ports makes the database.
    let mut postgres = program("postgres");
    postgres.args(["--single", "-D"]).arg(&unfinished).arg("postgres").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = postgres.stderr(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("CREATE DATABASE {user}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    std::fs::rename(unfinished, &template).unwrap();
    template
}

/// A port that nobody listens on, below those that the kernel gives to outgoing connections: a client that tries a port while
/// its server is down could else be given that very port, and talk to itself.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let port = 20_000 + (std::process::id() * 37 + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn variable(name: &str) -> String {
    let name = format!("GRISTMILL_TEST_POSTGRES{name}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set; run cargo xtask test, which has PostgreSQL for tests"))
}

/// The superuser of all test servers, and its password.
fn user_and_password() -> (String, String) {
    let url = variable("");
    let (user, rest) = url.trim_start_matches("postgres://").split_once(':').unwrap();
    (user.to_owned(), rest.split_once('@').unwrap().0.to_owned())
}

fn place(name: &str) -> PathBuf {
    Path::new(&variable("_CLUSTERS")).join(name)
}

/// The user and group that servers run as, if it is not this user.
fn account() -> Option<(u32, u32)> {
    let text = variable("_ACCOUNT");
    text.split_once(':').map(|(user, group)| (user.parse().unwrap(), group.parse().unwrap()))
}

fn own(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    if let Some((user, group)) = account() {
        std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
    }
}

fn program(name: &str) -> Command {
    command(Path::new(&variable("_PROGRAMS")).join(name))
}

/// A command of the servers' account, with nothing of the caller's environment: PGPORT would lead it elsewhere.
fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.current_dir(variable("_CLUSTERS")).stdin(Stdio::null());
    if let Some((user, group)) = account() {
        command.uid(user).gid(group);
    }
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
