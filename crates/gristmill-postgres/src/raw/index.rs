use gristmill_core::{Env, StoreError};
use tokio_util::task::TaskTracker;

use crate::PostgresStore;
use crate::conn::Connect;
use crate::indexes::{self, Index};

/// Builds an index on the schema that `url` names, as those of the store are built: while others work, and to the end.
///
/// # Errors
/// What the server said; what was built until then stays, and is not built again.
pub async fn build_index(url: &str, index: Index) -> Result<(), StoreError> {
    let connect = Connect::new(url.parse()?, TaskTracker::new())?;
    indexes::build_all(&connect, &Env::system(), &[index]).await
}

/// Has every claim of a store take tasks type by type, as in a queue that is crowded with what other services have to do.
pub fn claim_by_kind(store: &PostgresStore) {
    store.inner().workers.always_by_kind();
}
