use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::read::{ReadError, Reader};
use crate::core::limits::PAGE_ITEMS_MAX;
use crate::error::ResultExt;
use crate::{Context, Error, Result};

/// The results of a group as an argument of a task, which reads them by pages: of groups of any size, in bounded memory. What
/// [`Step::pages`](super::Step::pages) gives; `Results<Option<T>>` of a group of which some may fail.
///
/// As JSON it is the name of the step, `{"step": "process"}`, and is about the workflow of the task that has it.
///
/// ```
/// use gristmill::workflow::Results;
/// use gristmill::{Context, Result, task};
///
/// #[task(name = "merge")]
/// async fn merge(cx: &Context, parts: Results<u64>) -> Result<u64> {
///     let (mut sum, mut pages) = (0, parts.pages(cx));
///     while let Some(page) = pages.next().await? {
///         sum += page.iter().sum::<u64>();
///     }
///     Ok(sum)
/// }
/// ```
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Results<T> {
    step: String,
    #[serde(skip)]
    gives: PhantomData<fn() -> T>,
}

impl<T> Results<T> {
    /// Those of a step.
    pub fn of(step: impl Into<String>) -> Self {
        Self { step: step.into(), gives: PhantomData }
    }

    /// The step.
    pub fn step(&self) -> &str {
        &self.step
    }
}

impl<T: DeserializeOwned> Results<T> {
    /// Its pages, from the first one on.
    pub fn pages<'a, S>(&'a self, cx: &'a Context<S>) -> Pages<'a, T> {
        Pages { step: &self.step, attempt: cx.inner(), kind: None, after: None, is_over: false, gives: PhantomData }
    }
}

/// The pages of [`Results`].
pub struct Pages<'a, T> {
    step: &'a str,
    attempt: &'a crate::attempt::Attempt,
    /// The task type of the step, once that was looked up.
    kind: Option<String>,
    after: Option<u32>,
    is_over: bool,
    gives: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Pages<'_, T> {
    /// The next page in the order of the group's tasks: up to 1,000 results that have about a mebibyte together. `None` after the last
    /// one.
    ///
    /// # Errors
    /// If the task is in no workflow, or in one without that step; if a result is no `T` or can't be decoded, for good; if the store can't
    /// be read.
    ///
    /// # Cancel safety
    /// Nothing is lost; call it again.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>> {
        if self.is_over {
            return Ok(None);
        }
        let Some(of) = &self.attempt.meta.member else {
            return Err(Error::fail(format!("the results of `{}` can be read only by a task of its workflow", self.step)));
        };
        let ground = &self.attempt.ground;
        let reader = Reader { source: &*ground.source, runtime: self.attempt.runtime(), workflow: of.workflow };
        let kind = match &self.kind {
            Some(kind) => kind,
            None => {
                let record = ground.store()?.workflow(of.workflow).await?;
                let step = record.and_then(|record| record.steps.into_iter().find(|step| step.spec.name == self.step));
                let missing = || Error::fail(format!("the workflow {} has no step `{}`", of.workflow, self.step));
                self.kind.insert(step.ok_or_else(missing)?.spec.kind)
            }
        };
        let page = reader.page(self.step, self.after, PAGE_ITEMS_MAX).await?;
        let Some(last) = page.last() else {
            self.is_over = true;
            return Ok(None);
        };
        let last = last.place;
        let mut members = VecDeque::from(page);
        let mut results = Vec::with_capacity(members.len());
        while let Some(member) = members.pop_front() {
            let place = member.place;
            let value =
                reader.result(kind, member, &mut usize::MAX.clone()).map_err(|error: ReadError| error.into_error(self.step))?;
            let unfit = |error| format!("the result {place} of the step `{}` is not what was expected: {error}", self.step);
            results.push(serde_json::from_value(value).map_err(unfit).or_fail()?);
        }
        self.after = Some(last);
        Ok(Some(results))
    }
}

impl<T> JsonSchema for Results<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Results".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "The results of a step of the task's workflow",
            "properties": { "step": { "type": "string" } },
            "required": ["step"],
        })
    }
}

impl<T> Clone for Results<T> {
    fn clone(&self) -> Self {
        Self::of(self.step.clone())
    }
}

impl<T> PartialEq for Results<T> {
    fn eq(&self, other: &Self) -> bool {
        self.step == other.step
    }
}

impl<T> Eq for Results<T> {}

impl<T> fmt::Debug for Results<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Results({})", self.step)
    }
}

impl<T> fmt::Debug for Pages<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("step", &self.step).field("after", &self.after).finish_non_exhaustive()
    }
}
