use gristmill_core::StoreError;
use gristmill_core::kit::fnv;
use tokio_util::task::TaskTracker;

use crate::conn::Connect;
use crate::error::explain;
use crate::migrate::lock_key;
use crate::options::PostgresOptions;
use crate::sql::quote;

const ROLES: &str = include_str!("../migrations/roles.sql");
/// The longest name that PostgreSQL does not cut.
const NAME_BYTES: usize = 63;

/// The roles of a store, without login: grant one to whoever logs in.
///
/// ```
/// let roles = gristmill_postgres::Roles::of("postgres://app@db.internal/shop")?;
/// assert_eq!(roles.worker, "gristmill_worker");
/// # Ok::<(), gristmill_core::StoreError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Roles {
    /// May enqueue and cancel with the SQL functions, and can't read any table.
    pub enqueue: String,
    /// May do what workers, clients and all commands but `migrate` do.
    pub worker: String,
    /// May look at everything.
    pub reader: String,
}

impl Roles {
    /// Their names, which begin with that of the schema: roles belong to the whole server.
    ///
    /// # Errors
    /// If `url` can't be read.
    pub fn of(url: &str) -> Result<Self, StoreError> {
        Ok(Self::named(&url.parse::<PostgresOptions>()?.schema))
    }

    fn named(schema: &str) -> Self {
        let name = |suffix: &str| {
            let name = format!("{schema}_{suffix}");
            if name.len() <= NAME_BYTES {
                return name;
            }
            // Cut by the server, the three would be one; cut by us without the sum, those of two schemas.
            let rest = format!("_{:016x}_{suffix}", fnv(schema.bytes()));
            let mut end = NAME_BYTES - rest.len();
            while !schema.is_char_boundary(end) {
                end -= 1;
            }
            schema[..end].to_owned() + &rest
        };
        Self { enqueue: name("enqueue"), worker: name("worker"), reader: name("read") }
    }
}

/// Makes the roles of the store, if they are missing, and gives each the rights that it needs; a second time it changes
/// nothing. The tables have to be there: see [`migrate`](crate::migrate()).
///
/// # Errors
/// - `ReadOnly`: the user of `url` neither owns the tables nor is a superuser, or has no right to make roles that are missing.
/// - As [`PostgresStore::connect`](crate::PostgresStore::connect).
pub async fn grant_roles(url: &str) -> Result<Roles, StoreError> {
    let options: PostgresOptions = url.parse()?;
    let roles = Roles::named(&options.schema);
    let connect = Connect::new(options, TaskTracker::new())?;
    // Several statements in one message are one transaction. Two at once would stumble over one another's grants.
    let sql = format!("SELECT pg_advisory_xact_lock({}); {}", lock_key(connect.texts.schema()), sql(&roles, &connect));
    connect.open().await?.batch(&sql).await.map_err(|error| explain(error, &connect.what))?;
    Ok(roles)
}

/// The statements that [`grant_roles`] would run, for those whose roles others make.
///
/// # Errors
/// If `url` can't be read.
pub fn roles_sql(url: &str) -> Result<String, StoreError> {
    let options: PostgresOptions = url.parse()?;
    let roles = Roles::named(&options.schema);
    Ok(sql(&roles, &Connect::new(options, TaskTracker::new())?))
}

fn sql(roles: &Roles, connect: &Connect) -> String {
    let names = [&roles.enqueue, &roles.worker, &roles.reader];
    let [enqueue, worker, reader] = names.map(|name| quote(name));
    let [enqueue_text, worker_text, reader_text] = names.map(|name| format!("'{}'", name.replace('\'', "''")));
    let values = [
        ("enqueue", enqueue.as_str()),
        ("enqueue_text", &enqueue_text),
        ("worker", &worker),
        ("worker_text", &worker_text),
        ("reader", &reader),
        ("reader_text", &reader_text),
    ];
    connect.texts.fill_with(ROLES, &values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_looks_like_a_role_is_only_a_name() {
        let url = "postgres://app@db.internal/shop?schema=x{worker}{s}{reader_text}";
        let sql = roles_sql(url).unwrap();
        assert!(
            sql.contains("GRANT USAGE ON SCHEMA \"x{worker}{s}{reader_text}\" TO \"x{worker}{s}{reader_text}_enqueue\","),
            "{sql}"
        );
        assert!(sql.contains("quote_ident('x{worker}{s}{reader_text}_worker')"), "{sql}");
    }

    #[test]
    fn roles_of_different_schemas_differ_however_long_the_names_are() {
        assert_eq!(Roles::named("gristmill").reader, "gristmill_read");
        let [one, two] = ["a", "b"].map(|end| Roles::named(&format!("{}{end}", "ü".repeat(31))));
        let mut names = vec![one.enqueue, one.worker, one.reader, two.enqueue, two.worker, two.reader];
        assert!(names.iter().all(|name| name.len() <= NAME_BYTES), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 6);
    }
}
