//! `bench --workflows` on few tasks: every figure is there. What it says is for a quiet machine and a build that is optimized.

use crate::cluster::Cluster;
use crate::sandbox::Sandbox;

fn measures(sandbox: &Sandbox) {
    let figures = sandbox.json(&["bench", "--workflows", "--tasks", "200", "--repeat", "2"]);
    let measured = figures
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| ["_per_s", "_ms", "ratio_"].iter().any(|part| name.contains(part)));
    let measured: Vec<_> = measured.collect();
    assert_eq!(measured.len(), 14, "{figures:#}");
    for (name, value) in measured {
        assert!(value.as_f64().is_some_and(|value| value > 0.0), "{name} was not measured: {figures:#}");
    }
    assert_eq!((&figures["tasks"], &figures["repeat"], &figures["chains"]), (&200.into(), &2.into(), &2.into()));
}

#[test]
fn workflows_are_measured_on_sqlite() {
    let sandbox = Sandbox::without_config();
    measures(&sandbox);
    let left: Vec<_> = std::fs::read_dir(sandbox.path(".")).unwrap().collect();
    assert!(left.is_empty(), "nothing stays of what was measured: {left:?}");
    sandbox.fails(2, &["bench", "--workflows", "--fleet"]);
}

#[test]
fn workflows_are_measured_on_postgres() {
    let server = Cluster::start(&[]);
    let sandbox = Sandbox::without_config().env("GRISTMILL_STORE", &server.url());
    measures(&sandbox);
    let schemas = server.sql("SELECT string_agg(nspname, ' ') FROM pg_namespace WHERE nspname LIKE 'gristmill%'");
    assert_eq!(schemas, "", "nothing stays of what was measured");
}
