use std::error::Error as StdError;

use gristmill_core::{StoreError, StoreErrorKind};
use tokio_postgres::Error;
use tokio_postgres::error::{Severity, SqlState};

use crate::tls;

/// The SQLSTATE of the function `lease_changed`, of a class that is left to applications.
const NOT_WHOLE: &str = "UGM01";

/// What can go wrong inside an operation, before it is known which server it was about.
#[derive(Debug)]
pub(crate) enum Fault {
    Postgres(Error),
    Store(StoreError),
}

impl Fault {
    /// A request that no store could fulfil.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Store(StoreError::new(StoreErrorKind::Invalid, message))
    }

    /// The error for callers; `what` names what was tried and on which server.
    pub(crate) fn explain(self, what: &str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Postgres(error) => explain(error, what),
        }
    }

    /// Whether the server has ended the session, which the connection may not have noticed yet.
    pub(crate) fn ends_the_session(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.as_db_error().is_some_and(|error| {
            matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        }))
    }

    /// Whether a statement gave up because it could not do all of its work: the function `lease_changed` says so.
    pub(crate) fn is_not_whole(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code().is_some_and(|code| code.code() == NOT_WHOLE))
    }

    /// Whether the server undid the work for another's sake, so that doing it again at once is right.
    pub(crate) fn is_collision(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code().is_some_and(|code| {
            // A row was on its way to a default partition while the partition of its day was attached.
            *code == SqlState::CHECK_VIOLATION
                || *code == SqlState::T_R_DEADLOCK_DETECTED
                || *code == SqlState::T_R_SERIALIZATION_FAILURE
        }))
    }
}

impl Fault {
    /// Whether the role lacks the right.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE))
    }

    /// Whether somebody else held a lock for too long.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
    }

    /// Whether the server refused because it can only be read.
    pub(crate) fn is_read_only(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Says in words what the server or the network said, and what to do about it.
pub(crate) fn explain(error: Error, what: &str) -> StoreError {
    let (kind, hint) = match error.code() {
        Some(code) => {
            of_code(code.code(), error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned()))
        }
        None => of_network(&error),
    };
    StoreError::new(kind, format!("{what}: {hint}")).with_source(error)
}

/// Whether the server, or its limit for the role, has no connection left.
pub(crate) fn has_no_room(error: &StoreError) -> bool {
    sqlstate(error) == Some(&SqlState::TOO_MANY_CONNECTIONS)
}

/// Whether the role lacks a right: unlike a server that can only be read, which has the same kind, that does not come right by itself.
pub fn lacks_right(error: &StoreError) -> bool {
    sqlstate(error) == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
}

/// Whether somebody else's lock was in the way.
pub(crate) fn is_locked(error: &StoreError) -> bool {
    sqlstate(error) == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// The server's code for an error that was [explained](explain), if it was the server's.
pub(crate) fn sqlstate(error: &StoreError) -> Option<&SqlState> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<Error>() {
            return error.code();
        }
        source = cause.source();
    }
    None
}

/// What a SQLSTATE means, and what to do about it; `said` is the server's message.
pub(crate) fn of_code(code: &str, said: String) -> (StoreErrorKind, String) {
    use StoreErrorKind::{Busy, Corrupt, Full, Invalid, NotOurs, Other, ReadOnly, Unreachable};
    let (kind, hint) = match code {
        "28P01" => (Unreachable, "the password is wrong for this user".to_owned()),
        "28000" => (Unreachable, format!("{said}; check the user, and pg_hba.conf of the server")),
        "3D000" => (Unreachable, format!("{said}; create it, or name another in the URL")),
        "3F000" | "42P01" | "42883" => (NotOurs, format!("{said}; run `gristmill migrate` on this database first")),
        "53300" => (Busy, "the server has no connection left; raise max_connections or lower ?pool= of the workers".to_owned()),
        "57P03" => (Unreachable, format!("{said}; try again when it is up")),
        "57P01" | "57P02" => (Unreachable, format!("{said}; the server ended this connection")),
        "57014" => {
            (Busy, "it took longer than the statement timeout; look for what blocks it, see `gristmill doctor`".to_owned())
        }
        "55P03" => (Busy, "somebody else holds a lock for too long; look for what holds it, see `gristmill doctor`".to_owned()),
        "40P01" | "40001" => (Busy, format!("{said}; try again")),
        "25006" => (ReadOnly, "the server is read-only: a standby, or set so; connect to the primary".to_owned()),
        "42501" => (ReadOnly, format!("{said}; the role lacks this right")),
        "53100" => (Full, "the server's disk is full; nothing was written, try again when there is room".to_owned()),
        "53200" => (Busy, format!("the server is out of memory: {said}")),
        "58030" | "XX001" | "XX002" => (Corrupt, format!("{said}; the server's storage is damaged, see its log")),
        "22021" | "22P05" => (Invalid, format!("{said}; a text holds a character that PostgreSQL can't keep, such as NUL")),
        "26000" | "42P05" => (
            Other,
            "prepared statements do not survive on this connection, which a pooler in transaction mode explains: \
             add ?pgbouncer=true to the URL"
                .to_owned(),
        ),
        "08P01" if said.contains("startup parameter") => {
            (Invalid, format!("{said}; a pooler stands before the server: add ?pgbouncer=true to the URL"))
        }
        code if code.starts_with("08") => (Unreachable, said),
        code if code.starts_with("53") => (Busy, said),
        code => (Other, format!("{said} (SQLSTATE {code})")),
    };
    (kind, hint)
}

pub(crate) fn of_network(error: &Error) -> (StoreErrorKind, String) {
    use StoreErrorKind::{Invalid, Other, ReadOnly, Unreachable};
    let mut source: Option<&(dyn StdError + 'static)> = error.source();
    let mut chain = error.to_string();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            if let Some(hint) = tls::hint(io) {
                return (Unreachable, hint);
            }
            let hint = match io.kind() {
                std::io::ErrorKind::PermissionDenied if io.to_string().contains("does not allow writes") => {
                    return (ReadOnly, "the server is read-only: a standby, or set so; connect to the primary".to_owned());
                }
                std::io::ErrorKind::ConnectionRefused => {
                    "nobody listens there; check host and port, and whether the server runs".to_owned()
                }
                std::io::ErrorKind::TimedOut => "no answer in time; check host, port and firewall".to_owned(),
                std::io::ErrorKind::NotFound => "there is no such socket; check the path of the host".to_owned(),
                _ if io.to_string().contains("lookup address") => {
                    format!("the host name can't be resolved ({io}); check its spelling")
                }
                _ => format!("the connection broke: {io}"),
            };
            return (Unreachable, hint);
        }
        chain = format!("{chain}: {cause}");
        source = cause.source();
    }
    if error.is_closed() {
        return (Unreachable, "the server closed the connection".to_owned());
    }
    if chain.contains("server does not support TLS") {
        return (
            Unreachable,
            "the server offers no TLS, which sslmode requires; configure it there, or use sslmode=prefer".to_owned(),
        );
    }
    if chain.contains("certificate") || chain.contains("TLS") {
        return (Unreachable, format!("TLS can't be set up: {chain}; check sslmode and sslrootcert"));
    }
    if chain.contains("password missing") {
        return (Unreachable, "the server wants a password and the URL has none".to_owned());
    }
    if chain.contains("error serializing parameter") || chain.contains("deserializing") {
        return (Invalid, chain);
    }
    if chain.contains("error connecting to server") {
        return (Unreachable, chain);
    }
    (Other, chain)
}
