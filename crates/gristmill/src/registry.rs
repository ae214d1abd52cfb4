use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::batch::{Alone, RunMany};
use crate::core::concurrency::{Concurrency, Rate};
use crate::core::unique::{Debounce, Unique};
use crate::core::version::{self, stored_name};
use crate::core::{FailureReason, InvalidInput, KindSpec, Limits, Policy, ServedKind, Store, StoreError, limits};
use crate::error::What;
use crate::handler::{Dynamic, Run};
use crate::near::nearest;
use crate::older::{self, Older};
use crate::routing::Routes;
use crate::schema::Schema;
use crate::{Error, Task, workflow};

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
    /// Whether it is one of the versions of a task type that has several.
    versioned: bool,
    /// How its arguments are upgraded, if it is of an older version than its code; `schema` is that of the code then.
    older: Option<Older>,
}

/// The code of a task type.
pub(crate) struct Code {
    run: Box<dyn Run>,
    many: Option<Arc<dyn RunMany>>,
}

impl Code {
    /// That of one task at a time.
    pub(crate) fn one(run: impl Run) -> Self {
        Self { run: Box::new(run), many: None }
    }

    /// That of many tasks in one call.
    pub(crate) fn many(many: Arc<dyn RunMany>) -> Self {
        Self { run: Box::new(Alone(many.clone())), many: Some(many) }
    }
}

impl Registry {
    /// Adds a task type that is known only at run time.
    pub(crate) fn add(&mut self, spec: KindSpec, code: Code) -> Result<(), RegisterError> {
        check_batch(&spec.name, &spec.policy, code.many.is_some())?;
        self.insert(spec, code, false, false, false)
    }

    /// Adds a task type of Rust, under the names of all versions that it runs.
    pub(crate) fn add_task<T: Task>(&mut self, code: impl Fn() -> Code) -> Result<(), RegisterError> {
        check_version::<T>()?;
        let (spec, now) = (T::kind(), code());
        check_batch(&spec.name, &spec.policy, now.many.is_some())?;
        for older in Older::all::<T>() {
            let name = stored_name(T::NAME, older.from).into_owned();
            self.insert(KindSpec { name: name.clone(), ..spec.clone() }, code(), true, false, true)?;
            if let Some(kind) = self.kinds.get_mut(&*name) {
                kind.spec.schema = older.schema();
                kind.spec.fields.clear();
                kind.older = Some(older);
            }
        }
        self.insert(spec, now, true, false, T::VERSION > 1)
    }

    /// Makes a task type known whose code is in another program, unless it is known: then nothing is new.
    pub(crate) fn borrow(&mut self, spec: KindSpec, code: Code) -> Result<(), RegisterError> {
        if self.get(&spec.name).is_some() { Ok(()) } else { self.insert(spec, code, false, true, false) }
    }

    /// The same of a task type of Rust.
    pub(crate) fn borrow_task<T: Task>(&mut self, code: Code) -> Result<(), RegisterError> {
        check_version::<T>()?;
        self.borrow(T::kind(), code)
    }

    fn insert(&mut self, spec: KindSpec, code: Code, typed: bool, borrowed: bool, versioned: bool) -> Result<(), RegisterError> {
        let name = spec.name.clone();
        let fail = |problem: String| RegisterError { name: name.clone(), problem };
        limits::check_name("name", &spec.name).map_err(|error| fail(error.to_string()))?;
        spec.policy.check().map_err(|error| fail(error.to_string()))?;
        check_rules(&spec.policy, &spec.fields).map_err(&fail)?;
        let schema = Schema::compile(&spec.schema).map_err(|error| fail(format!("its JSON Schema is wrong: {error}")))?;
        match self.get(&name).filter(|known| !known.borrowed) {
            Some(known) if versioned || known.versioned => {
                let (plain, version) = version::split(&name);
                return Err(fail(format!(
                    "version {version} of `{plain}` has this name, and so has another task type of this program: give that one \
                     another, or, if it is the code of that version, leave it to it by `upgrade = none`"
                )));
            }
            Some(_) => return Err(fail("two task types have this name; give each its own".to_owned())),
            None => {}
        }
        let Code { run, many } = code;
        let kind = Registered { spec, schema, run, many, typed, borrowed, versioned, older: None };
        self.kinds.insert(name.as_str().into(), kind);
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Registered> {
        self.kinds.get(name)
    }

    /// Adds what every program has that runs tasks of a store.
    pub(crate) fn add_built_in(&mut self) {
        let runs = self.kinds.values().any(|kind| !kind.borrowed);
        if runs && self.get(workflow::NESTED).is_none_or(|known| known.borrowed) {
            let added = self.add(workflow::built_in(), Code::one(Dynamic(workflow::OfForm)));
            debug_assert!(added.is_ok(), "{added:?}");
        }
    }

    /// Takes the place of the options of a task type, in all of its versions.
    pub(crate) fn set_policy(&mut self, name: &str, policy: Policy) -> Result<(), RegisterError> {
        let fail = |problem: String| RegisterError { name: name.to_owned(), problem };
        policy.check().map_err(|error| fail(error.to_string()))?;
        let is_meant =
            |kind: &&mut Registered| kind.spec.name == name || kind.versioned && version::split(&kind.spec.name).0 == name;
        let mut is_there = false;
        for kind in self.kinds.values_mut().filter(is_meant) {
            if !kind.borrowed {
                check_batch(name, &policy, kind.many.is_some())?;
            }
            check_rules(&policy, &kind.spec.fields).map_err(fail)?;
            kind.spec.policy = policy.clone();
            is_there = true;
        }
        let missing = "its options are given, but this program does not have it; register it first";
        if is_there { Ok(()) } else { Err(fail(missing.to_owned())) }
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

    /// The same for this store: what is said there of the arguments of older versions stays, as their own programs said it.
    pub(crate) async fn specs_for(&self, store: &dyn Store) -> Result<Vec<KindSpec>, StoreError> {
        let mut specs = self.specs();
        let is_older = |spec: &&mut KindSpec| self.get(&spec.name).is_some_and(Registered::is_older);
        if specs.iter_mut().any(|spec| is_older(&spec)) {
            let known = store.kinds().await?;
            for spec in specs.iter_mut().filter(is_older) {
                let said = known.iter().find(|kind| kind.name == spec.name).and_then(|kind| kind.schema.as_ref());
                said.into_iter().for_each(|schema| spec.schema.clone_from(schema));
            }
        }
        Ok(specs)
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
    /// Whether it is of an older version than its code.
    pub(crate) fn is_older(&self) -> bool {
        self.older.is_some()
    }

    /// Checks the arguments of a caller whose types nobody checked. Of those of an older version it is seen when they are upgraded
    /// whether they fit.
    pub(crate) fn check_args(&self, args: &str, max: &Limits) -> Result<(), InvalidInput> {
        let args = object(args, max)?;
        if self.is_older() { Ok(()) } else { self.schema.check(&args) }
    }

    /// The same of arguments in which something else will stand at these places.
    pub(crate) fn check_around(&self, args: &Value, open: &[String]) -> Result<(), InvalidInput> {
        if self.is_older() { Ok(()) } else { self.schema.check_around(args, open) }
    }

    /// Arguments as those of the version of the code.
    pub(crate) fn upgraded(&self, args: String) -> Result<String, Error> {
        match &self.older {
            Some(older) => older.upgrade(&args),
            None => Ok(args),
        }
    }

    /// The same, checked, as a handler gets them.
    pub(crate) fn whole(&self, args: String, max: &Limits) -> Result<String, Error> {
        let args = self.upgraded(args)?;
        if !self.typed || self.schema.is_demanding {
            let invalid = |invalid| Error::new(What::Fail, FailureReason::InvalidArgs, invalid);
            self.check_kept(&args, max).map_err(invalid)?;
        }
        Ok(args)
    }

    /// The same of arguments that were kept: the error is kept, too, and says nothing that only they say.
    fn check_kept(&self, args: &str, max: &Limits) -> Result<(), InvalidInput> {
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

fn check_version<T: Task>() -> Result<(), RegisterError> {
    older::mistake::<T>().map_or(Ok(()), |problem| Err(RegisterError { name: T::NAME.to_owned(), problem }))
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
