use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Which;
use crate::say;

/// The oldest PostgreSQL that gristmill supports.
const OLDEST: u32 = 14;

/// What apt's packages may not do: make a cluster `main` and start it on the default port. The setting lasts for the
/// installation only, as the machine's owner may want such a cluster later.
const INSTALL: &str = r#"
set -e
export DEBIAN_FRONTEND=noninteractive
settings=/etc/postgresql-common/createcluster.d
mkdir -p "$settings"
trap 'rm -f "$settings/zz-gristmill.conf"' EXIT
echo 'create_main_cluster = false' > "$settings/zz-gristmill.conf"
install() { apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"; }
install "$@" || { apt-get update && install "$@"; }
"#;

/// Where the servers' programs are.
pub(super) struct Programs {
    /// The folder of initdb, postgres, psql and the others, of one version.
    postgres: PathBuf,
    pgbouncer: PathBuf,
    python: PathBuf,
    faketime: PathBuf,
}

impl Programs {
    /// Finds the programs, and installs those that are missing.
    pub(super) fn ensure(which: Which) -> Result<Self> {
        let mut missing = Vec::new();
        if newest_postgres().is_none() {
            missing.push("postgresql");
        }
        if which == Which::All && pgbouncer().is_none() {
            missing.push("pgbouncer");
        }
        if which == Which::All && python().is_none() {
            missing.push("python3-psycopg2");
        }
        if which == Which::All && faketime().is_none() {
            missing.push("libfaketime");
        }
        if !missing.is_empty() {
            install(&missing)?;
        }
        let postgres =
            newest_postgres().with_context(|| format!("the package postgresql brought no PostgreSQL {OLDEST} or later"))?;
        let pgbouncer = match pgbouncer() {
            None if which == Which::All => bail!("the package pgbouncer brought no program of this name"),
            found => found.unwrap_or_default(),
        };
        let python = match python() {
            None if which == Which::All => bail!("the package python3-psycopg2 brought no Python with psycopg2"),
            found => found.unwrap_or_default(),
        };
        let faketime = match faketime() {
            None if which == Which::All => bail!("the package libfaketime brought no library of this name"),
            found => found.unwrap_or_default(),
        };
        Ok(Self { postgres, pgbouncer, python, faketime })
    }

    /// The folder of PostgreSQL's programs.
    pub(super) fn folder(&self) -> &Path {
        &self.postgres
    }

    /// A program of PostgreSQL.
    pub(super) fn postgres(&self, name: &str) -> PathBuf {
        self.postgres.join(name)
    }

    /// Whether it has the extension that counts statements, which some keep in a package of its own.
    pub(super) fn counts_statements(&self) -> bool {
        let output = Command::new(self.postgres("pg_config")).arg("--pkglibdir").output();
        let told = output.ok().map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        // Debian has pg_config only where programs are built.
        let folders = [told, self.postgres.parent().map(|root| root.join("lib"))];
        folders.iter().flatten().any(|folder| folder.join("pg_stat_statements.so").is_file())
    }

    pub(super) fn pgbouncer(&self) -> &Path {
        &self.pgbouncer
    }

    /// A Python with a driver for PostgreSQL; nothing if only servers were asked for.
    pub(super) fn python(&self) -> &Path {
        &self.python
    }

    /// A library that gives a program another clock; nothing if only servers were asked for.
    pub(super) fn faketime(&self) -> &Path {
        &self.faketime
    }
}

fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" and ");
    if !runs("apt-get", &["--version"]) {
        bail!(
            "{names} not found, nor apt-get: install PostgreSQL {OLDEST} or later, PgBouncer, psycopg for python3, and libfaketime"
        );
    }
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("sh")
    } else {
        // Without a terminal sudo could only wait for a password that nobody types.
        let ask: &[&str] = if std::io::stdin().is_terminal() { &[] } else { &["-n"] };
        if !runs("sudo", &[ask, &["true"]].concat()) {
            bail!("{names} not found; neither root nor sudo to install it. As root: apt-get install {}", packages.join(" "));
        }
        let mut command = Command::new("sudo");
        command.args(ask).arg("sh");
        command
    };
    say(&format!("installing {names} with apt-get"));
    // stdout belongs to the URLs.
    let status = command.args(["-c", INSTALL, "sh"]).args(packages).stdout(std::io::stderr()).status()?;
    if !status.success() {
        bail!("apt-get install {} ended with {status}", packages.join(" "));
    }
    Ok(())
}

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The folder of the newest server: Debian keeps each major version in a folder of its own, others have one on the path.
fn newest_postgres() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|major| major.path().join("bin"));
    debian
        .chain(path())
        .filter(|folder| {
            ["initdb", "postgres", "pg_basebackup", "pg_ctl", "pg_isready", "psql"].iter().all(|name| folder.join(name).is_file())
        })
        .filter_map(|folder| Some((major(&folder)?, folder)))
        .filter(|(major, _)| *major >= OLDEST)
        .max_by_key(|(major, _)| *major)
        .map(|(_, folder)| folder)
}

fn major(folder: &Path) -> Option<u32> {
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// From `postgres (PostgreSQL) 17.5 (Debian 17.5-1)`, or `19devel` and `18beta1` of versions to come.
fn parse_major(text: &str) -> Option<u32> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    version.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
}

/// Debian has it in /usr/sbin, which is not on everybody's path.
fn pgbouncer() -> Option<PathBuf> {
    let others = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    path().into_iter().chain(others).map(|folder| folder.join("pgbouncer")).find(|file| file.is_file())
}

/// The system's own first, as that is for which packages are.
fn python() -> Option<PathBuf> {
    let has_driver = |python: &PathBuf| {
        let look = "import importlib.util as u, sys; sys.exit(not (u.find_spec('psycopg') or u.find_spec('psycopg2')))";
        Command::new(python).args(["-c", look]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    std::iter::once(PathBuf::from("/usr/bin")).chain(path()).map(|folder| folder.join("python3")).find(has_driver)
}

/// Debian has it in a folder for each machine's kind.
fn faketime() -> Option<PathBuf> {
    let libraries = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|folder| folder.path());
    let others = ["/usr/lib", "/usr/local/lib"].map(PathBuf::from);
    libraries.chain(others).map(|folder| folder.join("faketime/libfaketime.so.1")).find(|file| file.is_file())
}

fn path() -> Vec<PathBuf> {
    std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect()
}

#[cfg(test)]
mod tests {
    use super::parse_major;

    #[test]
    fn the_major_version_is_read_from_releases_and_betas() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("something else"), None);
    }
}
