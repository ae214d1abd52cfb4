use gristmill_conformance::{MemoryStore, check_against_model};

#[test]
fn the_store_in_memory_agrees_with_itself() {
    check_against_model(64, async |env| MemoryStore::new(env));
}
