use std::path::PathBuf;
use std::time::Duration;

use gristmill_core::{StoreError, StoreErrorKind, parse_duration};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, TargetSessionAttrs};

/// Where the database is and how it is used; read from `postgres://USER:PASSWORD@HOST:PORT/DATABASE?option=value&...`.
///
/// | option | values | default |
/// | --- | --- | --- |
/// | `schema` | the schema of the tables; any name | `gristmill` |
/// | `pool` | connections for ordinary work; two more are for heartbeats and wake-ups | `4` |
/// | `reads` | connections for those who look at tasks and await them, as web requests do; opened when they are needed | `2` |
/// | `transactions` | connections for transactions of handlers that ask the store for one; opened when they are needed | `4` |
/// | `create` | `false`: refuse to make the tables where there are none | `true` |
/// | `pgbouncer` | `true` behind a pooler in transaction mode: no prepared statements, no settings, no LISTEN, no cancelling of statements | `false` |
/// | `notify` | `inside` wakes workers by a notification within the transaction that enqueues, which makes all such commits of the database wait for one another; `after` by one soon after it | `after` |
/// | `statement_timeout` | the longest that one statement may take | `30s` |
/// | `lock_timeout` | the longest that a statement waits for somebody's lock | `10s` |
/// | `sslmode` | see [`SslMode`] | `prefer` |
/// | `sslrootcert` | a PEM file of the authorities to trust, instead of those of Mozilla | |
/// | `connect_timeout` | seconds until a host has to have answered | `10`, `3` where there are several |
/// | `keepalives_idle`, `keepalives_interval`, `tcp_user_timeout` | seconds after which a host that went away in silence is noticed | `10`, `5`, `20` |
/// | `target_session_attrs` | `any`, or `read-write`: pass over a server that can only be read | `any`, `read-write` where there are several hosts |
/// | `application_name`, `host`, `port`, `user`, `password`, `dbname`, ... | as libpq has them | |
///
/// Several hosts, `postgres://a:5432,b:5432/app`, are tried in turn, the one first that was good last. So after a failover
/// the work goes on on the new primary.
///
/// ```
/// let options: gristmill_postgres::PostgresOptions = "postgres://app@db.local/shop?schema=tasks&pool=8".parse()?;
/// assert_eq!((options.schema.as_str(), options.pool), ("tasks", 8));
/// assert!("postgres://app@db.local/shop?scheme=tasks".parse::<gristmill_postgres::PostgresOptions>().is_err());
/// # Ok::<(), gristmill_core::StoreError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The schema of the tables.
    pub schema: String,
    /// Connections for ordinary work.
    pub pool: usize,
    /// Connections for those who look at tasks and await them.
    pub reads: usize,
    /// Connections for transactions of handlers that ask the store for one.
    pub transactions: usize,
    /// Whether the tables are made where there are none.
    pub create: bool,
    /// Whether a pooler in transaction mode stands before the server.
    pub pgbouncer: bool,
    /// Whether statements that enqueue notify other processes by themselves, also in a caller's transaction.
    pub notify_inside: bool,
    /// The longest that one statement may take.
    pub statement_timeout: Duration,
    /// The longest that a statement waits for a lock.
    pub lock_timeout: Duration,
    /// How the connection is protected.
    pub sslmode: SslMode,
    /// The authorities to trust, instead of the usual ones.
    pub sslrootcert: Option<PathBuf>,
    /// One for each host.
    pub(crate) configs: Vec<Config>,
}

/// How a connection is protected. The names are libpq's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// `disable`: in the clear.
    Disable,
    /// `prefer`: encrypted if the server can. Who is at the other end is not checked, unless `sslrootcert` names authorities.
    Prefer,
    /// `require`: encrypted. Who is at the other end is not checked, unless `sslrootcert` names authorities.
    Require,
    /// `verify-ca`: encrypted, and an authority that is trusted has signed the server's certificate.
    VerifyCa,
    /// `verify-full`: as well, and the certificate is for the host that the URL names.
    VerifyFull,
}

const OWN: &str =
    "schema, pool, reads, transactions, create, pgbouncer, notify, statement_timeout, lock_timeout, sslmode, sslrootcert";
/// What the driver knows, beside what names the server.
const DRIVERS: &[&str] = &[
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "sslnegotiation",
];
/// What makes a host that went away in silence, as when its power fails, known within this time. By default the system would
/// wait for hours, and so would every call that waits for an answer.
const NOTICED: &[(&str, &str)] = &[("keepalives_idle", "10"), ("keepalives_interval", "5"), ("tcp_user_timeout", "20")];

impl std::str::FromStr for PostgresOptions {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<Self, StoreError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(invalid("this does not name a PostgreSQL database: write postgres://USER@HOST/DATABASE"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        if is_torn(base, query) {
            return Err(invalid(
                "the URL can't be read: an @ or a ? in it may belong to the user or the password; there @ is written %40, ? is %3F, \
                 & is %26 and % is %25",
            ));
        }
        let mut options = Self {
            schema: "gristmill".to_owned(),
            pool: 4,
            reads: 2,
            transactions: 4,
            create: true,
            pgbouncer: false,
            notify_inside: false,
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            configs: Vec::new(),
        };
        let mut theirs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if DRIVERS.contains(&name) {
                theirs.push(pair);
            } else {
                options.set(name, &decode(name, value)?)?;
            }
        }
        let missing = NOTICED.iter().filter(|(name, _)| !theirs.iter().any(|pair| pair.split('=').next() == Some(name)));
        let added: Vec<_> = missing.map(|(name, value)| format!("{name}={value}")).collect();
        theirs.extend(added.iter().map(String::as_str));
        let theirs = theirs.join("&");
        for base in each_host(base) {
            // The driver's message names the option; the URL is not repeated, as it may hold a password.
            let config = format!("{base}?{theirs}").parse().map_err(|error: tokio_postgres::Error| {
                let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                invalid(format!("the URL can't be read: {why}; write postgres://USER:PASSWORD@HOST:PORT/DATABASE"))
            })?;
            options.configs.push(config);
        }
        options.complete(&theirs)
    }
}

/// Whether a part of the user or the password may stand where another part of the URL is looked for, which errors and
/// [`PostgresOptions::location`] repeat: that holds an `@` then, the one before the hosts.
fn is_torn(base: &str, query: &str) -> bool {
    let may_hold_one = |name: &str| DRIVERS.contains(&name) || matches!(name, "schema" | "sslrootcert");
    let is_misplaced = |pair: &str| pair.contains('@') && !pair.split_once('=').is_some_and(|(name, _)| may_hold_one(name));
    base.matches('@').count() > 1 || query.split('&').any(is_misplaced)
}

/// A URL for each host of one, so that each has its own timeout and its own words when it can't be used.
fn each_host(base: &str) -> Vec<String> {
    let Some((scheme, rest)) = base.split_once("://") else { return vec![base.to_owned()] };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.find('@').map_or(0, |at| at + 1));
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{path}")).collect()
}

impl PostgresOptions {
    fn set(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        let duration = || parse_duration(value).map_err(|why| invalid(format!("{name}: {why}")));
        match name {
            "schema" if value.is_empty() || value.len() > 63 || value.contains('\0') || value.starts_with("pg_") => {
                return Err(invalid(format!("schema={value}: it is a name of 1 to 63 bytes that does not begin with pg_")));
            }
            // The one text that could end the body of a function.
            "schema" if value.contains("$gristmill$") => {
                return Err(invalid(format!("schema={value}: the name of a schema can't hold $gristmill$")));
            }
            "schema" => value.clone_into(&mut self.schema),
            "pool" => self.pool = connections(name, value)?,
            "reads" => self.reads = connections(name, value)?,
            "transactions" => self.transactions = connections(name, value)?,
            "create" => self.create = truth(name, value)?,
            "pgbouncer" => self.pgbouncer = truth(name, value)?,
            "notify" => match value {
                "inside" => self.notify_inside = true,
                "after" => self.notify_inside = false,
                _ => return Err(invalid(format!("notify={value}: it is inside or after"))),
            },
            "statement_timeout" => self.statement_timeout = duration()?,
            "lock_timeout" => self.lock_timeout = duration()?,
            "sslmode" => {
                self.sslmode = match value {
                    "disable" => SslMode::Disable,
                    "allow" | "prefer" => SslMode::Prefer,
                    "require" => SslMode::Require,
                    "verify-ca" => SslMode::VerifyCa,
                    "verify-full" => SslMode::VerifyFull,
                    _ => {
                        return Err(invalid(format!(
                            "sslmode={value}: it is disable, prefer, require, verify-ca or verify-full"
                        )));
                    }
                }
            }
            "sslrootcert" => self.sslrootcert = Some(PathBuf::from(value)),
            _ => {
                return Err(invalid(format!(
                    "there is no option `{name}` for a PostgreSQL store; there are {OWN}, and of the driver {}",
                    DRIVERS.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// What the driver leaves open.
    fn complete(mut self, theirs: &str) -> Result<Self, StoreError> {
        use tokio_postgres::config::SslMode as Theirs;
        let several = self.configs.len() > 1 || self.configs.iter().any(|config| config.get_hosts().len() > 1);
        for config in &mut self.configs {
            if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
                config.host("localhost");
            }
            if config.get_user().is_none() {
                return Err(invalid("the URL names no user: write postgres://USER@HOST/DATABASE"));
            }
            if config.get_application_name().is_none() {
                config.application_name("gristmill");
            }
            if config.get_connect_timeout().is_none() {
                config.connect_timeout(Duration::from_secs(if several { 3 } else { 10 }));
            }
            if several && !theirs.contains("target_session_attrs=") {
                config.target_session_attrs(TargetSessionAttrs::ReadWrite);
            }
            config.ssl_mode(match self.sslmode {
                SslMode::Disable => Theirs::Disable,
                SslMode::Prefer => Theirs::Prefer,
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Theirs::Require,
            });
        }
        Ok(self)
    }

    /// Where it is, for people and logs: without user and password.
    pub fn location(&self) -> String {
        let hosts: Vec<_> = self.configs.iter().map(place).collect();
        let config = self.configs.first();
        let database = config.and_then(|config| config.get_dbname().or(config.get_user())).unwrap_or("?");
        let schema = if self.schema == "gristmill" { String::new() } else { format!("?schema={}", self.schema) };
        format!("postgres://{}/{database}{schema}", hosts.join(","))
    }
}

/// Host and port, for people.
pub(crate) fn place(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(n, host)| {
        let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(host) => format!("{host}:{port}"),
            #[cfg(unix)]
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    });
    hosts.collect::<Vec<_>>().join(",")
}

fn truth(name: &str, value: &str) -> Result<bool, StoreError> {
    value.parse().map_err(|_| invalid(format!("{name}={value}: it is true or false")))
}

fn connections(name: &str, value: &str) -> Result<usize, StoreError> {
    let count = value.parse().ok().filter(|count| (1..=1000).contains(count));
    count.ok_or_else(|| invalid(format!("{name}={value}: it is a number of connections from 1 to 1000")))
}

/// Percent signs undone, as in any URL.
fn decode(name: &str, value: &str) -> Result<String, StoreError> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()].map(|digit| digit.and_then(|digit| char::from(digit).to_digit(16)));
        match digits {
            [Some(high), Some(low)] => bytes.push((high * 16 + low) as u8),
            _ => return Err(invalid(format!("{name}: a percent sign is written %25"))),
        }
    }
    String::from_utf8(bytes).map_err(|_| invalid(format!("{name}: this is not UTF-8")))
}

fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<PostgresOptions, StoreError> {
        url.parse()
    }

    #[test]
    fn urls_are_read_and_shown_without_secrets() {
        let options = read("postgresql://me:secret@db:6432/app?schema=a%20b&pool=2&pgbouncer=true&sslmode=verify-full").unwrap();
        assert_eq!((options.schema.as_str(), options.pool, options.pgbouncer), ("a b", 2, true));
        assert_eq!(options.sslmode, SslMode::VerifyFull);
        assert_eq!(options.location(), "postgres://db:6432/app?schema=a b");
        let two = read("postgres://me@a:1,b:2/app?application_name=shop").unwrap();
        assert_eq!(two.location(), "postgres://a:1,b:2/app");
        assert_eq!(two.configs[1].get_application_name(), Some("shop"));
    }

    #[test]
    fn of_several_hosts_each_is_asked_by_itself_for_one_that_can_be_written() {
        let two = read("postgres://me:secret@a:1,b:2/app?pool=2").unwrap();
        let places: Vec<_> = two.configs.iter().map(place).collect();
        assert_eq!(places, ["a:1", "b:2"]);
        for config in &two.configs {
            assert_eq!((config.get_user(), config.get_password()), (Some("me"), Some(&b"secret"[..])));
            assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
            assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(3)));
            assert_eq!(config.get_keepalives_idle(), Duration::from_secs(10));
        }
        let any = read("postgres://me@a,b/app?target_session_attrs=any&keepalives_idle=60").unwrap();
        assert_eq!(any.configs[1].get_target_session_attrs(), TargetSessionAttrs::Any);
        assert_eq!(any.configs[1].get_keepalives_idle(), Duration::from_secs(60));
        let one = read("postgres://me@[::1]:3/app").unwrap();
        assert_eq!((one.configs.len(), one.configs[0].get_target_session_attrs()), (1, TargetSessionAttrs::Any));
    }

    #[test]
    fn tables_are_made_unless_the_url_says_no() {
        assert!(read("postgres://me@h/db").unwrap().create);
        assert!(!read("postgres://me@h/db?create=true&create=false").unwrap().create, "the last one counts");
        assert!(read("postgres://me@h/db?create=no").unwrap_err().to_string().contains("create=no: it is true or false"));
    }

    #[test]
    fn bad_urls_are_refused_by_name() {
        for (url, says) in [
            ("mysql://x", "postgres://USER@HOST/DATABASE"),
            ("postgres:x", "postgres://USER@HOST/DATABASE"),
            ("postgres://host/db", "no user"),
            ("postgres://me@h/db?scheme=x", "`scheme`"),
            ("postgres://me@h/db?schema=", "1 to 63 bytes"),
            ("postgres://me@h/db?schema=pg_x", "pg_"),
            ("postgres://me@h/db?schema=a$gristmill$b", "can't hold $gristmill$"),
            ("postgres://me@h/db?pool=0", "1 to 1000"),
            ("postgres://me@h/db?transactions=many", "1 to 1000"),
            ("postgres://me@h/db?pgbouncer=yes", "true or false"),
            ("postgres://me@h/db?notify=never", "inside or after"),
            ("postgres://me@h/db?sslmode=maybe", "verify-full"),
            ("postgres://me@h/db?statement_timeout=5", "statement_timeout"),
            ("postgres://me@h/db?schema=%zz", "%25"),
            ("postgres://me:secret@h:port/db", "can't be read"),
        ] {
            let error = read(url).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Invalid, "{url}");
            assert!(error.to_string().contains(says), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn no_part_of_a_password_is_shown_that_should_have_been_escaped() {
        for password in [
            "sec@ret",
            "sec?ret",
            "sec?ret=x",
            "sec?pool=ret",
            "sec?x&ret",
            "sec@x?ret",
            "12@34:ret",
            "se@c/ret",
            "@ret",
            "?ret",
            "ret?",
            "x?%zret",
            "ret@",
            "sec?schema=&ret",
        ] {
            let error = read(&format!("postgres://me:{password}@host/db")).expect_err(password);
            let said = error.to_string();
            assert!(said.contains("%40") && !said.contains("ret"), "{password}: {said}");
        }
        let fine = read("postgres://me:s%40c%3Fr@host/db?application_name=a@b&schema=c@d&user=me@corp").unwrap();
        assert_eq!(fine.configs[0].get_password(), Some(&b"s@c?r"[..]));
        assert_eq!(fine.location(), "postgres://host:5432/db?schema=c@d");
    }
}
