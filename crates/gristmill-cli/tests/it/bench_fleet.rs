//! `bench --fleet` on a fleet that is over in seconds: every figure is there, and says itself whether its goal is kept. Which are,
//! is for a quiet machine and a build that is optimized.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::sandbox::Sandbox;

const SMALL: &[&str] =
    &["--window", "200ms", "--workers", "1,2", "--others", "500", "--days", "2", "--processes", "1,2", "--tasks", "500"];

/// The figures of a run, of which each scenario has some.
fn measured(sandbox: &Sandbox, scenarios: &[&str]) -> Vec<Value> {
    let figures = sandbox.json(&[&["bench", "--fleet"], SMALL].concat());
    let figures = figures["items"].as_array().unwrap().clone();
    let named: BTreeSet<_> = figures.iter().map(|figure| figure["scenario"].as_str().unwrap()).collect();
    assert_eq!(named, scenarios.iter().copied().collect(), "{figures:#?}");
    for figure in &figures {
        let value = figure["value"].as_f64().unwrap_or_else(|| panic!("it was not measured: {figure}"));
        let kept = match figure["goal"].as_object().and_then(|goal| goal.iter().next()) {
            Some((bound, goal)) if bound == "at_most" => Some(value <= goal.as_f64().unwrap()),
            Some((bound, goal)) if bound == "at_least" => Some(value >= goal.as_f64().unwrap()),
            _ => None,
        };
        assert_eq!(figure["kept"].as_bool(), kept, "{figure}");
    }
    figures
}

fn value(figures: &[Value], name: &str) -> f64 {
    let figure = figures.iter().find(|figure| figure["figure"] == name);
    figure.unwrap_or_else(|| panic!("no {name} among {figures:#?}"))["value"].as_f64().unwrap()
}

#[test]
fn a_small_fleet_is_measured_on_sqlite() {
    let sandbox = Sandbox::without_config();
    measured(&sandbox, &["shared", "beside", "idle", "punctual", "processes", "across"]);
    let left: Vec<_> = std::fs::read_dir(sandbox.path(".")).unwrap().collect();
    assert!(left.is_empty(), "nothing stays of what was measured: {left:?}");
}

#[test]
fn a_small_fleet_is_measured_on_postgres() {
    let server = Cluster::start(&["shared_preload_libraries=pg_stat_statements"]);
    let sandbox = Sandbox::without_config().env("GRISTMILL_STORE", &server.url());
    let all = ["enqueue", "delayed", "shared", "days", "beside", "idle", "punctual", "processes", "caller", "across"];
    let figures = measured(&sandbox, &all);
    // Each task is claimed by a statement, beside the one that enqueues it.
    assert!(value(&figures, "claims an enqueue, 1 workers") >= 0.5, "{figures:#?}");
    assert!(value(&figures, "statements an enqueue, 1 workers") >= 2.0, "{figures:#?}");
    let schemas = server.sql("SELECT string_agg(nspname, ' ') FROM pg_namespace WHERE nspname LIKE 'gristmill%'");
    assert_eq!(schemas, "", "nothing stays of what was measured");
}

#[test]
fn without_the_extension_transactions_are_counted() {
    let server = Cluster::start(&[]);
    let sandbox = Sandbox::without_config().env("GRISTMILL_STORE", &server.url());
    let figures = sandbox.json(&[&["bench", "--fleet", "--only", "enqueue"], SMALL].concat());
    let figures = figures["items"].as_array().unwrap();
    assert!(value(figures, "statements an enqueue, 1 workers") > 0.0, "{figures:#?}");
    assert!(!figures.iter().any(|figure| figure["figure"].as_str().unwrap().starts_with("claims")), "{figures:#?}");
}
