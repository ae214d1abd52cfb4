use std::collections::BTreeMap;
use std::future::Future;

use tracing::Instrument;
use tracing::field::Empty;

use crate::middleware::{Middleware, Next};
use crate::{Context, Result};

/// The most of a task's headers that its span shows.
const HEADERS_BYTES_MAX: usize = 1024;

/// The span of an attempt, which all that its handler says stands in. Around all middleware of the application, always.
pub(crate) struct Trace;

impl Middleware for Trace {
    fn run(&self, cx: &Context, next: Next<'_>) -> impl Future<Output = Result<String>> + Send {
        let span = tracing::info_span!("task", id = %cx.id(), kind = %cx.name(), attempt = cx.attempt(), headers = Empty);
        let given = &cx.meta().headers;
        if !given.is_empty() && !span.is_disabled() {
            span.record("headers", headers(given));
        }
        next.run().instrument(span)
    }
}

/// A task's headers as one text for its span, bounded, and without what would forge a line of a log.
fn headers(headers: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, value) in headers {
        let separator = if text.is_empty() { "" } else { " " };
        text.extend([separator, name, "="]);
        // What is beyond the limit is cut below; no more of it is copied than that takes.
        text.extend(value.chars().filter(|c| !c.is_control()).take(HEADERS_BYTES_MAX));
        if text.len() > HEADERS_BYTES_MAX {
            break;
        }
    }
    if text.len() > HEADERS_BYTES_MAX {
        let mut end = HEADERS_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
