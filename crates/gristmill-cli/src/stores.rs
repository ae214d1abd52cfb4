//! What the commands ask of a store beyond the common contract, for each sort of store that this program has.

use std::path::PathBuf;
use std::time::Duration;

use gristmill::core::Finding;
use gristmill::core::kit::migrate::Migration;
use gristmill::core::{StoreError, StoreErrorKind};
use gristmill::options::Retention;
use gristmill::{postgres, sqlite};

use crate::exit::CliError;

/// Which steps a store's tables have, and which they lack. Writes nothing.
///
/// # Errors
/// A store that can't be read.
pub(crate) async fn migration_status(url: &str) -> Result<Vec<Migration>, CliError> {
    Ok(if is_postgres(url) { postgres::migration_status(url).await? } else { sqlite::migration_status(url)? })
}

/// Does what connecting leaves to be done beside the work, to its end: indexes of large tables.
///
/// # Errors
/// A store that can't be changed.
pub(crate) async fn finish(url: &str) -> Result<(), CliError> {
    if is_postgres(url) {
        postgres::migrate(url).await?;
    }
    Ok(())
}

/// The URL by which a store is opened if it is there, and not made: whoever only looks is mostly in a wrong folder, or has misspelt it.
///
/// # Errors
/// That it is not there. Of a server that is told by who connects.
pub(crate) fn only_if_there(url: &str) -> Result<String, CliError> {
    if is_postgres(url) {
        let mark = if url.contains('?') { '&' } else { '?' };
        return Ok(format!("{url}{mark}create=false"));
    }
    // What is wrong with a URL is told by who connects.
    let Ok(options) = url.parse::<sqlite::SqliteOptions>() else { return Ok(url.to_owned()) };
    if options.path.exists() {
        return Ok(url.to_owned());
    }
    Err(CliError::store(format!("there is no store at {}", options.path.display())).with_hint(
        "--store, GRISTMILL_STORE or `store` in the configuration name another; `enqueue`, `workflows start`, `worker`, `dev` and `migrate` make it",
    ))
}

/// What is damaged in a store that can't be opened for it, as far as its sort can tell.
///
/// # Errors
/// A store that can't be read either.
pub(crate) fn damage(url: &str) -> Result<Option<Finding>, CliError> {
    if is_postgres(url) { Ok(None) } else { Ok(sqlite::damage(url)?) }
}

/// Whether a store that can't be opened now may be soon, without anybody's doing: it is held by others, or a standby that may become the
/// primary. What a file or a role lacks rights for is somebody's mistake.
pub(crate) fn may_come_right(url: &str, error: &StoreError) -> bool {
    match error.kind() {
        StoreErrorKind::Busy => true,
        StoreErrorKind::ReadOnly => is_postgres(url) && !postgres::lacks_right(error),
        _ => false,
    }
}

/// The statements that make the tables, for those whose databases others change.
///
/// # Errors
/// A store that has none to print.
pub(crate) fn migration_sql(url: &str) -> Result<String, CliError> {
    if is_postgres(url) {
        return Ok(postgres::migration_sql(url)?);
    }
    Err(CliError::usage("--sql is for PostgreSQL; a SQLite file is made by `migrate`, or by the first command that writes"))
}

/// Makes the roles of a PostgreSQL store and grants them what they need; their names.
///
/// # Errors
/// A user that may not make them.
pub(crate) async fn grant_roles(url: &str) -> Result<Vec<String>, CliError> {
    let roles = postgres::grant_roles(url).await?;
    Ok(vec![roles.enqueue, roles.worker, roles.reader])
}

/// The statements that do so.
///
/// # Errors
/// A store that has none.
pub(crate) fn roles_sql(url: &str) -> Result<String, CliError> {
    if is_postgres(url) {
        return Ok(postgres::roles_sql(url)?);
    }
    Err(CliError::usage("--roles is for PostgreSQL; a SQLite file is for whoever may open it"))
}

/// A place for a benchmark that goes away with this value.
pub(crate) enum Scratch {
    /// A file, and its companions.
    File(PathBuf),
    /// A schema in somebody's database; its benchmark removes it.
    Schema(String),
}

impl Scratch {
    /// A file in the current folder.
    pub(crate) fn file(name: &str) -> Self {
        Self::File(PathBuf::from(format!("{name}-{}.db", std::process::id())))
    }

    /// A place of the same sort as `url`, with its options.
    pub(crate) fn beside(url: &str, name: &str) -> Self {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let options =
            |drop: &str| query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with(drop)).collect::<Vec<_>>();
        if is_postgres(url) {
            let schema = format!("schema={}_{}", name.replace('-', "_"), std::process::id());
            let mut options = options("schema=");
            options.push(&schema);
            return Self::Schema(format!("{base}?{}", options.join("&")));
        }
        Self::file(name)
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::File(file) => format!("sqlite:{}", file.display()),
            Self::Schema(url) => url.clone(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Self::File(file) = self else { return };
        for suffix in ["", "-wal", "-shm"] {
            let mut name = file.as_os_str().to_owned();
            name.push(suffix);
            // It may never have been made.
            let _ = std::fs::remove_file(name);
        }
    }
}

/// What the bare statements of a store took.
pub(crate) struct Raw {
    /// To enqueue in bulk.
    pub(crate) enqueue: Duration,
    /// How many were drained.
    pub(crate) drained: usize,
    /// To drain them.
    pub(crate) drain: Duration,
}

impl Raw {
    /// Tasks enqueued in a second.
    pub(crate) fn enqueue_per_s(&self) -> f64 {
        self.drained as f64 / self.enqueue.as_secs_f64()
    }

    /// Tasks drained in a second.
    pub(crate) fn drain_per_s(&self) -> f64 {
        self.drained as f64 / self.drain.as_secs_f64()
    }
}

/// Measures the bare statements of the store at `url`, in a place of their own beside it, `batch` tasks a statement.
///
/// # Errors
/// If that place can't be made or written.
pub(crate) async fn raw(url: &str, count: usize, batch: usize, retention: Retention) -> Result<Raw, CliError> {
    let scratch = Scratch::beside(url, "gristmill-bench-raw");
    if let Scratch::Schema(url) = &scratch {
        let mut bench = postgres::raw::RawBench::create(url).await?.retention(retention);
        let enqueue = bench.enqueue_bulk(count, batch).await?;
        let (drained, drain) = bench.drain(batch).await?;
        bench.remove().await?;
        return Ok(Raw { enqueue, drained, drain });
    }
    let options = url.split_once('?').map_or(String::new(), |(_, options)| format!("?{options}"));
    let mut bench = sqlite::raw::RawBench::create(&format!("{}{options}", scratch.url()))?;
    let enqueue = bench.enqueue_bulk(count, batch)?;
    let (drained, drain) = bench.drain(batch)?;
    Ok(Raw { enqueue, drained, drain })
}

/// A store's URL for people: a password is for nobody's eyes.
pub(crate) fn shown(url: &str) -> String {
    if !is_postgres(url) {
        // One that is misspelt may hold a password as well.
        return match url.split_once(':') {
            Some(("sqlite", _)) => url.to_owned(),
            Some((scheme, _)) if scheme.chars().all(char::is_alphanumeric) => format!("{scheme}:..."),
            _ => "...".to_owned(),
        };
    }
    url.parse::<postgres::PostgresOptions>().map_or_else(|_| "postgres://...".to_owned(), |options| options.location())
}

/// Whether a URL names a PostgreSQL database.
pub(crate) fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(shown("postgres://me:secret@h/db"), "postgres://h:5432/db");
        assert_eq!(shown("sqlite:x.db"), "sqlite:x.db");
        assert_eq!(shown("sqlite:///x.db"), "sqlite:///x.db");
        assert_eq!(shown("Postgres://me:secret@h/db"), "Postgres:...");
        assert_eq!(shown("postgre://me:secret@h/db"), "postgre:...");
        assert_eq!(shown("postgres//me:secret@h/db"), "...");
        assert_eq!(shown("host=h user=me password=secret"), "...");
    }

    #[test]
    fn who_looks_makes_nothing_on_a_server_either() {
        assert_eq!(only_if_there("postgres://me@h/db").unwrap(), "postgres://me@h/db?create=false");
        assert_eq!(only_if_there("postgres://me@h/db?pool=2").unwrap(), "postgres://me@h/db?pool=2&create=false");
    }

    #[test]
    fn a_worker_waits_for_a_standby_and_for_nobody_to_give_it_rights() {
        let error = |kind| StoreError::new(kind, "x");
        for url in ["sqlite:x.db", "postgres://me@h/db"] {
            assert!(may_come_right(url, &error(StoreErrorKind::Busy)));
            assert!(!may_come_right(url, &error(StoreErrorKind::Unreachable)));
        }
        assert!(may_come_right("postgres://me@h/db", &error(StoreErrorKind::ReadOnly)));
        assert!(!may_come_right("sqlite:x.db", &error(StoreErrorKind::ReadOnly)));
    }

    #[test]
    fn a_raw_benchmark_keeps_away_from_the_measured_tables() {
        let url = Scratch::beside("postgres://me@h/db?schema=mine&pool=2", "raw").url();
        assert_eq!(url, format!("postgres://me@h/db?pool=2&schema=raw_{}", std::process::id()));
        assert!(Scratch::beside("sqlite:x.db", "raw").url().starts_with("sqlite:raw-"));
    }
}
