use gristmill_conformance::{MemoryStore, exercise};

#[tokio::test]
async fn the_store_in_memory_keeps_every_promise() {
    exercise(async |env| MemoryStore::new(env)).await;
}
