use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::batch::{Alone, RunMany};
use crate::core::concurrency::{Concurrency, Rate};
use crate::core::unique::{Debounce, Unique};
use crate::core::{InvalidInput, KindSpec, Limits, Policy, ServedKind, limits};
use crate::handler::{Dynamic, Run};
use crate::near::nearest;
use crate::routing::Routes;
use crate::schema::Schema;
use crate::workflow;

/// The task types of an application: fixed at start, read by clients and workers.
#[derive(Default)]
pub(crate) struct Registry {
    kinds: HashMap<Arc<str>, Registered>,
}

pub(crate) struct Registered {
    pub(crate) spec: KindSpec,
    pub(crate) schema: Schema,
    pub(crate) run: Box<dyn Run>,
    /// The same for many tasks in one call, if the type has that.
    pub(crate) many: Option<Arc<dyn RunMany>>,
    /// Whether arguments are deserialized into a Rust type, which checks types and presence by itself.
    pub(crate) typed: bool,
    /// Whether its code is in another program, which has declared it: it is enqueued here and never served.
    borrowed: bool,
}

impl Registry {
    pub(crate) fn add(&mut self, spec: KindSpec, run: Box<dyn Run>, typed: bool) -> Result<(), RegisterError> {
        check_batch(&spec.name, &spec.policy, false)?;
        self.insert(spec, run, None, typed, false)
    }

    /// Adds a task type whose handler takes many tasks in one call.
    pub(crate) fn add_many(&mut self, spec: KindSpec, many: Arc<dyn RunMany>, typed: bool) -> Result<(), RegisterError> {
        check_batch(&spec.name, &spec.policy, true)?;
        self.insert(spec, Box::new(Alone(many.clone())), Some(many), typed, false)
    }

    /// Makes a task type known whose code is in another program, unless it is known: then nothing is new.
    pub(crate) fn borrow(&mut self, spec: KindSpec, run: Box<dyn Run>) -> Result<(), RegisterError> {
        if self.get(&spec.name).is_some() { Ok(()) } else { self.insert(spec, run, None, false, true) }
    }

    fn insert(
        &mut self,
        spec: KindSpec,
        run: Box<dyn Run>,
        many: Option<Arc<dyn RunMany>>,
        typed: bool,
        borrowed: bool,
    ) -> Result<(), RegisterError> {
        let name = spec.name.clone();
        let fail = |problem: String| RegisterError { name: name.clone(), problem };
        limits::check_name("name", &spec.name).map_err(|error| fail(error.to_string()))?;
        spec.policy.check().map_err(|error| fail(error.to_string()))?;
        check_rules(&spec.policy, &spec.fields).map_err(&fail)?;
        let schema = Schema::compile(&spec.schema).map_err(|error| fail(format!("its JSON Schema is wrong: {error}")))?;
        if self.get(&name).is_some_and(|known| !known.borrowed) {
            return Err(fail("two task types have this name; give each its own".to_owned()));
        }
        self.kinds.insert(name.as_str().into(), Registered { spec, schema, run, many, typed, borrowed });
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Registered> {
        self.kinds.get(name)
    }

    /// Adds what every program has that runs tasks of a store.
    pub(crate) fn add_built_in(&mut self) {
        let runs = self.kinds.values().any(|kind| !kind.borrowed);
        if runs && self.get(workflow::NESTED).is_none_or(|known| known.borrowed) {
            let added = self.add(workflow::built_in(), Box::new(Dynamic(workflow::OfForm)), false);
            debug_assert!(added.is_ok(), "{added:?}");
        }
    }

    /// Takes the place of the options of a task type.
    pub(crate) fn set_policy(&mut self, name: &str, policy: Policy) -> Result<(), RegisterError> {
        let fail = |problem: String| RegisterError { name: name.to_owned(), problem };
        policy.check().map_err(|error| fail(error.to_string()))?;
        let Some(kind) = self.kinds.get_mut(name) else {
            return Err(fail("its options are given, but this program does not have it; register it first".to_owned()));
        };
        if !kind.borrowed {
            check_batch(name, &policy, kind.many.is_some())?;
        }
        check_rules(&policy, &kind.spec.fields).map_err(fail)?;
        kind.spec.policy = policy;
        Ok(())
    }

    /// Lets the program's own task types declare what routes say of all of their tasks.
    pub(crate) fn declare_by(&mut self, routes: &Routes) {
        self.kinds.values_mut().filter(|kind| !kind.borrowed).for_each(|kind| routes.declare(&mut kind.spec));
    }

    /// What the program's own task types declare, by name.
    pub(crate) fn specs(&self) -> Vec<KindSpec> {
        let mut specs: Vec<_> = self.kinds.values().filter(|kind| !kind.borrowed).map(|kind| kind.spec.clone()).collect();
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        specs
    }

    /// Whether there are task types, and none of them is the program's own.
    pub(crate) fn only_borrows(&self) -> bool {
        !self.kinds.is_empty() && self.kinds.values().all(|kind| kind.borrowed)
    }

    /// What a worker says that it serves, by name.
    pub(crate) fn served(&self) -> Vec<ServedKind> {
        self.specs().iter().map(ServedKind::from).collect()
    }

    /// The most tasks that any handler of the program takes in one call; zero if none takes more than one.
    pub(crate) fn largest_batch(&self) -> usize {
        let own = self.kinds.values().filter(|kind| kind.many.is_some());
        own.filter_map(|kind| kind.spec.policy.batch.as_ref()).map(|batching| batching.size).max().unwrap_or_default()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(|kind| &**kind)
    }

    /// Names that look like `name`, best first, for the hint of an error.
    pub(crate) fn near(&self, name: &str) -> Vec<String> {
        near(name, self.names())
    }
}

impl Registered {
    /// Checks the arguments of a caller whose types nobody checked.
    pub(crate) fn check_args(&self, args: &str, max: &Limits) -> Result<(), InvalidInput> {
        self.schema.check(&object(args, max)?)
    }

    /// The same of arguments that were kept: the error is kept, too, and says nothing that only they say.
    pub(crate) fn check_kept(&self, args: &str, max: &Limits) -> Result<(), InvalidInput> {
        self.schema.check_kept(&object(args, max)?)
    }
}

/// Reads arguments, which are an object of a bounded size and depth.
pub(crate) fn object(args: &str, max: &Limits) -> Result<Value, InvalidInput> {
    if args.len() > max.args_bytes {
        return Err(InvalidInput::new(
            "args",
            format!("are {} bytes of JSON; at most {} are allowed", args.len(), max.args_bytes),
        ));
    }
    limits::check_depth("args", args)?;
    let value: Value = serde_json::from_str(args).map_err(|error| InvalidInput::new("args", format!("are not JSON: {error}")))?;
    if !value.is_object() {
        return Err(InvalidInput::new("args", "are not a JSON object such as {\"name\": \"value\"}"));
    }
    Ok(value)
}

/// Checks that a type says how many tasks it takes at once, if its code takes many, and only then.
fn check_batch(name: &str, policy: &Policy, takes_many: bool) -> Result<(), RegisterError> {
    let problem = match (takes_many, &policy.batch) {
        (true, None) => "its handler takes many tasks at once, and its options do not say how many: give it `batch`",
        (false, Some(_)) => {
            "`batch` is said for it, and its handler takes one task at a time; one that takes many is added with `App::register_batch`"
        }
        _ => return Ok(()),
    };
    Err(RegisterError { name: name.to_owned(), problem: problem.to_owned() })
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds.keys()).finish()
    }
}

/// Why a task type could not be registered.
#[derive(Clone, Debug, thiserror::Error)]
#[error("task type `{name}`: {problem}")]
pub struct RegisterError {
    /// The task type.
    pub name: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// Up to three of `names` that are close to `name` or have it in them, best first.
pub(crate) fn near<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: Vec<_> = names.collect();
    let mut found = nearest(name, names.iter().copied());
    let mut longer: Vec<_> = names.into_iter().filter(|known| name.len() > 2 && known.contains(name)).collect();
    longer.sort_unstable();
    longer.dedup();
    longer.retain(|known| !found.contains(known));
    found.extend(longer);
    found.into_iter().take(3).map(str::to_owned).collect()
}

/// Whether the arguments are there that a type's limits take, if it is known which it has: else each of its tasks would be refused.
fn check_rules(policy: &Policy, arguments: &[String]) -> Result<(), String> {
    let fields = policy.concurrency.iter().flat_map(Concurrency::fields).chain(policy.unique.iter().flat_map(Unique::fields));
    let fields = fields.chain(policy.debounce.iter().flat_map(Debounce::fields)).chain(policy.rate.iter().flat_map(Rate::fields));
    let missing = |field: &&str| !arguments.iter().any(|argument| field.split('.').next() == Some(argument));
    match fields.filter(|_| !arguments.is_empty()).find(missing) {
        Some(field) => Err(format!(
            "its limit or its own key takes the argument `{field}`, which it has not; it has {}",
            arguments.join(", ")
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let names = ["email.send", "email.receive", "report.build"];
        assert_eq!(near("email.sned", names.into_iter()), ["email.send"]);
        assert_eq!(near("report", names.into_iter()), ["report.build"]);
        assert!(near("zzz", names.into_iter()).is_empty() && near("%", ["up"].into_iter()).is_empty());
    }
}
