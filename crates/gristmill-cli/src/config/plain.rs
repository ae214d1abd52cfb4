//! What the parser says about the types of this program, in the words of the file.

/// The message in plain words, for a value at `path` (the keys from the file's top).
pub(super) fn plain(message: &str, path: &[String]) -> String {
    if let Some((found, wanted)) = split(message) {
        let example = example(path).map(|example| format!(", such as `{example}`")).unwrap_or_default();
        return format!("{found}, where {} belongs{example}", wanted_word(wanted));
    }
    if let Some(key) = message.strip_prefix("missing field ") {
        return format!("the key {key} is missing");
    }
    message.replacen("unknown field", "unknown key", 1).replacen("unknown variant", "unknown value", 1)
}

/// Takes "invalid type: string "x", expected u32" apart. The value is not repeated: it may be a secret in a wrong place.
fn split(message: &str) -> Option<(&'static str, &str)> {
    if let Some(wanted) = message.strip_prefix("wanted ") {
        return Some(("this is something else", wanted));
    }
    let (found, out_of_range) = match (message.strip_prefix("invalid type: "), message.strip_prefix("invalid value: ")) {
        (Some(found), _) => (found, false),
        (None, Some(found)) => (found, true),
        _ => return None,
    };
    // The last one: what was found may be a text with anything in it, what is wanted is ours.
    let (found, wanted) = found.rsplit_once(", expected ")?;
    let kind = match found.split([' ', '`', '"']).next().unwrap_or_default() {
        "integer" if out_of_range => "this number is out of range",
        "string" => "this is text",
        "integer" => "this is a number",
        "floating" => "this is a number with a fraction",
        "boolean" => "this is true or false",
        "sequence" => "this is a list",
        "map" | "table" => "this is a table",
        _ => "this is something else",
    };
    Some((kind, wanted))
}

fn wanted_word(wanted: &str) -> &str {
    match wanted {
        "u8" => "a whole number from 0 to 255",
        "u16" | "u32" | "u64" | "usize" | "i64" => "a whole number from 0 up",
        "a string" | "path string" | "string or table" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        wanted if wanted.starts_with("struct ") => "a table",
        wanted => wanted,
    }
}

/// How the nearest key that is the same in all files may be written.
fn example(path: &[String]) -> Option<&'static str> {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    let key = match path[..] {
        ["tasks"] | ["tasks", _] => return Some("[tasks.NAME]` with `command = [\"program\", \"argument\"]"),
        ["worker"] => return Some("[worker]` with `queues = { default = 8 }"),
        ["limits"] => return Some("[limits]` with `args_bytes = 262144"),
        ["route"] => return Some("[[route]]` with `match = \"app.tasks.*\"` and `queue = \"tasks\""),
        ["queues", ..] => return Some("[queues.mail]` with `expires = \"1h\"`, `aging = \"10m\"` or `concurrency = 4"),
        ["schedule"] => return Some("[[schedule]]` with `name`, `task` and a rule such as `cron = \"@daily\""),
        ["tasks", _, "http", key, ..]
        | ["tasks", _, key, ..]
        | ["worker" | "limits" | "schedule" | "route", key, ..]
        | [key, ..] => key,
        [] => return None,
    };
    Some(match key {
        "store" => "store = \"sqlite:gristmill.db\"",
        "queues" => "queues = { default = 8 }",
        "prefetch" => "prefetch = 100",
        "lease" => "lease = \"30s\"",
        "grace" => "grace = \"30s\"",
        "poll" => "poll = \"500ms\"",
        "memory_limit" => "memory_limit = \"1.5GB\"",
        "memory" => "memory = \"512MB\"",
        "lock" => "lock = \"tally:{area}\"",
        "args_bytes" | "result_bytes" | "error_bytes" | "log_bytes" => "args_bytes = 262144",
        "children" => "children = 10000",
        "command" => "command = [\"program\", \"argument\"]",
        "env" => "env = [\"PATH\", \"HOME\"]",
        "set_env" => "set_env = { MODE = \"fast\" }",
        "cwd" => "cwd = \"/srv/app\"",
        "fail_on" => "fail_on = [64, 65]",
        "output" => "output = \"text\"",
        "http" => "http = { url = \"https://example.org/hook\" }",
        "url" => "url = \"https://example.org/hook\"",
        "secret" => "secret = \"whsec_...\"",
        "headers" => "headers = { x-team = \"billing\" }",
        "retry_4xx" => "retry_4xx = true",
        "queue" => "queue = \"mail\"",
        "priority" => "priority = 5",
        "max_attempts" => "max_attempts = 5",
        "retries" => "retries = 4",
        "match" => "match = \"app.tasks.*\"",
        "when" => "when = { plan = \"enterprise\" }",
        "queue_prefix" => "queue_prefix = \"staging_\"",
        "max_crashes" => "max_crashes = 3",
        "timeout" => "timeout = \"10m\"",
        "expires" => "expires = \"1h\"",
        "ack" => "ack = \"early\"",
        "retention" => "retention = \"7d\"",
        "large_result" => "large_result = \"truncate\"",
        "tags" => "tags = [\"mail\"]",
        "batch" => "batch = { size = 1000, wait = \"200ms\" }",
        "quiet" => "quiet = true",
        "concurrency" => "concurrency = { key = \"tenant:{tenant}\", limit = 4 }",
        "rate" => "rate = { key = \"api:{host}\", limit = \"10/s\", burst = 5 }",
        "burst" => "burst = 5",
        "strategy" => "strategy = \"sliding_window\"",
        "sequence" => "sequence = \"account:{account}\"",
        "debounce" => "debounce = { key = \"notify:{user}\", wait = \"5s\", max_wait = \"1m\" }",
        "max_wait" => "max_wait = \"1m\"",
        "unique" => "unique = { key = \"sync:{repo}\", until = \"ended\" }",
        "name" => "name = \"nightly\"",
        "task" => "task = \"report.build\"",
        "args" => "args = { year = 2027 }",
        "cron" | "crontab" => "cron = \"0 3 * * *\"",
        "every" => "every = \"10m\"",
        "solar" => "solar = \"sunset\"",
        "at" => "at = \"51.5,-0.1\"",
        "timezone" => "timezone = \"Europe/Rome\"",
        "jitter" => "jitter = \"30s\"",
        "overlap" => "overlap = \"skip\"",
        "min_distance" => "min_distance = \"5m\"",
        "penalty" => "penalty = 5",
        "max_runs" => "max_runs = 10",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_the_program_is_left() {
        let path = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        for (message, keys, says) in [
            (
                "invalid type: string \"a, expected b\", expected u32",
                &["tasks", "a", "max_attempts"][..],
                "this is text, where a whole number from 0 up belongs, such as `max_attempts = 5`",
            ),
            (
                "invalid value: integer `-1`, expected u8",
                &["x"],
                "this number is out of range, where a whole number from 0 to 255 belongs",
            ),
            ("missing field `url`", &[], "the key `url` is missing"),
            ("unknown variant `never`, expected `late` or `early`", &[], "unknown value `never`, expected `late` or `early`"),
            ("something else", &[], "something else"),
        ] {
            assert_eq!(plain(message, &path(keys)), says);
        }
    }
}
