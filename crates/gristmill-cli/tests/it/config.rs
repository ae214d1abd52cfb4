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
    sandbox.ok(&["migrate"]);
}

#[test]
fn flags_win_over_environment_and_that_over_the_file() {
    let sandbox = Sandbox::new("store = \"sqlite:file.db\"");
    sandbox.ok(&["migrate"]);
    assert!(sandbox.path("file.db").exists());
    let sandbox = sandbox.env("GRISTMILL_STORE", "sqlite:env.db");
    sandbox.ok(&["migrate"]);
    assert!(sandbox.path("env.db").exists());
    sandbox.ok(&["migrate", "--store", "sqlite:flag.db"]);
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

#[test]
fn a_configuration_is_checked_without_a_store() {
    let sandbox = Sandbox::new("[tasks.a]\ncommand = [\"cat\"]\n[[schedule]]\nname = \"s\"\ntask = \"a\"\nevery = \"1h\"\n");
    assert_eq!(sandbox.ok(&["config", "check"]), "gristmill.toml: no mistakes, 1 task type, 1 schedule");
    sandbox.write("gristmill.toml", "stroe = 1\n[tasks.a]\npriority = 12\ncommand = [\"cat\"]\n[worker]\nlease = \"1ms\"\n");
    let refusal = sandbox.fails(2, &["config", "check"]);
    for place in ["gristmill.toml:1:1: ", "gristmill.toml:3:1: ", "gristmill.toml:6:1: "] {
        assert!(refusal.contains(place), "{refusal}");
    }
    sandbox.fails(2, &["config", "show"]);
    assert!(!sandbox.path("gristmill.db").exists());
    let none = Sandbox::without_config().run(&["config", "check"]);
    assert!(none.code == Some(0) && none.stderr.contains("the defaults hold"), "{none:?}");
    sandbox.fails(2, &["config"]);
}

#[test]
fn what_a_worker_would_refuse_is_told_before_it_starts() {
    for (variable, value, says) in [
        ("GRISTMILL_LEASE", "long", "not a duration"),
        ("GRISTMILL_LEASE", "5ms", "at least 100ms"),
        ("GRISTMILL_GRACE", "x", "not a duration"),
        ("GRISTMILL_THREADS", "0", "from 1 to 1024"),
        ("GRISTMILL_LOG", "eror", "not a level"),
        ("GRISTMILL_STORE", "nowhere:x", "sqlite:PATH"),
    ] {
        let sandbox = Sandbox::with_echo().env(variable, value);
        for command in ["check", "show"] {
            let refusal = sandbox.fails(2, &["config", command]);
            assert!(refusal.contains(says), "{variable}={value}: {refusal}");
        }
        sandbox.fails(2, &["worker", "--drain"]);
    }
    let sandbox = Sandbox::new("[worker]\nqueues = { a = 1 }\nprefetch = { b = 3 }");
    let refusal = sandbox.fails(2, &["config", "check"]);
    assert!(refusal.contains("gristmill.toml:3:1: a prefetch is set for the queue `b`"), "{refusal}");
    assert!(sandbox.fails(2, &["config", "check", "--log", "eror"]).contains("not a level"));
    assert!(sandbox.fails(2, &["config", "show", "--store", "sqlite:x?pages=1"]).contains("--store: "));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_without_an_end_is_no_configuration() {
    let sandbox = Sandbox::without_config();
    for command in [&["config", "check"][..], &["kinds"]] {
        let refusal = sandbox.fails(2, &[command, &["--config", "/dev/zero"]].concat());
        assert!(refusal.contains("/dev/zero: the configuration can't be read: it is longer than 4194304 bytes"), "{refusal}");
    }
}

#[test]
fn what_would_fail_at_night_is_told_by_the_check() {
    let sandbox = Sandbox::new(
        "[tasks.say]\ncommand = [\"cat\"]\nschema = { required = [\"n\"] }\n[[schedule]]\nname = \"s\"\ntask = \"say\"\nevery = \"1h\"\nargs = { m = 1 }\n",
    );
    for command in [&["config", "check"][..], &["beat"]] {
        let refusal = sandbox.fails(2, command);
        assert!(refusal.contains("gristmill.toml:8:1: schedule `s`: args/n: is missing"), "{command:?}: {refusal}");
    }
    let text = "[worker]\nqueues = { default = 1, mial = 2 }\n[tasks.say]\ncommand = [\"no-such-program-anywhere\"]\n[tasks.mail]\ncommand = [\"./plain\"]\nqueue = \"mail\"\n\
                [tasks.far]\ncommand = [\"cat\"]\ncwd = \"nowhere\"\n[[schedule]]\nname = \"s\"\ntask = \"sey\"\nevery = \"1h\"\nqueue = \"sms\"\n";
    sandbox.write("gristmill.toml", text);
    sandbox.write("plain", "");
    let checked = sandbox.run(&["config", "check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert_eq!(checked.stdout, "gristmill.toml: no mistakes, 3 task types, 1 schedule, but see the warnings\n");
    let warnings = sandbox.json(&["config", "check"])["warnings"].as_array().unwrap().clone();
    assert_eq!(warnings.len(), checked.stderr.lines().count(), "{checked:?}");
    for (place, says) in [
        (
            "2:25",
            "no schedule here uses the queue `mial`, so that only tasks enqueued into it by name come there; did you mean `mail`?",
        ),
        ("4:1", "the program `no-such-program-anywhere` is not there"),
        ("6:1", "the program `./plain` is there, but not executable"),
        ("7:1", "does not have the queue `mail`, so that only another worker runs what waits there; did you mean `mial`?"),
        ("10:1", "the working directory `nowhere` is not there"),
        ("13:1", "until a program has it the ticks of `s` fail; did you mean `say`?"),
        ("15:1", "does not have the queue `sms`"),
    ] {
        let place = format!("gristmill.toml:{place}");
        let told = |line: &str| line.starts_with(&format!("warning: {place}: ")) && line.contains(says);
        assert!(checked.stderr.lines().any(told), "{place} {says}: {checked:?}");
        let is_it =
            |warning: &serde_json::Value| warning["place"] == place && warning["message"].as_str().unwrap().contains(says);
        assert!(warnings.iter().any(is_it), "{place} {says}: {warnings:?}");
    }
    assert_eq!(warnings.len(), 7, "{warnings:?}");
}

#[test]
fn the_options_of_a_task_type_are_shown() {
    let sandbox = Sandbox::new(
        "[tasks.a]\ncommand = [\"cat\"]\ntimeout = \"5s\"\ntags = [\"x\"]\nset_env = { KEY = \"hunter2\" }\nfail_on = [7]\n[tasks.\"b.c\"]\nhttp = { url = \"http://x.org\", retry_4xx = true }\noutput = \"text\"\n",
    );
    let rows = sandbox.json(&["config", "show"])["items"].clone();
    let of = |key: &str| {
        let row = rows.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("{key} in {rows}"));
        [row["value"].as_str().unwrap().to_owned(), row["source"].as_str().unwrap().to_owned()]
    };
    for (key, value, source) in [
        ("tasks.a.timeout", "5s", "gristmill.toml:3:1"),
        ("tasks.a.queue", "default", "default"),
        ("tasks.a.max_attempts", "5", "default"),
        ("tasks.a.retention", "7d", "default"),
        ("tasks.a.expires", "none", "default"),
        ("tasks.a.tags", "[\"x\"]", "gristmill.toml:4:1"),
        ("tasks.a.set_env", "KEY", "gristmill.toml:5:1"),
        ("tasks.a.fail_on", "[7]", "gristmill.toml:6:1"),
        ("tasks.a.output", "json", "default"),
        ("tasks.b.c.output", "text", "gristmill.toml:9:1"),
        ("tasks.b.c.http.retry_4xx", "true", "gristmill.toml:8:32"),
    ] {
        assert_eq!(of(key), [value, source], "{key}");
    }
    assert!(!rows.to_string().contains("hunter2"));
}

#[test]
fn what_holds_is_shown_with_where_it_comes_from() {
    let sandbox = Sandbox::new(
        "store = \"postgres://me:hunter2@h/db\"\n[worker]\nlease = \"1m\"\ngrace = \"2m\"\n[limits]\nargs_bytes = 1000\n[tasks.a]\nhttp = { url = \"https://u:hunter2@x.org/hunter2\" }\n",
    )
    .env("GRISTMILL_GRACE", "3s");
    let shown = |args: &[&str]| {
        let rows = sandbox.json(&[&["config", "show"], args].concat())["items"].clone();
        move |key: &str| {
            let row = rows.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("{key} in {rows}"));
            [&row["value"], &row["source"]].map(|text| text.as_str().unwrap().to_owned())
        }
    };
    let of = shown(&[]);
    for (key, value, source) in [
        ("config", "gristmill.toml", "default"),
        ("store", "postgres://h:5432/db", "gristmill.toml:1:1"),
        ("worker.lease", "1m", "gristmill.toml:3:1"),
        ("worker.grace", "3s", "GRISTMILL_GRACE"),
        ("worker.poll", "500ms", "default"),
        ("limits.args_bytes", "1000", "gristmill.toml:6:1"),
        ("limits.children", "10000", "default"),
        ("tasks.a", "http https://x.org", "gristmill.toml:7:8"),
    ] {
        assert_eq!(of(key), [value, source], "{key}");
    }
    assert_eq!(shown(&["--store", "sqlite:x.db"])("store"), ["sqlite:x.db", "--store"]);
    assert!(!sandbox.ok(&["config", "show"]).contains("hunter2"));
    let sandbox = Sandbox::without_config().env("GRISTMILL_STORE", "sqlite:e.db");
    assert!(sandbox.ok(&["config", "show"]).contains("GRISTMILL_STORE"));
}

#[test]
fn quiet_says_errors_and_verbose_says_more() {
    let sandbox = Sandbox::with_echo();
    assert_eq!(sandbox.run(&["worker", "--drain", "-q"]).stderr, "");
    assert!(sandbox.fails(2, &["enqueue", "ehco", "-q"]).contains("did you mean echo"));
    sandbox.enqueue("echo", "{}");
    let loud = sandbox.run(&["worker", "--drain", "-v", "--log", "off"]);
    assert!(loud.stderr.contains("DEBUG") || loud.stderr.contains("INFO"), "{loud:?}");
    sandbox.fails(2, &["tasks", "list", "-q", "-v"]);
}
