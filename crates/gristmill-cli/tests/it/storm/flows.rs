//! Workflows in a storm: groups with what joins them and what follows, some of which are paused or cancelled on the way.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::crew::{PACE, Shared};
use super::journal::Event;
use super::plan::Dice;
use crate::sandbox::Sandbox;

/// Members of each group, each of which says 1.
const MEMBERS: usize = 4;
const STEPS: [&str; 3] = ["group", "join", "behind"];
/// So many workflows go on at once.
const AT_ONCE: usize = 3;

/// What callers were told of their workflows, by the keys that they and their tasks have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flows {
    /// Those that somebody asked for, whatever the answer was.
    asked: BTreeSet<String>,
    /// The ids of those that were acknowledged.
    started: BTreeMap<String, String>,
    /// Those that an operator cancelled, or may have.
    cancelled: BTreeSet<String>,
}

impl Flows {
    /// Whether a task that says that it is of this workflow can be.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.asked.contains(key)
    }
}

/// A group, what joins it, and what comes after that.
fn definition(key: &str) -> String {
    let each: Vec<Value> = (0..MEMBERS).map(|n| json!({ "flow": key, "n": n })).collect();
    let join = json!({ "flow": key, "results": { "$results": "group" } });
    let steps = json!({
        "group": { "task": "part", "each": each },
        "join": { "task": "join", "after": ["group"], "args": join },
        "behind": { "task": "part", "after": ["join"], "args": { "flow": key } },
    });
    json!({ "name": "flow", "steps": steps }).to_string()
}

impl Shared<'_> {
    /// Starts workflows, and waits until they have ended.
    pub(crate) fn start_flows(&self, mut dice: Dice) {
        while !self.is_over() {
            let mut open: Vec<String> = (0..AT_ONCE).filter_map(|_| self.start_flow()).collect();
            while !open.is_empty() && !self.is_over() {
                self.disturb(&mut dice, &open);
                open.retain(|id| {
                    let run = serde_json::from_str(&self.sandbox.run(&["workflows", "show", id, "-o", "json"]).stdout);
                    !run.is_ok_and(|run: Value| run["finished_at"].is_string())
                });
                std::thread::sleep(PACE);
            }
        }
        // Whatever became of the last word.
        for id in self.ledger.lock().unwrap().flows.started.values() {
            self.sandbox.run(&["workflows", "resume", id]);
        }
    }

    /// The id, if it is known to be there. If not, it may be all the same: another one with this key could be a second one by then.
    fn start_flow(&self) -> Option<String> {
        let key = self.id();
        self.ledger.lock().unwrap().flows.asked.insert(key.clone());
        let ended = self.far(&["workflows", "start", "-"], &definition(&key));
        match ended.code {
            Some(0) => {
                let id = ended.stdout.trim().to_owned();
                self.ledger.lock().unwrap().flows.started.insert(key, id.clone());
                Some(id)
            }
            Some(3) => None,
            _ => panic!("a caller is refused: {ended:?}"),
        }
    }

    fn disturb(&self, dice: &mut Dice, open: &[String]) {
        let id = &open[dice.below(open.len())];
        match dice.below(12) {
            0 => {
                let mut ledger = self.ledger.lock().unwrap();
                let key = ledger.flows.started.iter().find(|(_, of)| *of == id).map(|(key, _)| key.clone());
                ledger.flows.cancelled.extend(key);
                drop(ledger);
                self.sandbox.run(&["workflows", "cancel", id]);
            }
            1 | 2 => {
                self.sandbox.run(&["workflows", "pause", id]);
                self.sandbox.run(&["workflows", "resume", id]);
            }
            _ => {}
        }
    }
}

/// Those that have not ended.
pub(crate) fn open(sandbox: &Sandbox, flows: &Flows) -> Vec<String> {
    let has_ended = |id: &String| sandbox.json(&["workflows", "show", id])["finished_at"].is_string();
    flows.started.values().filter(|id| !has_ended(id)).cloned().collect()
}

/// The tasks of those that wait for their time.
pub(crate) fn scheduled(sandbox: &Sandbox, flows: &Flows) -> Vec<String> {
    let mut left = Vec::new();
    for id in &open(sandbox, flows) {
        for step in STEPS {
            let members = sandbox.json(&["workflows", "members", id, step]);
            let open = members["items"].as_array().into_iter().flatten().filter(|member| member["state"] == "scheduled");
            left.extend(open.filter_map(|member| member["id"].as_str().map(str::to_owned)));
        }
    }
    left
}

/// What can be told of one: its tasks as the store has them, and what they wrote.
fn story(sandbox: &Sandbox, id: &str, key: &str, events: &[Event]) -> String {
    let members = STEPS.iter().flat_map(|step| match sandbox.json(&["workflows", "members", id, step])["items"].take() {
        Value::Array(members) => members,
        _ => Vec::new(),
    });
    let tasks = members.map(|member| sandbox.run(&["tasks", "show", member["id"].as_str().unwrap()]).stdout);
    let wrote = events.iter().filter(|event| event.args["flow"] == *key).map(|event| format!("{event:?}\n"));
    tasks.chain(wrote).collect()
}

/// All that is wrong with workflows when everything has ended: what the store says, and what the tasks wrote.
pub(crate) fn check(sandbox: &Sandbox, flows: &Flows, events: &[Event]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, id) in &flows.started {
        let run = sandbox.json(&["workflows", "show", id]);
        let mut must = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{key}: {what}: {run:#}\n{}", story(sandbox, id, key, events)));
            }
        };
        must(run["finished_at"].is_string(), "has not ended");
        let of = |kind: &'static str| events.iter().filter(move |event| event.kind == kind && event.args["flow"] == *key);
        let joins: BTreeSet<_> = of("join").map(|event| &event.id).collect();
        must(joins.len() <= 1, "was joined by several tasks");
        let short = of("join").find(|event| event.args["results"] != json!([1, 1, 1, 1]));
        must(short.is_none(), &format!("was joined without all results: {short:?}"));
        if let Some(first) = of("join").map(|event| event.at).min() {
            let ended = |n: usize| of("part").any(|event| event.end && event.args["n"] == n && event.at <= first);
            must((0..MEMBERS).all(ended), "was joined before all had ended");
        }
        if flows.cancelled.contains(key) {
            continue;
        }
        must(run["state"] == "succeeded", "did not succeed");
        must(!joins.is_empty(), "was never joined");
        for (step, count) in [("group", MEMBERS), ("join", 1), ("behind", 1)] {
            must(run["steps"][step]["succeeded"] == count, "has another count");
        }
    }
    wrong
}
