use gristmill_core::{Env, StoreError, StoreErrorKind};

use crate::conn::{Conn, Connect};
use crate::error::explain;

/// Refuses a pooler in transaction mode that the URL does not speak of.
///
/// Behind one, a prepared statement may be missing, or worse, be somebody else's of the same name. It is found out by a mark that
/// one connection leaves on its session and another one sees. Traffic of others may hide it; what fails then says so too.
pub(crate) async fn refuse_unspoken(conn: &Conn, connect: &Connect, env: &Env) -> Result<(), StoreError> {
    if connect.options.pgbouncer {
        return Ok(());
    }
    let mark = env.fence().as_uuid().simple().to_string();
    let broken = |error| explain(error, &connect.what);
    conn.batch(&format!("SELECT set_config('gristmill.mark', '{mark}', false)")).await.map_err(broken)?;
    // Where there is no room for a second connection this can't be known.
    let Ok(second) = connect.open().await else { return Ok(()) };
    let seen = "SELECT current_setting('gristmill.mark', true)";
    let seen = second.client().query_typed(seen, &[]).await.map_err(broken)?;
    let seen: Option<&str> = seen.first().map(|row| row.try_get(0)).transpose().map_err(broken)?.flatten();
    if seen == Some(mark.as_str()) {
        let message = "a pooler in transaction mode stands before the server: add ?pgbouncer=true to the URL";
        return Err(StoreError::new(StoreErrorKind::Invalid, format!("{}: {message}", connect.what)));
    }
    Ok(())
}
