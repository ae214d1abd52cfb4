//! The configuration from outside: places of mistakes, precedence.

use crate::sandbox::Sandbox;

#[test]
fn mistakes_name_file_line_and_column() {
    for (text, place, says) in [
        ("[tasks.a]\ncomand = [\"x\"]\n", "gristmill.toml:2:1", "did you mean `command`?"),
        ("[tasks.a]\ncommand = \"x\"\n", "gristmill.toml:2:11", "where a list belongs"),
        ("[tasks.a]\ncommand = [\"x\"]\n\n[tasks.a]\ncommand = [\"y\"]\n", "gristmill.toml:4:8", "the first one is at 1:8"),
    ] {
        let sandbox = Sandbox::new(text);
        for command in [&["worker", "--drain"][..], &["tasks", "list"], &["enqueue", "a"], &["doctor"]] {
            let refusal = sandbox.fails(2, command);
            assert!(refusal.contains(place) && refusal.contains(says), "{command:?}: {refusal}");
        }
        assert!(!sandbox.path("gristmill.db").exists());
    }
}

#[test]
fn a_file_that_was_asked_for_has_to_be_there() {
    let sandbox = Sandbox::without_config();
    assert!(sandbox.fails(2, &["tasks", "list", "--config", "other.toml"]).contains("other.toml"));
    sandbox.ok(&["tasks", "list"]);
}

#[test]
fn flags_win_over_environment_and_that_over_the_file() {
    let sandbox = Sandbox::new("store = \"sqlite:file.db\"");
    sandbox.ok(&["tasks", "list"]);
    assert!(sandbox.path("file.db").exists());
    let sandbox = sandbox.env("GRISTMILL_STORE", "sqlite:env.db");
    sandbox.ok(&["tasks", "list"]);
    assert!(sandbox.path("env.db").exists());
    sandbox.ok(&["tasks", "list", "--store", "sqlite:flag.db"]);
    assert!(sandbox.path("flag.db").exists());

    sandbox.write("second.toml", "stroe = 1");
    assert!(sandbox.env("GRISTMILL_CONFIG", "second.toml").fails(2, &["tasks", "list"]).contains("second.toml:1:1"));
}

#[test]
fn a_lease_that_is_too_short_is_refused_wherever_it_comes_from() {
    let sandbox = Sandbox::new("[worker]\nlease = \"5ms\"");
    let refusal = sandbox.fails(2, &["worker", "--drain"]);
    assert!(refusal.contains("gristmill.toml:2:1: lease is at least 100ms"), "{refusal}");
    sandbox.write("gristmill.toml", "[worker]\nlease = \"1m\"");
    assert!(sandbox.fails(2, &["worker", "--drain", "--lease", "5ms"]).contains("100ms"));
    assert_eq!(sandbox.run(&["worker", "--drain", "--lease", "1s"]).code, Some(0));
    let sandbox = sandbox.env("GRISTMILL_LEASE", "2s");
    assert_eq!(sandbox.run(&["worker", "--drain"]).code, Some(0));
    assert!(sandbox.env("GRISTMILL_LEASE", "long").fails(2, &["worker", "--drain"]).contains("not a duration"));
}

#[test]
fn a_worker_takes_its_prefetch_from_the_flag_then_the_file() {
    let sandbox = Sandbox::new("[worker]\nqueues = { a = 1 }\nprefetch = { b = 3 }");
    assert!(sandbox.fails(2, &["worker", "--drain"]).contains("does not serve"));
    sandbox.write("gristmill.toml", "[worker]\nqueues = { a = 1 }\nprefetch = { a = 0 }");
    sandbox.ok(&["worker", "--drain", "--threads", "1"]);
    assert!(sandbox.fails(2, &["worker", "--drain", "--prefetch", "5,b=1"]).contains("does not serve"));
    assert!(sandbox.fails(2, &["worker", "--drain", "--prefetch", "a=many"]).contains("a number of tasks"));
    sandbox.write("gristmill.toml", "[worker]\nprefetch = \"all\"");
    assert!(sandbox.fails(2, &["worker", "--drain"]).contains("gristmill.toml:2:12"));
}

#[test]
fn a_worker_tells_its_task_types_and_which_run_at_most_once() {
    let sandbox = Sandbox::new("[tasks.often]\ncommand = [\"true\"]\n[tasks.once]\ncommand = [\"true\"]\nack = \"early\"");
    let ended = sandbox.run(&["worker", "--drain"]);
    let tasks = ended.stderr.find("tasks   often, once (at most once)");
    assert!(tasks.is_some_and(|at| Some(at) < ended.stderr.find(": started")), "{ended:?}");
}

#[test]
fn failpoints_that_do_not_exist_are_refused() {
    let sandbox = Sandbox::with_echo().env("GRISTMILL_FAILPOINTS", "nowhere=abort");
    assert!(sandbox.fails(2, &["tasks", "list"]).contains("claim.after_commit"));
}

#[test]
fn a_schema_that_is_none_is_refused() {
    let sandbox = Sandbox::new("[tasks.a]\ncommand = [\"cat\"]\nschema = { type = 5 }");
    let refusal = sandbox.fails(2, &["enqueue", "a"]);
    assert!(refusal.contains("gristmill.toml:3:1: ") && refusal.contains("JSON Schema"), "{refusal}");
}

#[test]
fn a_log_level_that_does_not_exist_is_refused() {
    let sandbox = Sandbox::with_echo();
    for filter in ["eror", "info,gristmil", "", "gristmill=loud"] {
        let refusal = sandbox.fails(2, &["worker", "--drain", "--log", filter]);
        assert!(refusal.contains("off, error, warn, info, debug, trace"), "{filter}: {refusal}");
    }
    for filter in ["error", "WARN", "off", "info,gristmill=debug", "gristmill::worker=trace"] {
        sandbox.ok(&["worker", "--drain", "--log", filter]);
    }
    assert!(sandbox.env("GRISTMILL_LOG", "eror").fails(2, &["tasks", "list"]).contains("`eror` is not a level"));
}
