//! Many tasks from JSON lines: each line answers for itself, commits are in batches, and a bad line is told by its number.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::future::{Ready, ready};
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;

use gristmill::client::EnqueueError;
use gristmill::core::unique::UniqueKey;
use gristmill::core::{EnqueueOutcome, NewTask, Overrides, Store, StoreError, Within, limits};
use gristmill::written::{self, Entries, OPTIONS, read_option, said_twice, unknown};
use gristmill::{Client, TaskId};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::Map;
use serde_json::value::RawValue;

use super::listed::{self, merge_tags};
use crate::commands::unserved::tell_queues;
use crate::exit::CliError;
use crate::output::{self, Format, Out, number_are, number_of};

/// The longest line: the largest arguments that can be allowed, and room for the options.
const LINE_MAX: usize = limits::ARGS_BYTES_CEILING + 64 * 1024;
/// Large enough that a batch of usual lines is in it: what is not in it may never come, so it is not waited for.
const READ_BUFFER: usize = 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// So many bad lines are told one by one. If there are more, mostly all are bad for one reason.
const BAD_TOLD: u64 = 20;

/// Where the lines come from.
pub(super) struct Input {
    reader: BufReader<Box<dyn Read>>,
    /// How many bytes there are, if that is known.
    bytes: Option<u64>,
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        if path == Path::new("-") {
            return Ok(Self { reader: BufReader::with_capacity(READ_BUFFER, Box::new(io::stdin())), bytes: None });
        }
        let unreadable = |error: io::Error| CliError::usage(format!("{} can't be read: {error}", path.display()));
        let file = File::open(path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        if meta.is_dir() {
            return Err(CliError::usage(format!("{} is a directory; name a file", path.display())));
        }
        Ok(Self { bytes: meta.is_file().then_some(meta.len()), reader: BufReader::with_capacity(READ_BUFFER, Box::new(file)) })
    }
}

/// Enqueues all good lines; with `strict`, all lines or none.
pub(super) async fn run(mut input: Input, strict: bool, force: bool, client: &Client, out: &Out) -> Result<(), CliError> {
    let mut run = Run {
        client,
        out,
        force,
        bar: bar(input.bytes),
        batch: Vec::new(),
        bytes: 0,
        kept: 0,
        bad: 0,
        is_pretty: false,
        queues: BTreeSet::new(),
        written: Ok(()),
    };
    let mut number = 0;
    let mut line = Vec::new();
    loop {
        let read =
            read_line(&mut input.reader, &mut line).map_err(|error| CliError::failed(format!("line {}: {error}", number + 1)))?;
        let Some(whole) = read else { break };
        number += 1;
        run.bar.inc(line.len() as u64);
        // The mark of its encoding, with which some programs begin a file, is no part of its first line.
        let text = if number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line };
        run.take(number, whole, text);
        // Not waiting for a full batch: lines may come from a program that writes one now and then.
        let is_full = run.batch.len() >= limits::BATCH_TASKS_MAX || run.bytes >= limits::BATCH_BYTES_MAX;
        if !strict && (is_full || input.reader.buffer().is_empty()) {
            run.commit().await?;
        }
    }
    if strict {
        run.refuse_conflicts().await?;
        if run.bad > 0 {
            run.bar.finish_and_clear();
            return Err(run.bad_lines(format!("of {} {} bad; nothing was enqueued", number_of(number, "line"), run.bad)));
        }
    }
    run.commit().await?;
    run.bar.finish_and_clear();
    tell_queues(run.queues.iter().map(String::as_str), client).await;
    run.tell()
}

/// Reads a line without its end; `false` if it was too long and is cut. `None` at the end of the input.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    if reader.by_ref().take(LINE_MAX as u64).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    let whole = line.len() < LINE_MAX || line.ends_with(b"\n");
    if !whole {
        reader.skip_until(b'\n')?;
    }
    Ok(Some(whole))
}

/// What a line says: a task type, perhaps arguments, and options.
pub(super) struct Line<'a> {
    pub(super) task: String,
    pub(super) args: Option<&'a RawValue>,
    pub(super) options: Overrides,
    /// Whether it is a listed task, which has the labels of its type among its own.
    pub(super) is_listed: bool,
}

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        // An array would be read as the values of the keys in their order, which is nobody's promise.
        if !text.trim_start().starts_with('{') {
            return Err("is not a JSON object such as {\"task\": \"NAME\"}".to_owned());
        }
        let entries = Entries::read(text).map_err(|error| error.to_string().replace(" at line 1 column ", ", at column "))?;
        if let Some(twin) = entries.twin() {
            return Err(format!("duplicate field `{twin}`"));
        }
        if let Some(listed) = listed::read(&entries) {
            return listed;
        }
        let (mut task, mut args, mut options) = (None, None, Overrides::default());
        for (key, value) in entries.iter() {
            let in_field = |why: String| format!("{key}: {why}");
            match key {
                "task" => task = Some(written::read(value).map_err(in_field)?),
                "args" => args = Some(value).filter(|args| args.get() != "null"),
                _ if read_option(&mut options, key, value).map_err(in_field)? => {}
                _ => return Err(unknown(key, ["task", "args"].into_iter().chain(OPTIONS))),
            }
        }
        if let Some([one, other]) = said_twice(&entries) {
            return Err(format!("has both `{one}` and `{other}`"));
        }
        let task = task.ok_or("missing field `task`")?;
        Ok(Self { task, args, options, is_listed: false })
    }
}

/// Takes what an enqueue would write, fully checked, instead of writing it.
struct Capture<'a>(&'a mut Vec<NewTask>);

impl Within<Self> for Capture<'_> {
    type Doing<T: Send + 'static> = Ready<Result<T, StoreError>>;

    fn insert(self, _: &dyn Store, tasks: Vec<NewTask>) -> Self::Doing<Vec<EnqueueOutcome>> {
        let outcomes = vec![EnqueueOutcome::Created; tasks.len()];
        self.0.extend(tasks);
        ready(Ok(outcomes))
    }
}

struct Run<'a> {
    client: &'a Client,
    out: &'a Out,
    force: bool,
    bar: ProgressBar,
    /// Good lines that are not committed yet.
    batch: Vec<Good>,
    /// Of them.
    bytes: usize,
    kept: u64,
    bad: u64,
    /// Whether a line looks as if it began a JSON value that goes on in the next.
    is_pretty: bool,
    /// Queues that lines name.
    queues: BTreeSet<String>,
    /// Whether the answers reach anybody. If not, the import goes on all the same: it is half done.
    written: Result<(), CliError>,
}

/// A line that can be enqueued.
struct Good {
    line: u64,
    task: NewTask,
    /// Whether the line names its id; those that are made here conflict with nothing.
    chosen: bool,
}

#[derive(Serialize)]
struct Kept {
    line: u64,
    id: TaskId,
}

impl Run<'_> {
    fn take(&mut self, number: u64, whole: bool, line: &[u8]) {
        if whole && line.trim_ascii().is_empty() {
            return;
        }
        let task = if whole { self.resolve(line) } else { Err(format!("is longer than {LINE_MAX} bytes")) };
        match task {
            Ok((task, chosen)) => {
                if !self.queues.contains(&task.queue) {
                    self.queues.insert(task.queue.clone());
                }
                self.bytes += task.bytes();
                self.batch.push(Good { line: number, task, chosen });
            }
            Err(why) => {
                self.is_pretty |= matches!(line.trim_ascii(), b"{" | b"[");
                self.refuse(number, &why);
            }
        }
    }

    /// The task of a line, and whether the line names its id.
    fn resolve(&self, line: &[u8]) -> Result<(NewTask, bool), String> {
        let text = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
        let Line { task: name, args, options, is_listed } = Line::read(text)?;
        let chosen = options.id.is_some();
        let mut tasks = Vec::with_capacity(1);
        let enqueue = match args {
            Some(args) => self.client.enqueue_named(&name, args),
            None => self.client.enqueue_named(&name, Map::new()),
        };
        enqueue.options(options).force(self.force).within(Capture(&mut tasks)).run().map_err(|error| error.to_string())?;
        let mut task = tasks.pop().ok_or_else(|| "gave no task".to_owned())?;
        if is_listed {
            merge_tags(&mut task);
        }
        Ok((task, chosen))
    }

    fn refuse(&mut self, number: u64, why: &str) {
        self.bad += 1;
        match self.bad {
            ..=BAD_TOLD => self.bar.suspend(|| output::complain(&format!("line {number}: {why}"))),
            bad if bad == BAD_TOLD + 1 => self.bar.suspend(|| output::complain("further bad lines are counted and not told")),
            _ => {}
        }
    }

    /// The error of an import with bad lines.
    fn bad_lines(&self, message: String) -> CliError {
        let error = CliError::failed(message);
        match self.is_pretty {
            true => error.with_hint("a line is a whole JSON object; `jq -c .` makes lines of JSON that goes over several"),
            false => error,
        }
    }

    /// Finds the ids that mean another task already, in the file or in the store.
    async fn refuse_conflicts(&mut self) -> Result<(), CliError> {
        let mut conflicts = Vec::new();
        let mut seen: HashMap<TaskId, &NewTask> = HashMap::new();
        for Good { line, task, .. } in self.batch.iter().filter(|good| good.chosen) {
            let same = |kind: &str, args: &str| kind == task.kind && args == task.args;
            let fits = match seen.get(&task.id) {
                Some(first) => same(&first.kind, &first.args),
                None => self.client.tasks().get(task.id).await?.is_none_or(|kept| same(&kept.kind, &kept.args)),
            };
            if !fits {
                conflicts.push((*line, task.id));
            }
            seen.entry(task.id).or_insert(task);
        }
        for (number, id) in conflicts {
            self.refuse(number, &EnqueueError::Conflict { id }.to_string());
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), CliError> {
        self.bytes = 0;
        let mut batch = std::mem::take(&mut self.batch).into_iter().peekable();
        while let Some(first) = batch.peek().map(|good| good.line) {
            let (mut numbers, mut tasks, mut bytes) = (Vec::new(), Vec::new(), 0);
            while tasks.len() < limits::BATCH_TASKS_MAX
                && bytes < limits::BATCH_BYTES_MAX
                && let Some(good) = batch.next()
            {
                bytes += good.task.bytes();
                numbers.push(good.line);
                tasks.push(good.task);
            }
            let rejects = |task: &NewTask| task.unique().is_some_and(UniqueKey::rejects);
            let ids: Vec<_> = tasks.iter().map(|task| (task.id, rejects(task))).collect();
            let outcomes = match self.client.store().enqueue(tasks).await {
                Ok(outcomes) => outcomes,
                Err(error) => {
                    self.bar.finish_and_clear();
                    output::note(&format!(
                        "{} enqueued; line {first} and those after it are not acknowledged",
                        number_are(self.kept, "task")
                    ));
                    return Err(error.into());
                }
            };
            let mut kept = Vec::with_capacity(ids.len());
            for ((number, (id, rejects)), outcome) in numbers.into_iter().zip(ids).zip(outcomes) {
                match outcome {
                    EnqueueOutcome::Conflict => self.refuse(number, &EnqueueError::Conflict { id }.to_string()),
                    EnqueueOutcome::Created => kept.push(Kept { line: number, id }),
                    EnqueueOutcome::Exists(holder) if rejects && holder != id => {
                        self.refuse(number, &EnqueueError::Taken { holder }.to_string());
                    }
                    EnqueueOutcome::Exists(id) => kept.push(Kept { line: number, id }),
                }
            }
            self.kept += kept.len() as u64;
            if self.out.format == Format::Jsonl && self.written.is_ok() {
                self.written = self.bar.suspend(|| self.out.lines(&kept));
            }
        }
        Ok(())
    }

    /// The outcome of the import, which comes before that of writing about it.
    fn tell(mut self) -> Result<(), CliError> {
        #[derive(Serialize)]
        struct Answer {
            enqueued: u64,
            bad: u64,
        }
        let mut written = std::mem::replace(&mut self.written, Ok(()));
        if self.out.format != Format::Jsonl {
            let answer = Answer { enqueued: self.kept, bad: self.bad };
            written = self.out.value(&answer, |answer| format!("{} enqueued\n", number_of(answer.enqueued, "task")));
        }
        if self.bad > 0 {
            return Err(self.bad_lines(format!("{} bad and left out; the others are enqueued", number_are(self.bad, "line"))));
        }
        written.map_err(|error| error.although(format!("{} enqueued", number_are(self.kept, "task"))))
    }
}

/// A bar on a terminal; nothing elsewhere.
fn bar(bytes: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = bytes.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
