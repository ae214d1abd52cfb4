//! Beats that die, are paused, lose replies and differ: each tick makes one task all the same.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::sandbox::{Sandbox, Worker, until};

/// What a beat says when it gets the lead.
const LEADS: &str = "this beat leads";
/// Another beat has to lead within this time.
const FAILOVER: Duration = Duration::from_secs(10);

/// How many kills, pauses and stops of the leader there are; `cargo xtask soak beat` sets `GRISTMILL_STORM_LEADERS`.
fn rounds() -> usize {
    std::env::var("GRISTMILL_STORM_LEADERS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Schedules that tick each second. They make up for what they miss, so that nothing may be left out.
fn config(schedules: usize) -> String {
    let one = |n: usize| {
        let more = "every = \"1s\"\noverlap = \"allow\"\ncatch_up = \"all:1000,1h\"";
        format!("[[schedule]]\nname = \"s{n:03}\"\ntask = \"echo\"\n{more}\n")
    };
    let schedules: String = (0..schedules).map(one).collect();
    format!("[tasks.echo]\ncommand = [\"cat\"]\n{schedules}")
}

fn beat(sandbox: &Sandbox) -> Worker {
    let mut beat = sandbox.start(&["beat"]);
    beat.hears(": started");
    beat
}

/// All that `args` list, page by page.
fn all(sandbox: &Sandbox, args: &[&str]) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut args = [args, &["--limit", "1000"]].concat();
        if let Some(cursor) = &cursor {
            args.extend(["--cursor", cursor]);
        }
        let page = sandbox.json(&args);
        found.extend(page["items"].as_array().unwrap().iter().cloned());
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return found;
        }
    }
}

/// Each tick of these schedules from the first to the last is there once, and has one task; and there is no other task.
/// Returns how many there are.
fn check(sandbox: &Sandbox, schedules: &[String]) -> usize {
    let mut tasks: BTreeSet<_> =
        all(sandbox, &["tasks", "list"]).iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect();
    let (mut counted, mut silent) = (0, 0);
    for name in schedules {
        let ticks = all(sandbox, &["schedules", "history", name]);
        let instant = |tick: &Value| tick["tick"].as_str().unwrap().parse::<gristmill::Timestamp>().unwrap();
        for pair in ticks.windows(2) {
            let apart = instant(&pair[0]).since(instant(&pair[1]));
            assert_eq!(apart, Duration::from_secs(1), "{name}: {pair:#?}");
        }
        for tick in &ticks {
            assert_eq!(tick["outcome"], "enqueued", "{name}: {tick}");
            assert!(tasks.remove(tick["task"].as_str().unwrap()), "{name}: the task is another's, or gone: {tick}");
            let late = Duration::from_millis(tick["lateness_ms"].as_u64().unwrap());
            assert!(late <= FAILOVER, "{name}: {tick}");
            let says_so = tick["reason"].as_str().is_some_and(|reason| reason.ends_with("late"));
            silent += usize::from(late > Duration::from_millis(1_500) && !says_so);
        }
        counted += ticks.len();
    }
    assert!(tasks.is_empty(), "tasks of no tick: {tasks:?}");
    // One that was paused while it wrote had found them in time; how late they were written is on record in any case.
    assert!(silent <= schedules.len() * rounds(), "{silent} late ticks do not say so");
    counted
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("s{n:03}")).collect()
}

/// Three beats, of which it is known how often each has got the lead.
struct Beats(Vec<(Worker, usize)>);

impl Beats {
    fn add(&mut self, sandbox: &Sandbox) {
        self.0.push((beat(sandbox), 0));
    }

    /// Waits until one more has got the lead, and takes it out, with how often it has now had it.
    fn take_leader(&mut self) -> (Worker, usize) {
        let mut leader = None;
        until("another beat leads", || {
            leader = self.0.iter_mut().position(|(beat, led)| beat.times_heard(LEADS) > *led);
            leader.is_some()
        });
        let (beat, led) = self.0.remove(leader.unwrap());
        (beat, led + 1)
    }
}

/// None as long as there was no tick, which the first leader may have been killed before.
fn newest(sandbox: &Sandbox) -> Option<Value> {
    all(sandbox, &["schedules", "history", "s000"]).first().cloned()
}

/// How many schedules it is about.
fn many() -> usize {
    if rounds() == 1 { 40 } else { 200 }
}

fn storm(sandbox: &Sandbox) {
    let mut beats = Beats(Vec::new());
    (0..3).for_each(|_| beats.add(sandbox));
    for _ in 0..rounds() {
        let (killed, _) = beats.take_leader();
        killed.signal(Signal::KILL);
        drop(killed);
        beats.add(sandbox);

        let (paused, led) = beats.take_leader();
        // Just after a tick it is idle. Paused while it writes, it would keep SQLite's one lock from everybody.
        let tick = || newest(sandbox).map(|newest| newest["tick"].clone());
        let before = tick();
        until("a tick is written", || tick() != before);
        paused.signal(Signal::STOP);
        // The next one stops as it should, and gives up the lead; the paused one goes on in the belief that it has it.
        let (stopped, _) = beats.take_leader();
        paused.signal(Signal::CONT);
        stopped.signal(Signal::TERM);
        assert!(stopped.ended().0.success());
        beats.0.push((paused, led));
        beats.add(sandbox);
    }
    drop(beats.take_leader());
    until("ticks go on", || newest(sandbox).is_some_and(|newest| newest["lateness_ms"].as_u64() < Some(1_000)));
    for (beat, _) in beats.0 {
        beat.signal(Signal::TERM);
        let (status, said) = beat.ended();
        assert!(status.success(), "{said}");
    }
    let counted = check(sandbox, &names(many()));
    assert!(counted >= many() * 10, "{counted}");
}

#[test]
fn three_beats_whose_leader_is_killed_and_paused_make_each_tick_one_task() {
    storm(&Sandbox::new(&config(many())));
}

#[test]
fn they_do_so_on_postgres() {
    let server = Cluster::start(&[]);
    storm(&Sandbox::new(&config(many())).env("GRISTMILL_STORE", &server.url()));
}

#[test]
fn a_beat_that_dies_around_its_commit_or_loses_the_reply_doubles_nothing() {
    for point in ["advance.before_commit", "advance.after_commit"] {
        for action in ["abort@2", "error@2"] {
            let sandbox = Sandbox::new(&config(5));
            let mut command = sandbox.command(&["beat"]);
            command.env("GRISTMILL_FAILPOINTS", format!("{point}={action}"));
            let mut faulty = Worker::spawn(command);
            faulty.hears(": started");
            if action == "abort@2" {
                let (status, said) = faulty.ended();
                assert_eq!(status.signal(), Some(6), "{point} was not passed: {said}");
                let beat = beat(&sandbox);
                wait(&sandbox, "s004", 10);
                drop(beat);
            } else {
                wait(&sandbox, "s004", 4);
                drop(faulty);
            }
            check(&sandbox, &names(5));
        }
    }
}

#[test]
fn two_versions_of_a_configuration_share_a_store_while_one_replaces_the_other() {
    let old = Sandbox::new(&config(2));
    let store = format!("sqlite:{}", old.path("gristmill.db").display());
    let old = old.env("GRISTMILL_STORE", &store);
    let leaving = beat(&old);
    wait(&old, "s001", 2);

    let without_s001 = config(1) + &config(3).split("[[schedule]]").last().map(|last| format!("[[schedule]]{last}")).unwrap();
    let new = Sandbox::new(&without_s001).env("GRISTMILL_STORE", &store);
    let coming = beat(&new);
    wait(&new, "s002", 3);
    assert_eq!(new.json(&["schedules", "show", "s001"])["state"], "withdrawn");
    for beat in [leaving, coming] {
        beat.signal(Signal::TERM);
        assert!(beat.ended().0.success());
    }
    check(&new, &names(3));
}

fn wait(sandbox: &Sandbox, schedule: &str, count: usize) {
    until("it ticks", || all(sandbox, &["schedules", "history", schedule]).len() >= count);
}
