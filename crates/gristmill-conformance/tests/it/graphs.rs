use gristmill_conformance::{MemoryStore, check_graphs, graphs_asked_for};

#[test]
fn ten_thousand_random_workflows_come_to_their_ends_in_memory() {
    check_graphs(graphs_asked_for(10_000), async |env| MemoryStore::new(env));
}
