//! Task types that are HTTP targets, and all that targets do wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::server::Server;

/// Runs one attempt against a target; `options` are those of `http = {...}` after the url.
fn call(server: &Server, options: &str, args: &str) -> (Sandbox, Value) {
    let url = format!("http://user:hunter2@127.0.0.1:{}/hook?token=hunter3", server.port);
    call_url(&url, options, "max_attempts = 2\nbackoff = \"1ms\"", args)
}

fn call_url(url: &str, options: &str, policy: &str, args: &str) -> (Sandbox, Value) {
    let sandbox = Sandbox::new(&format!(
        "[limits]\nresult_bytes = 10000\n[tasks.\"hook.call\"]\nhttp = {{ url = \"{url}\"{options} }}\n{policy}\n"
    ));
    let id = sandbox.enqueue("hook.call", args);
    let ended = sandbox.run(&["worker", "--drain"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let task = sandbox.show(&id);
    assert!(!format!("{ended:?}{task}").contains("hunter"), "a secret was shown: {ended:?} {task}");
    (sandbox, task)
}

#[track_caller]
fn failed(task: &Value, attempts: u32, says: &str) {
    assert_eq!((&task["state"], &task["attempt"]), (&json!("failed"), &json!(attempts)), "{task}");
    assert!(task["error"]["message"].as_str().unwrap().contains(says), "{task}");
}

#[test]
fn arguments_are_posted_and_signed_and_the_answer_is_the_result() {
    let server = Server::saying("200 OK", "", r#"{"ok": true}"#);
    let args = r#"{"n": 1.50}"#;
    let (_, task) = call(&server, r#", secret = "whsec_c2VjcmV0LXNlY3JldA==", headers = { x-team = "billing" }"#, args);
    assert_eq!((&task["state"], &task["result"]), (&json!("succeeded"), &json!({ "ok": true })), "{task}");
    let [request] = &server.seen()[..] else { panic!("{:?}", server.seen()) };
    assert_eq!((request.line.as_str(), request.body.as_str()), ("POST /hook?token=hunter3 HTTP/1.1", args));
    let id = task["id"].as_str().unwrap();
    for (name, value) in [
        ("gristmill-task-id", id),
        ("idempotency-key", id),
        ("webhook-id", id),
        ("gristmill-attempt", "1"),
        ("gristmill-task-name", "hook.call"),
        ("content-type", "application/json"),
        ("x-team", "billing"),
    ] {
        assert_eq!(request.headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(request.headers["authorization"].starts_with("Basic "));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"secret-secret").unwrap();
    mac.update(format!("{id}.{}.{args}", request.headers["webhook-timestamp"]).as_bytes());
    assert_eq!(request.headers["webhook-signature"], format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
}

#[test]
fn without_a_secret_nothing_is_signed_and_no_body_is_null() {
    let server = Server::saying("204 No Content", "", "");
    let (_, task) = call(&server, "", "{}");
    assert_eq!((&task["state"], &task["result"]), (&json!("succeeded"), &Value::Null), "{task}");
    assert!(!server.seen()[0].headers.contains_key("webhook-signature"));
}

#[test]
fn an_answer_in_plain_text_is_a_result_where_the_task_type_says_so() {
    let server = Server::saying("200 OK", "", "OK\n");
    let url = format!("http://127.0.0.1:{}/", server.port);
    let of = |options: &str| call_url(&url, "", &format!("max_attempts = 1\n{options}"), "{}").1;
    failed(&of(""), 1, "`output = \"text\"`");
    assert_eq!(of("output = \"text\"")["result"], "OK");
    assert_eq!((&of("output = \"none\"")["state"], &of("output = \"none\"")["result"]), (&json!("succeeded"), &Value::Null));
}

#[test]
fn a_target_that_is_busy_is_left_alone_as_long_as_it_asks() {
    for (status, after) in [("429 Too Many Requests", "120"), ("503 Service Unavailable", "Fri, 31 Dec 2100 23:59:59 GMT")] {
        let server = Server::saying(status, &format!("retry-after: {after}\r\n"), "");
        let (_, task) = call(&server, "", "{}");
        assert_eq!(
            (&task["state"], &task["attempt"], &task["attempts"][0]["state"]),
            (&json!("scheduled"), &json!(0), &json!("snoozed")),
            "{task}"
        );
        assert_eq!(server.seen().len(), 1);
    }
    // A time beyond all numbers is as long as any.
    let server = Server::saying("429 Too Many Requests", "retry-after: 99999999999999999999\r\n", "");
    let (sandbox, task) = call(&server, "", "{}");
    assert_eq!((&task["state"], &task["attempt"]), (&json!("scheduled"), &json!(0)), "{task}");
    let why = task["error"]["message"].as_str().unwrap();
    assert!(why.contains("/hook answered 429 Too Many Requests, and to come back in 86400 s"), "{task}");
    assert!(
        sandbox.ok(&["tasks", "list"]).contains(&why[..40])
            && sandbox.ok(&["tasks", "show", task["id"].as_str().unwrap()]).contains(why)
    );
    // Without a time it is an error like others.
    failed(&call(&Server::saying("429 Too Many Requests", "", ""), "", "{}").1, 2, "429");
}

#[test]
fn a_target_that_puts_off_for_ever_uses_up_attempts_in_the_end() {
    let server = Server::saying("503 Service Unavailable", "retry-after: 0\r\n", "");
    let (sandbox, task) = call_url(&format!("http://127.0.0.1:{}/", server.port), "", "max_attempts = 1", "{}");
    assert_eq!((&task["state"], &task["attempts"][0]["state"]), (&json!("scheduled"), &json!("snoozed")), "{task}");
    let conn = gristmill_sqlite::rusqlite::Connection::open(sandbox.path("gristmill.db")).unwrap();
    // As if it had been put off before, and its time had come.
    let put_off = |times: u32| {
        conn.execute("UPDATE gristmill_scheduled SET run_at = 0, claim_no = ?1", [times]).unwrap();
        sandbox.ok(&["worker", "--drain"]);
        sandbox.show(task["id"].as_str().unwrap())
    };
    let again = put_off(30);
    assert_eq!((&again["state"], &again["attempt"]), (&json!("scheduled"), &json!(0)), "{again}");
    assert!(again["error"]["message"].as_str().unwrap().contains("to come back in 31 s"), "each wait is longer: {again}");
    failed(&put_off(100), 1, "to come back in 100 s; it has put the task off 100 times");
}

#[test]
fn no_library_speaks_in_the_log_of_an_attempt() {
    let server = Server::saying("200 OK", "", "1");
    let (sandbox, task) = call(&server, "", "{}");
    assert_eq!((&task["state"], &task["attempts"][0]["logs"]), (&json!("succeeded"), &Value::Null), "{task}");
    // Unless somebody wants to hear it.
    let id = sandbox.enqueue("hook.call", "{}");
    sandbox.ok(&["worker", "--drain", "--log", "warn,hyper_util=trace"]);
    assert!(sandbox.show(&id)["attempts"][0]["logs"].as_str().unwrap().contains("TRACE"));
}

#[test]
fn refusals_fail_at_once_unless_asked_otherwise() {
    let server = Server::saying("422 Unprocessable Entity", "", "no such customer\u{1b}[31m");
    let (_, task) = call(&server, "", "{}");
    failed(&task, 1, "422 Unprocessable Entity: no such customer");
    assert!(!task["error"]["message"].as_str().unwrap().contains('\u{1b}'));
    failed(&call(&server, ", retry_4xx = true", "{}").1, 2, "422");
}

#[test]
fn errors_of_the_target_are_tried_again() {
    let server = Server::saying("500 Internal Server Error", "", "oops");
    failed(&call(&server, "", "{}").1, 2, "500 Internal Server Error: oops");
    assert_eq!(server.seen().iter().map(|request| request.headers["gristmill-attempt"].as_str()).collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn redirects_are_not_followed() {
    let server = Server::saying("302 Found", "location: http://elsewhere.example/x?token=hunter4\r\n", "");
    failed(&call(&server, "", "{}").1, 1, "to http://elsewhere.example/x; redirects are not followed");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_target_that_refuses_stalls_or_talks_garbage_is_tried_again() {
    // A port that was just free: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let policy = "max_attempts = 2\nbackoff = \"1ms\"";
    failed(&call_url(&format!("http://user:hunter2@127.0.0.1:{port}/"), "", policy, "{}").1, 2, "could not be reached");
    failed(&call(&Server::answering(Some(b"220 mail.example ESMTP\r\n".to_vec())), "", "{}").1, 2, "no proper answer");
    failed(&call(&Server::answering(Some(Vec::new())), "", "{}").1, 2, "no proper answer");
    failed(
        &call(&Server::answering(Some(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"half".to_vec())), "", "{}").1,
        2,
        "no proper answer",
    );
    failed(&call(&Server::saying("200 OK", "", "<html>welcome</html>"), "", "{}").1, 2, "not JSON");
    // A target that does not speak TLS where it should.
    let plain = Server::answering(Some(b"what?\r\n\r\n".to_vec()));
    failed(&call_url(&format!("https://127.0.0.1:{}/", plain.port), "", policy, "{}").1, 2, "could not be reached");
    let stalls = Server::answering(None);
    let url = format!("http://127.0.0.1:{}/", stalls.port);
    let (_, task) = call_url(&url, "", "max_attempts = 1\ntimeout = \"200ms\"", "{}");
    failed(&task, 1, "timeout");
    assert_eq!(task["error"]["reason"], "timeout");
}

#[test]
fn an_answer_without_end_is_cut() {
    let server = Server::saying("200 OK", "", &format!("\"{}\"", "x".repeat(20_000)));
    failed(&call(&server, "", "{}").1, 1, "larger than 10000 bytes");
}
