use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use super::nested::{self, Around, NESTED};
use super::{FORM_BYTES_MAX, FORM_MEMBERS_MAX, Form, FormError, MemberDraft, Mistakes, Place, below, check, definition};
use crate::core::concurrency::Concurrency;
use crate::core::workflow::{Draft, Needs, Reference, ReferenceError, Role, StepDraft, Tolerance, reference_places};
use crate::core::{Limits, NewTask, Overrides, Policy, TaskId, parse_duration};
use crate::twins;
use crate::written::{self, Entries, OPTIONS, read_option, said_twice, unknown};

/// Options that keep a task from being made.
const KEYS: [&str; 2] = ["unique", "debounce"];
const NO_KEY: &str =
    "is for tasks that are enqueued by themselves: a step that is not made would never end. The workflow may have a `key`";

const FORM: [&str; 7] = ["name", "key", "tags", "retention", "deadline", "options", "steps"];
const STEP: [&str; 7] = ["task", "workflow", "args", "each", "after", "may_fail", "undo"];
/// What undoes a step or handles an end has these, and options.
const PART: [&str; 3] = ["task", "workflow", "args"];
/// What runs at an end, of a step or of all.
const HANDLERS: [(&str, Needs); 3] = [("on_success", Needs::Success), ("on_failure", Needs::Failure), ("always", Needs::End)];

pub(super) fn read(text: &str) -> Result<Form, FormError> {
    if text.len() > FORM_BYTES_MAX {
        return Err(FormError::one("", format!("is {} bytes long; at most {FORM_BYTES_MAX} are read", text.len())));
    }
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| FormError::one("", format!("is not JSON: {error}")))?;
    read_within(whole, Around::Nothing).0
}

/// Reads a form within another one, and what it takes of that.
pub(super) fn read_within(whole: &RawValue, around: Around) -> (Result<Form, FormError>, Vec<Reference>) {
    let mut reader = Reader { around, ..Reader::default() };
    let mut draft = reader.whole(whole).unwrap_or_default();
    let Reader { mut mistakes, mut places, taken, .. } = reader;
    if mistakes.0.is_empty() {
        check::graph(&mut draft, &mut places, &mut mistakes);
    }
    let read = mistakes.none_or_error();
    (read.map(|()| Form { draft, places, definition: definition::of(whole.get()), force: false }), taken)
}

#[derive(Default)]
struct Reader<'a> {
    mistakes: Mistakes,
    steps: Vec<StepDraft<MemberDraft>>,
    places: Vec<Place>,
    /// How many members groups have so far.
    members: usize,
    around: Around,
    /// The names of its steps, if there is something around it.
    own: BTreeSet<String>,
    /// What it takes of that.
    taken: Vec<Reference>,
    /// The options of every step, and those of the steps that wait for nothing besides.
    every: Vec<(String, &'a RawValue)>,
    first: Vec<(String, &'a RawValue)>,
}

/// What a step has, and whatever stands in its place.
#[derive(Default)]
struct Body<'a> {
    kind: String,
    args: Option<&'a RawValue>,
    /// The form of a workflow that stands for its task.
    form: Option<&'a RawValue>,
    options: Overrides,
    /// What has another meaning in each place.
    rest: Vec<(String, &'a RawValue)>,
}

impl<'a> Reader<'a> {
    fn whole(&mut self, whole: &'a RawValue) -> Option<Draft<MemberDraft>> {
        let entries = self.object("", whole)?;
        let known = || FORM.into_iter().chain(HANDLERS.map(|(name, _)| name));
        let mut draft = Draft::default();
        // Before the steps, wherever they stand.
        if let Some(options) = entries.get("options") {
            self.options(options);
        }
        for (key, value) in entries.iter() {
            let place = below("", key);
            match key {
                "name" => draft.name = self.value(&place, value).unwrap_or_default(),
                "key" => draft.key = self.value(&place, value).unwrap_or_default(),
                "tags" => draft.tags = self.value::<Option<_>>(&place, value).flatten().unwrap_or_default(),
                "retention" => draft.retention = self.value::<Option<_>>(&place, value).flatten().unwrap_or_default(),
                "deadline" => draft.deadline = self.deadline(&place, value),
                "options" => {}
                "steps" => self.all_steps(&place, value),
                _ => match HANDLERS.iter().find(|(name, _)| *name == key) {
                    Some((_, needs)) => self.part(key, &place, value, |step| step.role = Role::Handler(*needs)),
                    None => self.mistakes.add(place, unknown(key, known())),
                },
            }
        }
        for key in ["name", "steps"] {
            if entries.get(key).is_none() {
                self.mistakes.add(below("", key), "is missing");
            }
        }
        draft.steps = std::mem::take(&mut self.steps);
        Some(draft)
    }

    /// `{"first": {...}, "every": {...}}`.
    fn options(&mut self, value: &'a RawValue) {
        let Some(entries) = self.object("/options", value) else { return };
        for (scope, value) in entries.iter() {
            let place = below("/options", scope);
            if !["first", "every"].contains(&scope) {
                self.mistakes.add(place, format!("{}: there are `first` and `every`", unknown(scope, ["first", "every"])));
                continue;
            }
            let Some(entries) = self.object(&place, value) else { continue };
            let (mut over, before) = (Overrides::default(), self.mistakes.0.len());
            for (key, value) in entries.iter() {
                let place = below(&place, key);
                match read_option(&mut over, key, value) {
                    Ok(true) if KEYS.contains(&key) => self.mistakes.add(place, NO_KEY),
                    Ok(true) if key != "id" => {}
                    Ok(true) => self.mistakes.add(place, "is of one task alone"),
                    Ok(false) => self.mistakes.add(place, unknown(key, OPTIONS)),
                    Err(why) => self.mistakes.add(place, why),
                }
            }
            self.range(&place, &entries, &over);
            // What is wrong is told here, and not at every step.
            if self.mistakes.0.len() == before {
                let all = entries.iter().map(|(key, value)| (key.to_owned(), value)).collect();
                *(if scope == "first" { &mut self.first } else { &mut self.every }) = all;
            }
        }
    }

    fn all_steps(&mut self, place: &str, value: &RawValue) {
        let Some(entries) = self.object(place, value) else { return };
        if !matches!(self.around, Around::Nothing) {
            self.own = entries.iter().map(|(name, _)| name.to_owned()).collect();
        }
        for (name, value) in entries.iter() {
            if self.mistakes.are_enough() {
                return;
            }
            self.step(name, &below(place, name), value);
        }
    }

    fn step(&mut self, name: &str, place: &str, value: &RawValue) {
        let Some(entries) = self.object(place, value) else { return };
        let after = entries.get("after").filter(|after| after.get() != "null");
        let (after, after_at) = after.map(|after| self.after(&below(place, "after"), after)).unwrap_or_default();
        let known: Vec<_> = STEP.into_iter().chain(HANDLERS.map(|(name, _)| name)).chain(OPTIONS).collect();
        let Some(mut body) = self.body(place, &entries, after.is_empty(), &known) else { return };
        let (mut each, mut tolerance, mut parts) = (None, Tolerance::NONE, Vec::new());
        for (key, value) in std::mem::take(&mut body.rest) {
            match key.as_str() {
                "each" => each = Some(value),
                "after" => {}
                "may_fail" => tolerance = self.may_fail(&below(place, &key), value).unwrap_or(tolerance),
                _ => parts.push((key, value)),
            }
        }
        if each.is_some() && body.args.is_some() {
            self.mistakes.add(below(place, "each"), "stands beside `args`; a step has one of them");
        }
        if each.is_some() && body.options.id.is_some() {
            self.mistakes.add(below(place, "id"), "is of one task alone, and a group has as many as it has members");
        }
        let mut step = match each {
            Some(each) => {
                let members = self.each(&below(place, "each"), each, &body.options);
                StepDraft::group(name, body.kind, members)
            }
            None => self.single(name, place, body),
        };
        (step.after, step.tolerance) = (after, tolerance);
        self.push(step, Place { at: place.to_owned(), after: after_at });
        for (key, value) in parts {
            let (part_name, place) = (format!("{name}.{key}"), below(place, &key));
            match HANDLERS.iter().find(|(handler, _)| *handler == key) {
                Some((_, needs)) => self.part(&part_name, &place, value, |step| step.after.push((name.to_owned(), *needs))),
                None => self.part(&part_name, &place, value, |step| step.undoes = Some(name.to_owned())),
            }
        }
    }

    /// What undoes a step, or runs at an end.
    fn part(&mut self, name: &str, place: &str, value: &RawValue, set: impl FnOnce(&mut StepDraft<MemberDraft>)) {
        let Some(entries) = self.object(place, value) else { return };
        let known: Vec<_> = PART.into_iter().chain(OPTIONS).collect();
        let Some(body) = self.body(place, &entries, false, &known) else { return };
        let mut step = self.single(name, place, body);
        set(&mut step);
        let after = vec![String::new(); step.after.len()];
        self.push(step, Place { at: place.to_owned(), after });
    }

    fn push(&mut self, mut step: StepDraft<MemberDraft>, place: Place) {
        let mut refers = HashSet::new();
        for member in &mut step.members {
            nested::take(&mut member.args, &self.own, &self.around, &mut self.taken);
            for (reference, _) in reference_places(&member.args).unwrap_or_default() {
                // Which part is meant has no say in the graph, and each of many members may mean another.
                let whole = Reference { at: String::new(), ..reference };
                if refers.insert(whole.clone()) {
                    step.refers.push(whole);
                }
            }
        }
        self.steps.push(step);
        self.places.push(place);
    }

    /// A step with one member.
    fn single(&mut self, name: &str, place: &str, body: Body<'_>) -> StepDraft<MemberDraft> {
        let args = match body.args {
            _ if body.kind == NESTED && body.form.is_some() => {
                let depth = if let Around::Form(depth) = self.around { depth } else { 0 };
                body.form.map(|form| nested::args(&below(place, "workflow"), form, depth, &mut self.mistakes))
            }
            Some(args) => self.args(&below(place, "args"), args),
            None => Some(Value::Object(serde_json::Map::new())),
        };
        let member = MemberDraft { args: args.unwrap_or_default(), options: body.options, ..MemberDraft::default() };
        StepDraft::one(name, body.kind, member)
    }

    /// Type, arguments and options; whatever else is known there is for the caller.
    fn body<'b>(&mut self, place: &str, entries: &Entries<'b>, is_first: bool, known: &[&str]) -> Option<Body<'b>> {
        let mut body = Body::default();
        for (key, value) in self.every.iter().chain(self.first.iter().filter(|_| is_first)) {
            // What is wrong in it was told where it stands.
            let _ = read_option(&mut body.options, key, value);
        }
        for (key, value) in entries.iter() {
            let at = below(place, key);
            match key {
                "task" => body.kind = self.value(&at, value).unwrap_or_default(),
                "workflow" => (body.kind, body.form) = (NESTED.to_owned(), Some(value)),
                "args" => body.args = Some(value).filter(|args| args.get() != "null"),
                _ if KEYS.contains(&key) && value.get() != "null" => self.mistakes.add(at, NO_KEY),
                _ if OPTIONS.contains(&key) => {
                    if let Err(why) = read_option(&mut body.options, key, value) {
                        self.mistakes.add(at, why);
                    }
                }
                _ if !known.contains(&key) => self.mistakes.add(at, unknown(key, known.iter().copied())),
                _ if value.get() == "null" => {}
                _ => body.rest.push((key.to_owned(), value)),
            }
        }
        self.range(place, entries, &body.options);
        match (entries.get("task"), body.form) {
            (Some(_), None) => {}
            (None, None) => {
                self.mistakes.add(below(place, "task"), "is missing; it names the task type");
                return None;
            }
            (None, Some(_)) if entries.get("args").is_none() && entries.get("each").is_none() => {}
            (_, Some(_)) => {
                self.mistakes.add(below(place, "workflow"), "stands in the place of `task`, `args` and `each`");
                return None;
            }
        }
        Some(body)
    }

    /// Whether options are in their ranges, and go together.
    fn range(&mut self, place: &str, entries: &Entries<'_>, options: &Overrides) {
        if let Some([one, other]) = said_twice(entries) {
            self.mistakes.add(place, format!("has both `{one}` and `{other}`"));
        }
        let (policy, limits) = (Policy::default(), Limits::default());
        // Of any task: what it is for has no say in that.
        let rules: Vec<_> = [&options.concurrency, &options.sequence].into_iter().flatten().flatten().cloned().collect();
        if let Err(error) = Concurrency::check(&rules, options.rate.as_deref().unwrap_or_default()) {
            self.mistakes.add(below(place, "concurrency"), error.problem);
        }
        // Keys are made of arguments, of which nothing is known here.
        let options = Overrides { concurrency: None, sequence: None, rate: None, ..options.clone() };
        if let Err(error) = NewTask::resolve("task", &policy, "{}".to_owned(), options, TaskId::new(), &limits) {
            let name = match error.field.as_str() {
                "delay" => "in",
                "run_at" => "at",
                name => name,
            };
            self.mistakes.add(below(place, name), error.problem);
        }
    }

    /// What a step waits for: an array of names, or an object with what it needs of each.
    fn after(&mut self, place: &str, value: &RawValue) -> (Vec<(String, Needs)>, Vec<String>) {
        let (mut after, mut places) = (Vec::new(), Vec::new());
        match value.get().as_bytes().first() {
            Some(b'[') => {
                let names = self.value::<Vec<&RawValue>>(place, value).unwrap_or_default();
                for (nth, name) in names.into_iter().enumerate() {
                    if let Some(name) = self.value::<String>(&format!("{place}/{nth}"), name) {
                        after.push((name, Needs::Success));
                        places.push(format!("/after/{nth}"));
                    }
                }
            }
            Some(b'{') => {
                let Some(entries) = self.object(place, value) else { return (after, places) };
                for (name, needs) in entries.iter() {
                    if let Some(needs) = self.value(&below(place, name), needs) {
                        after.push((name.to_owned(), needs));
                        places.push(below("/after", name));
                    }
                }
            }
            _ => self.mistakes.add(
                place,
                "is neither an array of names of steps nor an object such as {\"NAME\": \"success\"}, with `failure` or `end` for another end",
            ),
        }
        (after, places)
    }

    fn may_fail(&mut self, place: &str, value: &RawValue) -> Option<Tolerance> {
        if let Ok(count) = written::read(value) {
            return Some(Tolerance::Count(count));
        }
        let share = written::read::<String>(value).ok().filter(|text| text.ends_with('%')).and_then(|text| text.parse().ok());
        if share.is_none() {
            self.mistakes.add(place, "is neither a number of members such as 3 nor a share of them such as \"20%\"");
        }
        share
    }

    /// How long the whole may take, such as `"2h"`.
    fn deadline(&mut self, place: &str, value: &RawValue) -> Option<Duration> {
        let text = self.value::<Option<String>>(place, value).flatten()?;
        let deadline = parse_duration(&text);
        deadline.map_err(|why| self.mistakes.add(place, why)).ok()
    }

    /// The members of a group, from their arguments.
    fn each(&mut self, place: &str, value: &RawValue, options: &Overrides) -> Vec<MemberDraft> {
        if !value.get().starts_with('[') {
            self.mistakes.add(place, "is no array; it has the arguments of each member, such as [{\"n\": 1}, {\"n\": 2}]");
            return Vec::new();
        }
        let items = self.value::<Vec<&RawValue>>(place, value).unwrap_or_default();
        self.members = self.members.saturating_add(items.len());
        if self.members > FORM_MEMBERS_MAX {
            let why = format!(
                "has more than {FORM_MEMBERS_MAX} members, with those of the groups before; a program can add more to an open group"
            );
            self.mistakes.add(place, why);
            return Vec::new();
        }
        let mut members = Vec::with_capacity(items.len());
        for (nth, item) in items.into_iter().enumerate() {
            if self.mistakes.are_enough() {
                break;
            }
            if let Some(args) = self.args(&format!("{place}/{nth}"), item) {
                members.push(MemberDraft { args, options: options.clone(), ..MemberDraft::default() });
            }
        }
        members
    }

    /// Arguments, in which references may stand.
    fn args(&mut self, place: &str, value: &RawValue) -> Option<Value> {
        if !value.get().starts_with('{') {
            self.mistakes.add(place, "is not a JSON object such as {\"name\": \"value\"}");
            return None;
        }
        if let Err(error) = twins::check(value.get()) {
            self.mistakes.add_args(place, &error);
            return None;
        }
        let args: Value = self.value(place, value)?;
        match reference_places(&args) {
            Ok(_) => Some(args),
            Err(ReferenceError::Form { place: inner, why }) => {
                let inner = if inner.starts_with('/') { inner.as_str() } else { "" };
                let form = "a reference is {\"$result\": \"STEP\"}, {\"$results\": \"STEP\"} or {\"$failure\": \"STEP\"}, each with \
                            \"at\": \"/POINTER\" if a part is meant";
                self.mistakes.add(format!("{place}{inner}"), format!("{why}; {form}"));
                None
            }
            Err(error) => {
                self.mistakes.add(place, error.to_string());
                None
            }
        }
    }

    /// The entries of an object, of which each key is there once.
    fn object<'b>(&mut self, place: &str, value: &'b RawValue) -> Option<Entries<'b>> {
        let text = value.get();
        if !text.starts_with('{') {
            self.mistakes.add(place, "is not a JSON object such as {\"name\": \"value\"}");
            return None;
        }
        match Entries::read(text) {
            Ok(entries) => {
                if let Some(twin) = entries.twin() {
                    self.mistakes.add(below(place, twin), "is there twice");
                }
                Some(entries)
            }
            Err(error) => {
                self.mistakes.add(place, format!("is not JSON: {error}"));
                None
            }
        }
    }

    fn value<'b, T: serde::Deserialize<'b>>(&mut self, place: &str, value: &'b RawValue) -> Option<T> {
        written::read(value).map_err(|why| self.mistakes.add(place, why)).ok()
    }
}
