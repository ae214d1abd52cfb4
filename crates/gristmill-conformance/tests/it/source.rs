use std::collections::BTreeSet;
use std::path::Path;

use gristmill_conformance::source::{Outlet, SourceSubject, checks};
use gristmill_conformance::{MemoryBroker, MemoryStore, exercise_source};
use gristmill_core::{Env, async_trait};

struct Brokers;

#[async_trait]
impl SourceSubject for Brokers {
    async fn open(&self, env: Env) -> Outlet {
        let broker = MemoryBroker::new(env);
        Outlet::new(broker.clone(), move |tasks| {
            tasks.into_iter().for_each(|task| broker.publish(task));
            Box::pin(std::future::ready(Ok(())))
        })
    }
}

#[tokio::test]
async fn the_broker_in_memory_keeps_every_promise_of_a_source() {
    exercise_source(Brokers).await;
}

#[tokio::test]
async fn the_store_in_memory_keeps_every_promise_of_a_source() {
    exercise_source(async |env| MemoryStore::new(env)).await;
}

/// A check that was written and is not in its list would never run.
#[test]
fn every_check_is_listed_once() {
    let listed: Vec<_> = checks().map(|check| check.name.to_owned()).collect();
    let mut written = BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/source")).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let functions = text.lines().filter(|line| line.ends_with("(bench: SourceBench) {"));
        let names = functions.filter_map(|line| line.strip_prefix("async fn ")?.split('(').next());
        written.extend(names.map(|name| format!("{module}::{name}")));
    }
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), written);
    assert_eq!(listed.len(), written.len(), "a check is listed twice");
}
