//! A task type that is an HTTP target: arguments posted as JSON, the body of a 2xx answer is the result. One that takes many tasks at once gets and
//! gives lists.

use std::num::IntErrorKind;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use gristmill::app::{Handler, HandlerFuture};
use gristmill::batch::{Batch, BatchHandler, BatchHandlerFuture};
use gristmill::core::{Env, Template};
use gristmill::{Context, Error, Result};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::batch;
use super::lock;
use super::result::{Output, excerpt};
use super::signature::Secret;

/// However long a target asks us to wait, we look again after this.
const SNOOZE_MAX: Duration = Duration::from_secs(86_400);
/// A target that says "retry after 0 seconds" must not be asked in a tight loop, as a snooze costs no attempt: the first wait is at
/// least so long, the second twice as long, and so on.
const SNOOZE_MIN: Duration = Duration::from_secs(1);
/// So often a target may put a task off at no cost. One that never does anything else would be asked for ever.
const SNOOZES_MAX: u32 = 100;
/// A target that does not even accept the connection by then is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a refusal's body goes into the failure's message.
const BODY_EXCERPT: usize = 1024;

/// The connections of all HTTP task types, opened when the first of them runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<OnceLock<Client>>);

impl Connections {
    fn get(&self) -> Result<&Client> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let built = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("gristmill/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(self.0.get_or_init(|| built))
    }
}

/// Calls a target for each attempt, or for each batch.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) connections: Connections,
    pub(crate) url: Url,
    pub(crate) secret: Option<Secret>,
    pub(crate) headers: HeaderMap,
    /// Whether a refusal of ours (4xx) is tried again; the same request mostly gets the same answer.
    pub(crate) retry_4xx: bool,
    /// What one request at a time holds.
    pub(crate) lock: Option<Template>,
    /// What the body of a 2xx answer is.
    pub(crate) output: Output,
    /// The most bytes of a body that are read.
    pub(crate) max_output: usize,
}

impl Handler for Http {
    fn run<'a>(&'a self, cx: &'a Context, args: &'a str) -> HandlerFuture<'a> {
        Box::pin(async move {
            let lock = lock::take(self.lock.as_ref(), cx, args).await?;
            let id = cx.id().to_string();
            let mut headers = vec![
                ("gristmill-task-id", id.clone()),
                ("idempotency-key", id.clone()),
                ("gristmill-attempt", cx.attempt().to_string()),
            ];
            headers.extend(lock.as_ref().map(|lock| ("gristmill-lock-token", lock.token().to_string())));
            let request = self.request(cx.name(), &id, &headers, args)?;
            match until(self.call(cx, request, self.max_output), cx.cancellation().cancelled()).await? {
                None => Ok("null".to_owned()),
                Some(body) => self.output.read(&body, BODY, "").map_err(Error::retry),
            }
        })
    }
}

impl BatchHandler for Http {
    fn run<'a>(&'a self, cx: &'a Batch, args: &'a [String]) -> BatchHandlerFuture<'a> {
        Box::pin(async move {
            let Some(first) = cx.tasks().first() else { return Ok(Vec::new()) };
            let mut headers = vec![("gristmill-batch-size", args.len().to_string())];
            headers.extend(cx.key().map(|key| ("gristmill-batch-key", key.to_owned())));
            // Of its own for each call: another one with the same tasks in part is not the same message.
            let id = Env::system().task_id().to_string();
            let request = self.request(first.name(), &id, &headers, &batch::list(args))?;
            let max = batch::most(self.max_output, args.len());
            let body = until(self.call(first, request, max), cx.cancellation().cancelled()).await?;
            batch::answers(self.output, &body.unwrap_or_default(), args.len(), BODY)
        })
    }
}

/// What the result is read from.
const BODY: &str = "the answer's body";

/// The answer to a call, unless it is `stopped`: dropping the request closes its connection.
async fn until<T>(call: impl Future<Output = Result<T>>, stopped: impl Future<Output = ()>) -> Result<T> {
    tokio::select! {
        answer = call => answer,
        () = stopped => Err(Error::retry("the request was dropped before it was answered")),
    }
}

impl Http {
    /// The body of a 2xx answer, if anybody wants to keep it.
    async fn call(&self, cx: &Context, request: RequestBuilder, max: usize) -> Result<Option<Vec<u8>>> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if status.is_success() {
            if self.output == Output::None {
                return Ok(None);
            }
            return match self.read(response, max).await? {
                (_, true) => Err(Error::fail(format!("the answer is larger than {max} bytes, the limit of a result"))),
                (body, false) => Ok(Some(body)),
            };
        }
        if status.is_redirection() {
            return Err(Error::fail(redirected(status, &self.url, response.headers())));
        }
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
            && let Some(asked) = retry_after(response.headers())
        {
            // Claims that used up no attempt: nearly all of them were put off like this one.
            let before = cx.fencing_token().saturating_sub(cx.attempt());
            let wait = asked.clamp(SNOOZE_MIN * before.saturating_add(1).min(SNOOZES_MAX), SNOOZE_MAX);
            let said = format!("{} answered {status}, and to come back in {} s", place(&self.url), wait.as_secs());
            return Err(if before < SNOOZES_MAX {
                Error::snooze_because(wait, said)
            } else {
                Error::retry_after(wait, format!("{said}; it has put the task off {before} times"))
            });
        }
        let refusal = self.refusal(response).await;
        if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS && !self.retry_4xx {
            return Err(Error::fail(refusal));
        }
        Err(Error::retry(refusal))
    }

    /// A message of this id about tasks of this type.
    fn request(&self, name: &str, id: &str, more: &[(&'static str, String)], body: &str) -> Result<RequestBuilder> {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("gristmill-task-name", header("task name", name)?);
        for (name, value) in more {
            headers.insert(*name, header(name, value)?);
        }
        if let Some(secret) = &self.secret {
            let seconds = Env::system().now().as_millis() / 1000;
            let signature = secret.sign(id, seconds, body).unwrap_or_default();
            headers.insert("webhook-id", header("webhook-id", id)?);
            headers.insert("webhook-timestamp", HeaderValue::from(seconds));
            headers.insert("webhook-signature", header("webhook-signature", &signature)?);
        }
        Ok(self.connections.get()?.post(self.url.clone()).headers(headers).body(body.to_owned()))
    }

    /// The body up to `max` bytes, and whether there was more.
    async fn read(&self, mut response: Response, max: usize) -> Result<(Vec<u8>, bool)> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            let room = max - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                return Ok((body, true));
            }
        }
        Ok((body, false))
    }

    async fn refusal(&self, response: Response) -> String {
        let status = response.status();
        // What the target said is a help; that it could not be read is not worth another error.
        let (body, _) = self.read(response, BODY_EXCERPT).await.unwrap_or_default();
        let text: String = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).collect();
        let said = if text.trim().is_empty() { String::new() } else { format!(": {}", excerpt(text.trim(), BODY_EXCERPT)) };
        format!("{} answered {status}{said}", place(&self.url))
    }

    /// A transport error, without the URL that the HTTP client puts into it: it may hold a password or a token.
    fn unreachable(&self, error: reqwest::Error) -> Error {
        Error::retry(Unreachable { place: place(&self.url), source: error.without_url() })
    }
}

/// The target could not be reached, or broke off.
#[derive(Debug)]
struct Unreachable {
    place: String,
    source: reqwest::Error,
}

impl std::fmt::Display for Unreachable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = &self.source;
        let what = if source.is_connect() { "could not be reached" } else { "gave no proper answer" };
        write!(f, "{} {what}: {}", self.place, innermost(source))
    }
}

impl std::error::Error for Unreachable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The cause at the bottom, such as "connection refused"; the layers above only say that sending failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Where a URL leads, without user, password, query and fragment, any of which may be secret.
fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

fn redirected(status: StatusCode, from: &Url, headers: &HeaderMap) -> String {
    let target = headers.get(LOCATION).and_then(|to| from.join(to.to_str().ok()?).ok());
    let to = target.map(|to| format!(" to {}", place(&to))).unwrap_or_default();
    format!("{} answered {status}{to}; redirects are not followed: set the final address as url", place(from))
}

fn header(what: &str, value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value).map_err(|_| Error::fail(format!("the {what} can't be sent in an HTTP header")))
}

/// How long the target wants to be left alone: seconds, however many digits they have, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => SNOOZE_MAX,
        Err(_) => {
            let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
            let now = u64::try_from(Env::system().now().as_millis()).ok()?;
            at.saturating_sub(Duration::from_millis(now))
        }
    };
    Some(wait.clamp(SNOOZE_MIN, SNOOZE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_in_both_forms_and_bounded() {
        let wait = |value: &'static str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]));
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(wait("0"), Some(SNOOZE_MIN));
        assert_eq!(wait("99999999999"), Some(SNOOZE_MAX));
        assert_eq!(wait("99999999999999999999"), Some(SNOOZE_MAX));
        assert_eq!(wait("Fri, 31 Dec 9999 23:59:59 GMT"), Some(SNOOZE_MAX));
        assert_eq!(wait("Thu, 01 Jan 1970 00:00:01 GMT"), Some(SNOOZE_MIN));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-5"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn secrets_of_a_url_are_not_shown() {
        let url = Url::parse("https://user:hunter2@example.com:8443/hook?token=abc#x").unwrap();
        assert_eq!(place(&url), "https://example.com:8443/hook");
    }
}
