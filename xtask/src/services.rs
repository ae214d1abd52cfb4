//! PostgreSQL and PgBouncer for tests, and what else these need of the machine: one throwaway cluster a run, on loopback ports that
//! nobody else has.

mod account;
mod folder;
mod install;
mod pgbouncer;
mod postgres;
mod run;

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use account::Account;
use folder::Folder;
use install::Programs;
use run::Run;

use crate::say;

/// The superuser and the database that the URLs name.
const NAME: &str = "gristmill";

/// How long a server may take until it answers. Generous: a loaded machine is slow, and a dead server is noticed at once.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How often it is looked whether they live.
const LOOK_EACH: Duration = Duration::from_millis(500);

/// Which servers to start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// PostgreSQL alone.
    Postgres,
    /// PostgreSQL, and PgBouncer in transaction mode before it.
    All,
}

/// Whether the database waits for the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncs {
    /// As it does by itself: for development and measurements.
    On,
    /// Tests take less than half the time. A power loss would take commits, and no test has one: what a killed server wrote, the
    /// kernel still has.
    Off,
}

/// Running servers. Dropping it ends them and removes their data; so do SIGINT, SIGTERM and SIGHUP, which also end
/// this process.
pub(crate) struct Services {
    run: Run,
    postgres: String,
    pgbouncer: Option<String>,
    clusters: Vec<(&'static str, String)>,
}

impl Services {
    /// Installs what is missing, ends what a killed run left behind, starts the servers and waits until they answer.
    ///
    /// To be called from the main thread: Linux ends the servers when the thread that started them is gone.
    pub(crate) fn start(which: Which, syncs: Syncs, target: &Path) -> Result<Self> {
        let programs = Programs::ensure(which)?;
        let account = Account::for_servers()?;
        let run = Run::new(Folder::create(&target.join("services"), &account)?, account);
        end_on_signals(&run)?;
        // From here on an error drops `services`, and with it everything that was started.
        let mut services = Self { run, postgres: String::new(), pgbouncer: None, clusters: Vec::new() };
        let password = password()?;
        let port = postgres::start(&services.run, &programs, &password, syncs)?;
        services.postgres = url(&password, port);
        if which == Which::All {
            let port = pgbouncer::start(&services.run, &programs, &password, port)?;
            services.pgbouncer = Some(url(&password, port));
        }
        tell_of_ends(&services.run);
        let shown = |path: &Path| path.to_str().map(str::to_owned).context("a path that is not UTF-8");
        services.clusters = vec![
            ("GRISTMILL_TEST_POSTGRES_PROGRAMS", shown(programs.folder())?),
            ("GRISTMILL_TEST_POSTGRES_ACCOUNT", services.run.account().text()),
            ("GRISTMILL_TEST_POSTGRES_CLUSTERS", shown(&services.run.clusters()?)?),
            ("GRISTMILL_TEST_PYTHON", shown(programs.python())?),
            ("GRISTMILL_TEST_FAKETIME", shown(programs.faketime())?),
        ];
        Ok(services)
    }

    /// The variables through which tests find the servers, a Python that can talk to them, a library that moves a program's clock,
    /// and what they need to start some of their own: the folder of PostgreSQL's programs, the account to run them as, and the folder
    /// for their data.
    ///
    /// Not DATABASE_URL: it is another one in every run, and whatever reads it at build time, as sqlx's macros do, would
    /// be built again each time.
    pub(crate) fn for_tests(&self) -> Vec<(&'static str, &str)> {
        let mut variables = vec![("GRISTMILL_TEST_POSTGRES", self.postgres.as_str())];
        variables.extend(self.pgbouncer.as_deref().map(|url| ("GRISTMILL_TEST_PGBOUNCER", url)));
        variables.extend(self.clusters.iter().map(|(name, value)| (*name, value.as_str())));
        variables
    }

    /// The same, and the variable that applications go by.
    pub(crate) fn for_applications(&self) -> Vec<(&'static str, &str)> {
        let mut variables = self.for_tests();
        variables.push(("DATABASE_URL", &self.postgres));
        variables
    }

    /// Stays until a signal ends this process; an error if a server ends before that.
    pub(crate) fn stay(&self) -> Result<()> {
        loop {
            self.run.check()?;
            std::thread::sleep(LOOK_EACH);
        }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.run.end();
    }
}

/// Without it, ctrl-c would end this process and leave its data, as a signal runs no destructors.
fn end_on_signals(run: &Run) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("handling signals")?;
    let run = run.clone();
    // The thread outlives the services: a handler can't be taken back, and a later ctrl-c has to end the process too.
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            run.end();
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Says how a server ended in the middle of a run, which tests can only tell by connections that are refused.
fn tell_of_ends(run: &Run) {
    let run = run.clone();
    std::thread::spawn(move || {
        while !run.has_ended() {
            if let Err(error) = run.check() {
                return if !run.has_ended() {
                    say(&format!("{error:#}"))
                };
            }
            std::thread::sleep(LOOK_EACH);
        }
    });
}

fn url(password: &str, port: u16) -> String {
    format!("postgres://{NAME}:{password}@127.0.0.1:{port}/{NAME}")
}

/// Letters and digits only, so that it needs no quoting in URLs and files.
fn password() -> Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("reading /dev/urandom")?;
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

/// Starts a server on a port that was free a moment ago, and again on another one if somebody took it meanwhile.
fn on_free_port(run: &Run, server: &str, mut start: impl FnMut(u16) -> Result<()>) -> Result<u16> {
    for attempt in 1.. {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr())?.port();
        match start(port) {
            Err(_) if attempt < 5 && run.tail(server).contains("Address already in use") => {}
            done => return done.map(|()| port),
        }
    }
    unreachable!("the loop returns at its fifth turn")
}
