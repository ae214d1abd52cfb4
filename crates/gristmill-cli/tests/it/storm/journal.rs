//! What the tasks themselves wrote: a line at each start and each end, appended to one file. The store has no part in it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

/// The task types of a storm, which write the journal. bash has a clock of its own, so that a line costs no process.
pub(crate) fn task_types() -> String {
    let kind = |name: &str, seconds: &str, more: &str| {
        format!(
            r#"
[tasks.{name}]
command = ["bash", "-c", '''
read -r args
say() {{ printf '{{"event":"%s","kind":"%s","id":"%s","fence":%s,"at":%s,"args":%s}}\n' \
  "$1" "$GRISTMILL_TASK_NAME" "$GRISTMILL_TASK_ID" "$GRISTMILL_FENCE" "${{EPOCHREALTIME/./}}" "$args" >> journal.jsonl; }}
say start; sleep {seconds}; say end; echo 1''']
env = ["PATH"]
max_attempts = 1000
max_crashes = 100000
backoff = "10ms"
{more}"#
        )
    };
    // What joins a group refers to its results, of which the older version knows nothing.
    let flows = [kind("part", "0.02", ""), kind("join", "0", "queue = \"flows\"\n")].concat();
    [flows, kind("job", "0.02", ""), kind("probe", "0", ""), kind("held", "2", ""), kind("tick", "0", "queue = \"ticks\"\n")]
        .concat()
}

/// One line of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) id: String,
    /// The number of the claim.
    pub(crate) fence: u64,
    /// Microseconds of the wall clock.
    pub(crate) at: u64,
    pub(crate) end: bool,
    pub(crate) args: Value,
}

impl Event {
    fn read(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        Some(Self {
            kind: text("kind")?,
            id: text("id")?,
            fence: line["fence"].as_u64()?,
            at: line["at"].as_u64()?,
            end: line["event"] == "end",
            args: line["args"].clone(),
        })
    }
}

/// Reads it as it grows.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    path: PathBuf,
    offset: u64,
    events: Vec<Event>,
    /// How many ends of tasks of callers are among them.
    pub(crate) ended: usize,
    /// Lines that are none.
    pub(crate) garbled: Vec<String>,
}

impl Journal {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, ..Self::default() }
    }

    /// All that is written by now. A line without its end is left for the next time.
    pub(crate) fn events(&mut self) -> &[Event] {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.path) {
            file.seek(SeekFrom::Start(self.offset)).unwrap();
            file.read_to_end(&mut text).unwrap();
        }
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in String::from_utf8_lossy(&text[..whole]).lines() {
            match Event::read(line) {
                Some(event) => {
                    self.ended += usize::from(event.end && event.kind == "job");
                    self.events.push(event);
                }
                None => self.garbled.push(line.to_owned()),
            }
        }
        self.offset += whole as u64;
        &self.events
    }
}

/// The clock by which tasks write.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000 + u64::try_from(now.tv_nsec).unwrap() / 1_000
}
