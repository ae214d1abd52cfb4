use serde_json::json;

use super::*;
use crate::core::workflow::{Needs, Role, Tolerance};

fn mistakes(text: &str) -> Vec<String> {
    match Form::read(text) {
        Ok(form) => panic!("{form:?}"),
        Err(error) => error.mistakes().iter().map(ToString::to_string).collect(),
    }
}

/// A workflow with these steps.
fn steps(steps: &str) -> String {
    format!(r#"{{"name": "w", "steps": {{{steps}}}}}"#)
}

#[test]
fn the_form_that_scripts_depend_on_is_read() {
    let form = Form::read(
        r#"{"name": "upload", "key": "upload:abc", "tags": ["t"], "retention": "1h", "steps": {
             "process": {"task": "process", "each": [{"n": 1}, {"n": 2}], "may_fail": "20%", "queue": "q"},
             "merge":   {"task": "merge", "after": ["process"], "args": {"results": {"$results": "process"}},
                         "undo": {"task": "unmerge", "args": {"n": {"$result": "merge"}}},
                         "on_failure": {"task": "tell", "args": {"why": {"$failure": "merge"}}, "priority": 1}},
             "notify":  {"task": "notify", "after": {"merge": "success", "process": "end"},
                         "args": {"n": {"$result": "merge", "at": "/sum"}}, "may_fail": 1}},
             "on_failure": {"task": "flag", "args": {"why": {"$failure": true}}}, "always": {"task": "clean"}}"#,
    )
    .unwrap();
    let draft = &form.draft;
    assert_eq!(
        (draft.name.as_str(), draft.key.as_deref(), draft.tags.as_slice()),
        ("upload", Some("upload:abc"), &["t".to_owned()][..])
    );
    let names: Vec<_> = draft.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["process", "merge", "merge.undo", "merge.on_failure", "notify", "on_failure", "always"]);
    let [process, merge, undo, tell, notify, flag, always] = &draft.steps[..] else { panic!("{names:?}") };
    assert!(process.group && process.members.len() == 2 && process.tolerance == Tolerance::Percent(20));
    assert_eq!(process.members[1].args, json!({ "n": 2 }));
    assert_eq!(process.members[1].options.queue.as_deref(), Some("q"));
    assert_eq!((merge.group, merge.after.clone()), (false, vec![("process".to_owned(), Needs::Success)]));
    assert_eq!((undo.undoes.as_deref(), undo.after.len()), (Some("merge"), 0));
    assert_eq!(tell.after, [("merge".to_owned(), Needs::Failure)]);
    assert_eq!(tell.members[0].options.priority, Some(1));
    assert_eq!(notify.after, [("merge".to_owned(), Needs::Success), ("process".to_owned(), Needs::End)]);
    assert_eq!(notify.tolerance, Tolerance::Count(1));
    assert_eq!((flag.role, always.role), (Role::Handler(Needs::Failure), Role::Handler(Needs::End)));
    assert_eq!(always.members[0].args, json!({}));
    assert!(form.queues().into_iter().eq(["q"]));
    assert!(form.kinds().into_iter().eq(["clean", "flag", "merge", "notify", "process", "tell", "unmerge"]));
}

#[test]
fn options_of_the_whole_hold_where_they_say_and_a_steps_own_win() {
    let form = Form::read(
        r#"{"name": "w", "options": {"first": {"in": "5s", "tags": ["f"], "priority": 2}, "every": {"queue": "q", "tags": ["e"], "priority": 1}},
            "steps": {"a": {"task": "t", "tags": ["own"]}, "b": {"task": "t", "after": ["a"], "queue": "other"},
                      "c": {"task": "t", "at": "2100-01-01T00:00:00Z"}}, "always": {"task": "t"}}"#,
    )
    .unwrap();
    let options = |number: usize| form.draft.steps[number].members[0].options.clone();
    let (a, b, c, always) = (options(0), options(1), options(2), options(3));
    assert_eq!((a.queue.as_deref(), a.priority, a.tags.join(" ").as_str()), (Some("q"), Some(2), "e f own"));
    assert!(a.delay.is_some() && b.delay.is_none());
    assert_eq!((b.queue.as_deref(), b.priority, b.tags.join(" ").as_str()), (Some("other"), Some(1), "e"));
    assert!(c.run_at.is_some() && c.delay.is_none(), "its own moment takes the place of the delay");
    assert_eq!((always.queue.as_deref(), always.delay), (Some("q"), None));
}

#[test]
fn keys_of_steps_are_made_of_their_arguments_and_not_before() {
    let read =
        |step: &str| Form::read(&format!(r#"{{"name": "w", "steps": {{"a": {step}}}}}"#)).map_err(|error| error.to_string());
    let form =
        read(r#"{"task": "t", "args": {"k": 1}, "sequence": "s:{k}", "concurrency": {"key": "{k}", "limit": 2}}"#).unwrap();
    let options = &form.draft.steps[0].members[0].options;
    assert!(options.sequence.is_some() && options.concurrency.is_some());
    let error = read(r#"{"task": "t", "concurrency": {"key": "k", "limit": 2, "cost": 3}}"#).err().unwrap();
    assert!(error.contains("/steps/a/concurrency: is 3, and the limit is 2"), "{error}");
}

#[test]
fn whatever_is_wrong_is_told_with_its_place() {
    let deep = format!(r#""a": {{"task": "t", "args": {{"x": {}{}}}}}"#, "[".repeat(200), "]".repeat(200));
    for (steps_or_whole, says) in [
        ("", ": is not JSON: EOF"),
        ("[]", ": is not a JSON object"),
        ("{} {}", ": is not JSON: trailing"),
        (r#"{"steps": {}}"#, "/name: is missing"),
        (r#"{"name": "w"}"#, "/steps: is missing"),
        (r#"{"name": 7, "steps": {}}"#, "/name: invalid type: integer"),
        (r#"{"name": "", "steps": {}}"#, "/name: is empty"),
        (r#"{"name": "w", "steps": []}"#, "/steps: is not a JSON object"),
        (r#"{"name": "w", "stpes": {}, "steps": {}}"#, "/stpes: unknown field `stpes`; did you mean `steps`?"),
        (r#"{"name": "w", "name": "w", "steps": {}}"#, "/name: is there twice"),
        (r#"{"name": "w", "tags": ["a", ""], "steps": {}}"#, "/tags: "),
        (r#"{"name": "w", "retention": "soon", "steps": {}}"#, "/retention: "),
        (
            r#"{"name": "w", "options": {"every": {"unique": "k"}}, "steps": {}}"#,
            "/options/every/unique: is for tasks that are enqueued by themselves",
        ),
        (r#"{"name": "w", "options": {"evry": {}}, "steps": {}}"#, "/options/evry: unknown field `evry`; did you mean `every`?"),
        (r#"{"name": "w", "options": {"every": {"priority": 10}}, "steps": {"a": {"task": "t"}}}"#, "/options/every/priority: "),
        (
            r#"{"name": "w", "options": {"every": {"id": "019a0000-0000-7000-8000-000000000001"}}, "steps": {}}"#,
            "/options/every/id: is of one",
        ),
        (r#"{"name": "w", "steps": {}, "always": {"task": "t", "after": []}}"#, "/always/after: unknown field `after`"),
        (r#""a": {"task": "t"}, "a": {"task": "t"}"#, "/steps/a: is there twice"),
        (r#""a": {"task": "t", "args": {"x": 1, "x": 2}}"#, "/steps/a/args: are not JSON with unique keys"),
        (r#""a": 7"#, "/steps/a: is not a JSON object"),
        (r#""a": {}"#, "/steps/a/task: is missing"),
        (r#""": {"task": "t"}"#, "/steps/: its name is empty"),
        (r#""a": {"task": 7}"#, "/steps/a/task: invalid type"),
        (r#""a": {"task": "t", "unique": "k"}"#, "/steps/a/unique: is for tasks that are enqueued by themselves"),
        (r#""a": {"task": "t", "debounce": {"wait": "5s"}}"#, "/steps/a/debounce: is for tasks that are enqueued by themselves"),
        (r#""a": {"task": "t", "tsak": "t"}"#, "/steps/a/tsak: unknown field `tsak`; did you mean `task`?"),
        (r#""a": {"task": "t", "args": [1]}"#, "/steps/a/args: is not a JSON object"),
        (r#""a": {"task": "t", "args": {}, "each": []}"#, "/steps/a/each: stands beside `args`"),
        (r#""a": {"task": "t", "each": {"n": 1}}"#, "/steps/a/each: is no array"),
        (r#""a": {"task": "t", "each": [{}, 7]}"#, "/steps/a/each/1: is not a JSON object"),
        (r#""a": {"task": "t", "each": [{}], "id": "019a0000-0000-7000-8000-000000000001"}"#, "/steps/a/id: is of one task"),
        (r#""a": {"task": "t", "after": "b"}"#, "/steps/a/after: is neither an array"),
        (r#""a": {"task": "t", "after": [7]}"#, "/steps/a/after/0: invalid type"),
        (r#""b": {"task": "t"}, "a": {"task": "t", "after": {"b": "sucess"}}"#, "/steps/a/after/b: unknown variant `sucess`"),
        (r#""a": {"task": "t", "may_fail": "20"}"#, "/steps/a/may_fail: is neither"),
        (r#""a": {"task": "t", "may_fail": "120%"}"#, "/steps/a/may_fail: is neither"),
        (r#""a": {"task": "t", "may_fail": -1}"#, "/steps/a/may_fail: is neither"),
        (r#""a": {"task": "t", "priority": 10}"#, "/steps/a/priority: "),
        (r#""a": {"task": "t", "in": "5s", "at": "2100-01-01T00:00:00Z"}"#, "/steps/a: has both `in` and `at`"),
        (r#""a": {"task": "t", "timeout": "soon"}"#, "/steps/a/timeout: "),
        (r#""a": {"task": "t", "undo": {"task": "t", "each": []}}"#, "/steps/a/undo/each: unknown field `each`"),
        (r#""a": {"task": "t", "on_failure": {}}"#, "/steps/a/on_failure/task: is missing"),
        (r#""a": {"task": "t", "after": ["a"]}"#, "/steps/a/after: waits for itself"),
        (r#""b": {"task": "t"}, "a": {"task": "t", "after": ["b", "b"]}"#, "/steps/a/after/1: names the step `b` twice"),
        (r#""a": {"task": "t", "after": ["b"]}, "b": {"task": "t", "after": ["a"]}"#, "/steps/a/after: waits for itself"),
        (
            r#""build": {"task": "t"}, "a": {"task": "t", "after": ["buidl"]}"#,
            "/steps/a/after/0: names the step `buidl`, which is not there; did you mean `build`?",
        ),
        (r#""a/b": {"task": "t", "after": {"x~y": "end"}}"#, "/steps/a~1b/after/x~0y: names the step"),
        (
            r#""build": {"task": "t"}, "a": {"task": "t", "after": ["build"], "args": {"x": [{"$result": "buidl"}]}}"#,
            "/steps/a/args/x/0: refers to the step `buidl`, which is not there; did you mean `build`?",
        ),
        (
            r#""b": {"task": "t"}, "a": {"task": "t", "args": {"x": {"$result": "b"}}}"#,
            "/steps/a/args/x: refers to the step `b`, which need not have ended",
        ),
        (
            r#""b": {"task": "t", "each": []}, "a": {"task": "t", "after": ["b"], "each": [{}, {"x": {"$result": "b"}}]}"#,
            "/steps/a/each/1/x: refers to the result of `b`, which is a group",
        ),
        (r#""a": {"task": "t", "args": {"x": {"$failure": true}}}"#, "/steps/a/args/x: refers to the failure of the workflow"),
        (r#""a": {"task": "t", "args": {"x": {"$result": 7}}}"#, "/steps/a/args/x: the step's name is no text; a reference is"),
        (
            r#""a": {"task": "t", "undo": {"task": "t", "args": {"x": {"$result": "c"}}}}"#,
            "/steps/a/undo/args/x: refers to the step `c`",
        ),
        (r#""a": {"task": "t", "undo": {"task": "t"}}, "a.undo": {"task": "t"}"#, "/steps/a/undo: is there twice"),
        (deep.as_str(), "/steps/a/args: nests deeper"),
    ] {
        // What begins with a name are steps.
        let text = if steps_or_whole.starts_with('"') { steps(steps_or_whole) } else { steps_or_whole.to_owned() };
        let told = mistakes(&text);
        assert!(told[0].starts_with(says), "{text}\n{told:?}");
        assert_eq!(told.len(), 1, "{text}\n{told:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_and_those_that_follow_from_them_are_not() {
    let told = mistakes(&steps(
        r#""a": {"task": "t", "prio": 1, "each": 7}, "b": {"task": "t", "after": ["nowhere"], "args": {"x": {"$result": "a", "ta": "/n"}}}"#,
    ));
    let places: Vec<_> = told.iter().map(|mistake| mistake.split_once(": ").unwrap().0).collect();
    assert_eq!(places, ["/steps/a/prio", "/steps/a/each", "/steps/b/args/x"]);
    let told = mistakes(&steps(
        r#""a": {"task": "t"}, "b": {"task": "t", "after": ["nowhere", "a", "elsewhere"], "args": {"x": {"$result": "nowhere"}}}"#,
    ));
    let places: Vec<_> = told.iter().map(|mistake| mistake.split_once(": ").unwrap().0).collect();
    assert_eq!(places, ["/steps/b/after/0", "/steps/b/after/2"]);
    let many: Vec<_> = (0..100).map(|number| format!(r#""{number}": 7"#)).collect();
    assert_eq!(mistakes(&steps(&many.join(","))).len(), MISTAKES_MAX);
}

#[test]
fn limits_hold() {
    let many: Vec<_> = (0..=1000).map(|number| format!(r#""{number}": {{"task": "t"}}"#)).collect();
    assert!(mistakes(&steps(&many.join(",")))[0].starts_with("/steps: has 1001 steps"));
    let long = format!(r#"{{"name": "w", "steps": {{}}{}}}"#, " ".repeat(FORM_BYTES_MAX));
    assert!(mistakes(&long)[0].starts_with(": is 671"), "{}", mistakes(&long)[0]);
    let members = vec!["{}"; FORM_MEMBERS_MAX].join(",");
    let groups = format!(r#""a": {{"task": "t", "each": [{{}}]}}, "b": {{"task": "t", "each": [{members}]}}"#);
    assert!(mistakes(&steps(&groups))[0].starts_with("/steps/b/each: has more than 250000 members"));
    let form = Form::read(&steps("")).unwrap();
    assert!(form.clone().key("k").is_ok_and(|form| form.draft.key.as_deref() == Some("k")));
    assert!(form.key("").unwrap_err().to_string().starts_with("/key: "));
}

#[test]
fn a_step_can_be_a_workflow_that_takes_results_of_those_around_it() {
    let form = Form::read(&steps(
        r#""count": {"task": "count"},
           "pages": {"after": ["count"], "queue": "q", "workflow": {"name": "pages", "steps": {
               "z": {"task": "resize", "args": {"n": {"$result": "count", "at": "/n"}, "same": {"$result": "count", "at": "/n"}}},
               "a": {"task": "bind", "after": ["z"], "args": {"of": {"$result": "z"}}}}}}"#,
    ))
    .unwrap();
    let pages = &form.draft.steps[1];
    assert_eq!((pages.kind.as_str(), pages.members[0].options.queue.as_deref()), ("gristmill.workflow", Some("q")));
    let args = &pages.members[0].args;
    assert_eq!(args["given"], json!({ "result of count/n": { "$result": "count", "at": "/n" } }));
    let given = json!({ "workflow": args["workflow"], "given": { "result of count/n": 3 } });
    let inner = Form::of_task(&given.to_string()).unwrap();
    let names: Vec<_> = inner.draft.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["z", "a"], "in the order in which they were written");
    assert_eq!(inner.draft.steps[0].members[0].args, json!({ "n": 3, "same": 3 }));
    assert_eq!(inner.draft.steps[1].members[0].args, json!({ "of": { "$result": "z" } }));
    let plain = Form::of_task(r#"{"name": "w", "steps": {"a": {"task": "t"}}}"#).unwrap();
    assert_eq!(plain.draft.steps.len(), 1);
}

#[test]
fn what_is_wrong_in_a_workflow_within_is_told_with_its_place() {
    let inner = |steps: &str| format!(r#""a": {{"workflow": {{"name": "i", "steps": {{{steps}}}}}}}"#);
    for (written, says) in [
        (inner(r#""b": {"args": {}}"#), "/steps/a/workflow/steps/b/task: is missing"),
        (inner(r#""b": {"task": "t", "after": ["c"]}"#), "/steps/a/workflow/steps/b/after/0: "),
        (inner(r#""b": {"task": "t", "args": {"n": {"$result": "gone"}}}"#), "/steps/a/args/given/result of gone: "),
        (r#""a": {"workflow": {"name": "i", "steps": {}}, "task": "t"}"#.to_owned(), "/steps/a/workflow: stands in the place of"),
        (r#""a": {"workflow": 7}"#.to_owned(), "/steps/a/workflow: is not a JSON object"),
    ] {
        let told = mistakes(&steps(&written));
        assert!(told.len() == 1 && told[0].starts_with(says), "{told:?}");
    }
    let mut deep = r#""a": {"task": "t"}"#.to_owned();
    for _ in 0..9 {
        deep = inner(&deep);
    }
    let told = mistakes(&steps(&deep));
    assert!(told[0].ends_with("is more than 8 workflows deep"), "{told:?}");
    let reads = json!({ "workflow": steps(r#""a": {"task": "t"}"#), "given": { "result of x": { "$result": "a" } } });
    let error = Form::of_task(&reads.to_string()).unwrap_err().to_string();
    assert!(error.contains("would be taken for a reference"), "{error}");
}
