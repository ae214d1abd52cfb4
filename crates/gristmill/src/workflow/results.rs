use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::read::{ReadError, Reader};
use crate::attempt::Attempt;
use crate::core::limits::PAGE_ITEMS_MAX;
use crate::core::workflow::StepRecord;
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
        Pages { step: &self.step, attempt: cx.inner(), record: None, after: None, is_over: false, gives: PhantomData }
    }
}

/// The pages of [`Results`].
pub struct Pages<'a, T> {
    step: &'a str,
    attempt: &'a Attempt,
    /// The step, once that was looked up.
    record: Option<StepRecord>,
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
        let step = match &self.record {
            Some(step) => step,
            None => {
                let record = ground.store()?.workflow(of.workflow).await?;
                let step = record.and_then(|record| record.steps.into_iter().find(|step| step.spec.name == self.step));
                let missing = || Error::fail(format!("the workflow {} has no step `{}`", of.workflow, self.step));
                self.record.insert(step.ok_or_else(missing)?)
            }
        };
        let page = reader.page(self.step, self.after, PAGE_ITEMS_MAX).await?;
        let mut place = self.after.map_or(0, |after| after.saturating_add(1));
        if page.is_empty() && place >= step.row.tally.members {
            self.is_over = true;
            return Ok(None);
        }
        if page.is_empty() {
            return Err(ReadError::Gone.into_error(self.step));
        }
        let mut results = Vec::with_capacity(page.len());
        for member in page {
            // Without one that is gone, what is left would pass for all.
            let value = if member.place == place { reader.plain(&step.spec.kind, member) } else { Err(ReadError::Gone) };
            let value = value.map_err(|error| error.into_error(self.step))?;
            results.push(
                value
                    .map_or_else(|| serde_json::from_str("null"), |text| serde_json::from_str(&text))
                    .map_err(|error| unfit(self.attempt, self.step, place, &error))?,
            );
            place = place.saturating_add(1);
        }
        self.after = place.checked_sub(1);
        Ok(Some(results))
    }
}

/// The failure of a result that is of another type. It is kept and shown to people who may not see results, so it has no value in it;
/// serde's own text, which repeats values, goes to the log.
#[cold]
fn unfit(attempt: &Attempt, step: &str, place: u32, error: &serde_json::Error) -> Error {
    tracing::error!(task = %attempt.id, kind = %attempt.kind, step, place, error = %error, "a result is not what was expected");
    let (line, column) = (error.line(), error.column());
    Error::fail(format!(
        "the result {place} of the step `{step}` is not what was expected (line {line}, column {column} of its JSON)"
    ))
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
