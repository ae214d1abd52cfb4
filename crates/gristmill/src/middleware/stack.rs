use std::fmt;
use std::sync::Arc;

use crate::Context;
use crate::codec::Codec;
use crate::core::InvalidInput;
use crate::core::version::split;
use crate::handler::HandlerFuture;
use crate::middleware::{Middleware, Next, Outgoing};

/// What an application has around its tasks.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    pub(crate) middleware: Stack<dyn Around>,
    pub(crate) codecs: Stack<dyn Codec>,
}

/// What stands around tasks, the outermost first, each for some task types.
pub(crate) struct Stack<M: ?Sized>(Vec<Layer<M>>);

pub(crate) struct Layer<M: ?Sized> {
    applies: Applies,
    pub(crate) inner: Arc<M>,
}

/// To which task types something applies.
pub(crate) enum Applies {
    ToAll,
    To(&'static str),
    If(Box<dyn Fn(&str) -> bool + Send + Sync>),
}

impl<M: ?Sized> Stack<M> {
    pub(crate) fn push(&mut self, applies: Applies, inner: Arc<M>) {
        self.0.push(Layer { applies, inner });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn layers(&self) -> &[Layer<M>] {
        &self.0
    }

    /// Those that apply to the task type of this name in a store, the outermost first.
    pub(crate) fn of(&self, name: &str) -> impl DoubleEndedIterator<Item = &M> {
        self.0.iter().filter(move |layer| layer.applies_to(name)).map(|layer| &*layer.inner)
    }
}

impl<M: ?Sized> Layer<M> {
    pub(crate) fn applies_to(&self, name: &str) -> bool {
        match &self.applies {
            Applies::ToAll => true,
            Applies::To(one) => *one == split(name).0,
            Applies::If(applies) => applies(split(name).0),
        }
    }
}

impl<M: ?Sized> Default for Stack<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M: ?Sized> fmt::Debug for Stack<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("layers", &self.0.len()).finish()
    }
}

/// A [`Middleware`] without its type.
pub(crate) trait Around: Send + Sync {
    fn enqueue(&self, task: &mut Outgoing<'_>) -> Result<(), InvalidInput>;
    fn run<'a>(&'a self, cx: &'a Context, next: Next<'a>) -> HandlerFuture<'a>;
}

impl<M: Middleware> Around for M {
    fn enqueue(&self, task: &mut Outgoing<'_>) -> Result<(), InvalidInput> {
        Middleware::enqueue(self, task)
    }

    fn run<'a>(&'a self, cx: &'a Context, next: Next<'a>) -> HandlerFuture<'a> {
        Box::pin(Middleware::run(self, cx, next))
    }
}
