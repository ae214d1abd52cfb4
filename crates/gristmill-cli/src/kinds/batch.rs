//! What a command or a target gets and answers that takes many tasks at once: a JSON list, with one element for each.

use std::collections::BTreeMap;

use gristmill::core::limits;
use gristmill::options::parse_duration;
use gristmill::{Error, Result};
use serde_json::Value;
use serde_json::value::RawValue;

use super::result::{Output, excerpt};

/// The most bytes of an answer that are read, unless the result of one task alone may have more.
const ANSWER_BYTES: usize = limits::BATCH_BYTES_MAX;

/// The arguments of all tasks as one list.
pub(super) fn list(args: &[String]) -> String {
    format!("[{}]", args.join(","))
}

/// The most bytes of an answer for so many tasks, each of which may have so many.
pub(super) fn most(each: usize, tasks: usize) -> usize {
    // An element has a few more, if its result is written as `{"ok": ...}`.
    each.saturating_mul(tasks).saturating_add(tasks.saturating_mul(16)).min(ANSWER_BYTES.max(each))
}

/// What an answer means for each of so many tasks. `what` names where it comes from. That its length is right is for the worker to see.
///
/// # Errors
/// An answer that is no list: that is everybody's.
pub(super) fn answers(output: Output, bytes: &[u8], tasks: usize, what: &str) -> Result<Vec<Result<String>>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::retry(format!("{what} is not JSON: it is not even UTF-8")))?.trim();
    if text.is_empty() || output == Output::None {
        return Ok((0..tasks).map(|_| Ok("null".to_owned())).collect());
    }
    limits::check_depth(what, text).map_err(Error::retry)?;
    let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| {
        let begins = excerpt(text, 80);
        Error::retry(format!(
            "{what} is not a JSON list with one element for each of {tasks} tasks: {error}; it begins with {begins:?}"
        ))
    })?;
    Ok(elements.into_iter().map(|element| answer(element.get())).collect())
}

/// One element: `{"ok": RESULT}`, `{"error": "text", "retry": false}`, or the result itself.
fn answer(element: &str) -> Result<String> {
    let Some(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(element).ok().filter(|_| element.starts_with('{'))
    else {
        return Ok(element.to_owned());
    };
    let only = |names: &[&str]| fields.keys().all(|key| names.contains(&key.as_str()));
    match (fields.get("ok"), fields.get("error")) {
        (Some(result), None) if only(&["ok"]) => Ok(result.get().to_owned()),
        (None, Some(error)) if only(&["error", "retry"]) => {
            Err(failure(error.get(), fields.get("retry").map(|retry| retry.get())))
        }
        (None, None) => Ok(element.to_owned()),
        // It could be a result or a failure, and neither is to be guessed.
        _ => Err(Error::retry(
            "the answer for this task has `ok` or `error` beside other keys: a failure is {\"error\": \"text\"}, or {\"error\": \"text\", \"retry\": \
             false}, and a result that has such a key itself is written {\"ok\": RESULT}",
        )),
    }
}

fn failure(error: &str, retry: Option<&str>) -> Error {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let Value::String(error) = parsed(error) else {
        return Error::retry("the answer for this task has an `error` that is not text");
    };
    match retry.map(parsed) {
        None | Some(Value::Bool(true)) => Error::retry(error),
        Some(Value::Bool(false)) => Error::fail(error),
        Some(Value::String(wait)) => match parse_duration(&wait) {
            Ok(wait) => Error::retry_after(wait, error),
            Err(why) => Error::retry(format!("{error} (its `retry` is no duration: {why})")),
        },
        Some(_) => Error::retry(format!("{error} (its `retry` is true, false, or a duration such as \"30s\")")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_a_result_or_a_failure() {
        let of = |element: &str| answer(element).map_err(|error| format!("{error:?}"));
        for (element, result) in [
            ("1", "1"),
            ("null", "null"),
            ("\"error\"", "\"error\""),
            ("[{\"error\": \"x\"}]", "[{\"error\": \"x\"}]"),
            ("{}", "{}"),
            ("{\"a\": 1.50}", "{\"a\": 1.50}"),
            ("{\"retry\": false}", "{\"retry\": false}"),
            ("{\"ok\": {\"error\": \"not one\"}}", "{\"error\": \"not one\"}"),
        ] {
            assert_eq!(of(element), Ok(result.to_owned()));
        }
        for (element, says) in [
            ("{\"error\": \"why\"}", "Retry(Backoff): \"why\""),
            ("{\"error\": \"why\", \"retry\": true}", "Retry(Backoff): \"why\""),
            ("{\"error\": \"why\", \"retry\": false}", "Fail: \"why\""),
            ("{\"error\": \"why\", \"retry\": \"30s\"}", "Retry(After(30s)): \"why\""),
            ("{\"error\": \"why\", \"retry\": \"soon\"}", "is no duration"),
            ("{\"error\": \"why\", \"retry\": 5}", "or a duration such as"),
            ("{\"error\": {\"code\": 5}}", "an `error` that is not text"),
            ("{\"error\": \"why\", \"line\": 5}", "beside other keys"),
            ("{\"ok\": 1, \"error\": \"why\"}", "beside other keys"),
            ("{\"ok\": 1, \"more\": 2}", "beside other keys"),
        ] {
            let error = of(element).unwrap_err();
            assert!(error.contains(says), "{element}: {error}");
        }
    }

    #[test]
    fn an_answer_is_a_list() {
        let of = |bytes: &[u8]| answers(Output::Json, bytes, 2, "it").map(|all| all.len()).map_err(|error| error.to_string());
        assert_eq!((of(b" [1, 2] \n"), of(b""), of(b"[1, 2, 3]")), (Ok(2), Ok(2), Ok(3)));
        assert!(of(b"{}").unwrap_err().contains("one element for each of 2 tasks"));
        assert!(of(b"1 2").unwrap_err().contains("begins with \"1 2\""));
        assert!(of(&[0xff]).unwrap_err().contains("UTF-8"));
        assert!(of("[".repeat(200).as_bytes()).unwrap_err().contains("128"));
        assert_eq!(answers(Output::None, b"whatever", 3, "it").unwrap().len(), 3);
        assert_eq!(list(&["{}".to_owned(), "{\"a\":1}".to_owned()]), "[{},{\"a\":1}]");
    }
}
