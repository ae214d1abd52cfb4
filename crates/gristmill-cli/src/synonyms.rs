//! What other tools call it: a hint for whoever types their words.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Commands: below which one, the word, and what it is here.
const COMMANDS: &[(&str, &[&str], &str)] = &[
    ("", &["job", "jobs", "task"], "tasks"),
    ("", &["cron", "crons", "schedule", "periodic"], "schedules"),
    ("", &["workflow", "flow", "flows", "dag", "dags", "canvas", "chain", "chord"], "workflows"),
    ("", &["queue"], "queues"),
    ("", &["start", "run", "work", "consume", "consumer"], "worker"),
    ("", &["serve", "server", "up"], "dev"),
    ("", &["scheduler"], "beat"),
    ("", &["add", "push", "send", "submit", "call", "perform"], "enqueue"),
    ("", &["ls", "list", "ps"], "tasks list"),
    ("", &["show", "get", "inspect"], "tasks show"),
    ("", &["cancel", "revoke", "kill"], "tasks cancel"),
    ("", &["retry", "requeue"], "tasks retry"),
    ("", &["why", "explain", "diagnose"], "tasks why"),
    ("", &["logs", "log", "tail"], "tasks logs"),
    ("", &["wait"], "tasks wait"),
    ("", &["purge", "delete"], "tasks delete"),
    ("", &["status", "stats", "top"], "queues list"),
    ("", &["check", "health", "ping"], "doctor"),
    ("", &["types", "registered"], "kinds"),
    ("", &["upgrade", "upgrade-db", "setup"], "migrate"),
    ("tasks", &["ls", "all", "find", "search"], "list"),
    ("tasks", &["get", "describe", "info", "inspect"], "show"),
    ("tasks", &["kill", "stop", "abort", "revoke", "terminate"], "cancel"),
    ("tasks", &["rerun", "requeue", "restart", "replay", "run"], "retry"),
    ("tasks", &["remove", "rm", "purge", "prune", "clear"], "delete"),
    ("tasks", &["log", "tail", "output"], "logs"),
    ("tasks", &["unlock", "free"], "release"),
    ("tasks", &["explain", "reason", "diagnose", "pending"], "why"),
    ("tasks", &["await", "result"], "wait"),
    ("tasks", &["watch"], "list --watch"),
    ("tasks", &["count"], "list --count"),
    ("schedules", &["remove", "rm", "drop"], "delete"),
    ("schedules", &["trigger", "run", "fire", "now"], "run-now"),
    ("schedules", &["disable", "stop", "suspend"], "pause"),
    ("schedules", &["enable", "start", "unpause"], "resume"),
    ("schedules", &["ls"], "list"),
    ("schedules", &["create", "new", "put"], "add"),
    ("schedules", &["update", "set", "change", "modify"], "edit"),
    ("schedules", &["get", "describe", "info"], "show"),
    ("schedules", &["upcoming", "preview"], "next"),
    ("schedules", &["runs", "log", "logs", "ticks"], "history"),
    ("workflows", &["run", "create", "new", "submit", "enqueue", "add"], "start"),
    ("workflows", &["ls", "all"], "list"),
    ("workflows", &["get", "describe", "info", "inspect", "status", "tree", "graph"], "show"),
    ("workflows", &["kill", "stop", "abort", "revoke", "terminate"], "cancel"),
    ("workflows", &["hold", "suspend"], "pause"),
    ("workflows", &["unpause", "continue"], "resume"),
    ("workflows", &["rerun", "restart", "redo"], "retry"),
    ("workflows", &["may-fail", "allow-failures", "threshold"], "tolerate"),
    ("workflows", &["check", "stuck", "health"], "doctor"),
    ("workflows", &["dump", "history"], "export"),
    ("tasks", &["continue", "unpause", "go-on"], "resume"),
    ("tasks", &["dump", "steps", "memories"], "export"),
    ("", &["event", "signal", "signals"], "events"),
    ("events", &["ls", "show"], "list"),
    ("events", &["waiting", "waiters"], "list --waiting"),
    ("events", &["emit", "publish", "fire", "signal", "put"], "send"),
    ("", &["lock", "leases"], "locks"),
    ("locks", &["ls", "show"], "list"),
    ("locks", &["release", "unlock", "free", "force-unlock", "break"], "list, and then tasks release ID"),
    ("workflows", &["tasks", "results", "steps"], "members"),
    ("queues", &["ls", "show", "stats"], "list"),
    ("queues", &["clear", "empty", "flush", "drain", "delete"], "purge"),
    ("queues", &["transfer", "requeue", "mv", "rename", "drain-to"], "move"),
    ("queues", &["stop", "disable", "suspend"], "pause"),
    ("queues", &["start", "enable", "unpause", "continue"], "resume"),
    ("", &["limit", "concurrency", "semaphores", "slots"], "limits"),
    ("limits", &["ls", "all"], "list"),
    ("limits", &["get", "describe", "info"], "show"),
    ("limits", &["change", "update", "override", "pause"], "set"),
    ("limits", &["clear", "reset", "remove", "delete", "resume"], "unset"),
    ("kinds", &["ls", "show"], "list"),
    ("kinds", &["stop", "disable", "suspend"], "pause"),
    ("kinds", &["start", "enable", "unpause", "continue"], "resume"),
    ("workers", &["ls", "show"], "list"),
    ("workers", &["stop", "shutdown", "quiet", "cordon", "terminate"], "drain"),
    ("workers", &["kill", "remove", "rm", "delete"], "forget"),
    ("config", &["validate", "lint", "test"], "check"),
    ("config", &["get", "list", "print", "dump"], "show"),
];

/// Options: of which command (all, if none is named), the words, and what is said here.
const OPTIONS: &[(&str, &[&str], &str)] = &[
    (
        "worker",
        &["--concurrency", "-c", "--queue", "-Q"],
        "--queues default=8,heavy=2 names the queues, each with how many tasks run there at once",
    ),
    ("worker", &["--once", "--burst", "--exit"], "--drain ends the worker when nothing is left"),
    ("worker", &["--loglevel", "-l"], "--log debug"),
    ("enqueue", &["--delay", "--countdown", "--after"], "--in 5m"),
    ("enqueue", &["--eta", "--run-at", "--when"], "--at 2027-01-31T09:00:00Z"),
    ("enqueue", &["--data", "--payload", "--body", "--kwargs", "--input"], "--args '{\"key\": \"value\"}', or --arg key=value"),
    ("enqueue", &["--retries", "--retry", "--max-retries"], "--max-attempts N counts all attempts"),
    ("enqueue", &["--tags"], "--tag, once for each"),
    ("enqueue", &["--headers"], "--header NAME=VALUE, once for each"),
    ("enqueue", &["--attempt-timeout"], "--timeout is that of an attempt, and --wait-timeout that of the wait"),
    ("enqueue", &["--file", "--batch"], "--jsonl FILE"),
    (
        "wait",
        &["--query", "--state", "--kind", "--queue", "--all"],
        "ids; `tasks list QUERY -o jsonl | jq -r .id` gives those of a query",
    ),
    ("workflows", &["--wait-timeout"], "--timeout"),
    ("workflows", &["--status"], "--state"),
    ("workflows", &["--file", "-f"], "the file's name alone, or - for standard input"),
    ("tasks", &["--status"], "--state"),
    ("tasks", &["--task", "--type", "--name"], "--kind"),
    ("tasks", &["--after", "--from"], "--since"),
    ("tasks", &["--before", "--to"], "--until"),
    ("tasks", &["--filter", "--where", "--search"], "--query"),
    ("tasks", &["--force", "-y"], "--yes"),
    ("tasks", &["--follow", "-f"], "`tasks logs -f` follows a task, and `tasks list --watch` a list"),
    ("tasks", &["--timeout"], "--wait-timeout"),
    ("schedules", &["--interval"], "--every 10m"),
    ("schedules", &["--schedule"], "--cron, --crontab, --every, --solar with --at, or --on"),
    ("schedules", &["--tz", "--zone"], "--timezone"),
    ("schedules", &["--kind", "--type"], "--task"),
    ("", &["--json"], "-o json"),
    ("", &["--format"], "-o table, -o json or -o jsonl"),
    ("", &["--debug"], "-vv, or --log debug"),
    ("", &["--silent"], "-q"),
    ("", &["--database", "--database-url", "--db", "--url", "--broker", "--dsn"], "--store URL"),
];

/// Adds what was probably meant.
pub(crate) fn explain(mut error: clap::Error, args: &[String]) -> clap::Error {
    let found = match error.kind() {
        ErrorKind::InvalidSubcommand => wrong(&error, ContextKind::InvalidSubcommand).and_then(|word| command(&word, args)),
        ErrorKind::UnknownArgument => wrong(&error, ContextKind::InvalidArg).and_then(|word| option(&word, args)),
        _ => None,
    };
    if let Some(tip) = found {
        // What is only written alike would stand beside it.
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn wrong(error: &clap::Error, what: ContextKind) -> Option<String> {
    match error.get(what) {
        Some(ContextValue::String(word)) => Some(word.clone()),
        _ => None,
    }
}

fn command(word: &str, args: &[String]) -> Option<String> {
    let parents = args.iter().take_while(|arg| *arg != word);
    let parent = parents.filter(|arg| COMMANDS.iter().any(|(parent, ..)| parent == arg)).last().map_or("", String::as_str);
    let (_, _, here) = COMMANDS.iter().find(|(below, words, _)| *below == parent && words.contains(&word))?;
    Some(format!("that is `{}` here", format!("{parent} {here}").trim_start()))
}

fn option(word: &str, args: &[String]) -> Option<String> {
    // A negation within a query, which the parser takes for short options.
    if let Some(condition) = args.iter().find(|arg| arg.starts_with('-') && !arg.starts_with("--") && arg.contains(':')) {
        let condition = &condition[1..];
        return Some(format!("write NOT {condition}, or put the query in one pair of quotes behind another condition"));
    }
    let word = word.split(['=', ' ']).next().unwrap_or(word);
    let is_for = |command: &str| command.is_empty() || args.iter().any(|arg| arg == command);
    let (_, _, here) = OPTIONS.iter().find(|(command, words, _)| is_for(command) && words.contains(&word))?;
    Some((*here).to_owned())
}
