use std::collections::BTreeSet;

use super::form::{Form, NESTED};
use crate::core::{KindInfo, KindSpec, Policy};
use crate::handler::{Handler, HandlerFuture};
use crate::{Context, Error};

/// The task type `gristmill.workflow`, which every worker has: a workflow in its JSON form, whose end is the task's. So one is a step of another, and is
/// started with an enqueue by whoever can do that, SQL included.
pub(crate) fn kind() -> KindSpec {
    KindSpec {
        name: NESTED.to_owned(),
        schema: serde_json::json!({ "type": "object", "description": "A workflow in its JSON form" }),
        fields: Vec::new(),
        policy: Policy::default(),
    }
}

/// Its code.
pub(crate) struct OfForm;

impl Handler for OfForm {
    fn run<'a>(&'a self, cx: &'a Context, args: &'a str) -> HandlerFuture<'a> {
        Box::pin(async move {
            let mut form = Form::of_task(args).map_err(Error::fail)?;
            let attempt = cx.inner();
            let registry = &attempt.runtime().registry;
            let strange: BTreeSet<String> =
                form.kinds().into_iter().filter(|kind| registry.get(kind).is_none()).map(str::to_owned).collect();
            if !strange.is_empty() {
                // Other programs run those; their options are what they have declared.
                for kind in attempt.ground.store()?.kinds().await? {
                    if let KindInfo { name, policy: Some(policy), .. } = kind
                        && strange.contains(&name)
                    {
                        form.know(&name, &policy);
                    }
                }
            }
            attempt.become_form(form).await
        })
    }
}
