use std::fmt;

use crate::core::KindSpec;
use crate::handler::HandlerFuture;
use crate::middleware::Around;
use crate::middleware::stack::Layer;
use crate::registry::Registered;
use crate::{Context, Result, panics};

/// What is inside of a middleware: those that were added after it, and the handler.
#[must_use = "the handler does not run without it"]
pub struct Next<'a> {
    kind: &'a Registered,
    cx: &'a Context,
    /// The arguments, or why the handler can't have them.
    args: Result<String>,
    rest: &'a [Layer<dyn Around>],
}

impl<'a> Next<'a> {
    pub(crate) fn new(kind: &'a Registered, cx: &'a Context, args: Result<String>) -> Self {
        Self { kind, cx, args, rest: cx.inner().runtime().layers.middleware.layers() }
    }

    /// What the task type declares.
    pub fn kind(&self) -> &KindSpec {
        &self.kind.spec
    }

    /// The arguments as JSON text, as the handler gets them; `None` if it does not get them, as they could not be decoded or do not fit
    /// the type's schema: [`run`](Self::run) then fails. What a schema says only by Rust's types is found when they are read, in there.
    pub fn args(&self) -> Option<&str> {
        self.args.as_deref().ok()
    }

    /// Runs it. A panic in there is an error here, with the reason [`Panic`](crate::core::FailureReason::Panic).
    ///
    /// # Errors
    /// What the handler, or a middleware on the way there, returned.
    ///
    /// # Cancel safety
    /// If the future is dropped, so is the handler's.
    pub async fn run(self) -> Result<String> {
        // It may panic before there is a future, too.
        match panics::catch(|| self.inside()) {
            Ok(inside) => panics::caught(inside?).await.unwrap_or_else(|panicked| Err(panicked.into())),
            Err(panicked) => Err(panicked.into()),
        }
    }

    fn inside(self) -> Result<HandlerFuture<'a>> {
        let Self { kind, cx, args, rest } = self;
        match rest.iter().position(|layer| layer.applies_to(&kind.spec.name)) {
            Some(place) => Ok(rest[place].inner.run(cx, Self { kind, cx, args, rest: &rest[place + 1..] })),
            None => Ok(kind.run.run(cx.inner().clone(), args?)),
        }
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("kind", &self.kind.spec.name).finish_non_exhaustive()
    }
}
