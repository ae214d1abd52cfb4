use std::collections::BTreeMap;

use crate::core::version::split;
use crate::core::{InvalidInput, NewTask, Overrides, Policy, TaskId};
use crate::runtime::Runtime;
use crate::{Error, panics};

/// A task that is about to be enqueued, as a [`Middleware`](super::Middleware) sees it.
#[derive(Debug)]
pub struct Outgoing<'a> {
    name: &'a str,
    args: &'a str,
    options: &'a mut Overrides,
}

impl Outgoing<'_> {
    /// The name of the task type, whatever the version.
    pub fn name(&self) -> &str {
        split(self.name).0
    }

    /// The [version](crate::Task::VERSION) of its arguments.
    pub fn version(&self) -> u32 {
        split(self.name).1
    }

    /// The arguments as JSON text, before any [`Codec`](crate::codec::Codec).
    pub fn args(&self) -> &str {
        self.args
    }

    /// The task whose handler enqueues it, if one does.
    pub fn parent(&self) -> Option<TaskId> {
        self.options.parent
    }

    /// The context that it has so far: what the caller gave it, what it inherits from its parent, and what middleware further out
    /// has added.
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.options.headers
    }

    /// Adds a piece of context that the handler can read, and that its children inherit. It replaces one of the same name. The
    /// bound on all headers together is checked afterwards.
    pub fn header(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.options.headers.insert(name.into(), value.into());
        self
    }

    /// Adds a label.
    pub fn tag(&mut self, tag: impl Into<String>) -> &mut Self {
        self.options.tags.push(tag.into());
        self
    }
}

impl Runtime {
    /// Makes a task that is to be kept: what middleware adds, what routes, its type and this enqueue say, its arguments as they are stored.
    pub(crate) fn new_task(
        &self,
        name: &str,
        policy: &Policy,
        args: String,
        mut over: Overrides,
    ) -> Result<NewTask, InvalidInput> {
        self.pass_outward(name, &args, &mut over)?;
        self.routes.apply(name, &args, policy, &mut over);
        let mut task = NewTask::resolve(name, policy, args, over, self.env.task_id(), &self.limits)?;
        self.encode_args(&mut task)?;
        Ok(task)
    }

    /// Lets middleware add to a task.
    pub(crate) fn pass_outward(&self, name: &str, args: &str, options: &mut Overrides) -> Result<(), InvalidInput> {
        if self.layers.middleware.is_empty() {
            return Ok(());
        }
        let pass = || {
            let mut task = Outgoing { name, args, options };
            self.layers.middleware.of(name).try_for_each(|middleware| middleware.enqueue(&mut task))
        };
        // A beat must outlive the application's code as a worker does.
        panics::catch(pass)
            .unwrap_or_else(|panicked| Err(InvalidInput::new("task", format!("a middleware {}", Error::from(panicked)))))
    }
}
