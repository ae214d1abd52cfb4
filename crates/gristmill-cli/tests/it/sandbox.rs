//! A directory with a configuration and a database, and the binary run in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// However busy the machine is, nothing here takes as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("gristmill.toml"), config).unwrap();
        Self { dir, env: Vec::new() }
    }

    /// One task type that says what it was told.
    pub(crate) fn with_echo() -> Self {
        Self::new("[tasks.echo]\ncommand = [\"cat\"]\nmax_attempts = 1\n")
    }

    pub(crate) fn without_config() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), env: Vec::new() }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_gristmill"), args)
    }

    /// The same of another build of the program.
    pub(crate) fn command_of(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.dir.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GRISTMILL_")) {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        end(self.command(args), "")
    }

    /// Runs a command of another build that has to succeed, and gives its output.
    pub(crate) fn ok_of(&self, program: &str, args: &[&str]) -> String {
        let ended = end(self.command_of(program, args), "");
        assert_eq!(ended.code, Some(0), "{program} {args:?}: {ended:?}");
        ended.stdout.trim_end().to_owned()
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Ended {
        let mut command = self.command(args);
        command.stdin(Stdio::piped());
        end(command, input)
    }

    /// Runs a command that has to succeed, and gives its output.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        ended.stdout.trim_end().to_owned()
    }

    /// Runs a command that has to succeed with `-o json`.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.ok(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{args:?} gave {output}: {error}"))
    }

    /// Runs a command that has to fail with this code, and gives what it says.
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains("error"), "{args:?}: {ended:?}");
        ended.stderr
    }

    pub(crate) fn enqueue(&self, name: &str, args: &str) -> String {
        self.ok(&["enqueue", name, "--args", args])
    }

    pub(crate) fn show(&self, id: &str) -> Value {
        self.json(&["tasks", "show", id])
    }

    /// Enqueues a task, runs all that is there, and gives what became of it.
    pub(crate) fn perform(&self, name: &str, args: &str) -> Value {
        let id = self.enqueue(name, args);
        self.ok(&["worker", "--drain"]);
        self.show(&id)
    }

    /// Starts a worker that goes on until it is stopped.
    pub(crate) fn worker(&self, args: &[&str]) -> Worker {
        let mut worker = self.start(&[&["worker"], args].concat());
        worker.hears(": started");
        worker
    }

    /// Starts a command that goes on until it is stopped.
    pub(crate) fn start(&self, args: &[&str]) -> Worker {
        Worker::spawn(self.command(args))
    }

    /// Waits until a task is in this state.
    pub(crate) fn until_state(&self, id: &str, state: &str) -> Value {
        let mut last = Value::Null;
        until(&format!("{id} is {state}"), || {
            last = self.show(id);
            last["state"] == state
        });
        last
    }

    /// Waits until a task has written its process id into a file, and gives it.
    pub(crate) fn until_pid(&self, name: &str) -> i32 {
        let path = self.path(name);
        let mut pid = None;
        until(&format!("{name} holds a process id"), || {
            pid =
                std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n')).and_then(|text| text.trim().parse().ok());
            pid.is_some()
        });
        pid.unwrap()
    }
}

/// A worker process; killed when the test is over.
pub(crate) struct Worker {
    child: Child,
    lines: Receiver<String>,
    heard: String,
}

impl Worker {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let (send, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines, heard: String::new() }
    }

    /// How often it has said something so far.
    pub(crate) fn times_heard(&mut self, text: &str) -> usize {
        self.heard.extend(self.lines.try_iter().map(|line| line + "\n"));
        self.heard.matches(text).count()
    }

    /// Waits until it says something.
    pub(crate) fn hears(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.heard.contains(text) {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.heard += &(line + "\n"),
                Err(RecvTimeoutError::Timeout) => panic!("never heard {text:?} in {}", self.heard),
                Err(RecvTimeoutError::Disconnected) => panic!("ended without saying {text:?}: {}", self.heard),
            }
        }
    }

    /// Waits until it says something, or ends before it does.
    pub(crate) fn begins(&mut self, text: &str) -> bool {
        until("it begins or ends", || self.times_heard(text) > 0 || self.child.try_wait().unwrap().is_some());
        self.times_heard(text) > 0
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; gives the status and all that it said.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        until("the worker ends", || self.child.try_wait().unwrap().is_some());
        let status = self.child.wait().unwrap();
        self.heard.extend(self.lines.iter().map(|line| line + "\n"));
        (status, std::mem::take(&mut self.heard))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process runs. One that is dead but not yet reaped does not.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !matches!(rest.trim_start().chars().next(), Some('Z' | 'X')))
}

/// Runs a command to its end.
pub(crate) fn end(mut command: Command, input: &str) -> Ended {
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take();
    let input = input.to_owned();
    std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let status = status(&mut child);
    Ended { code: status.code(), stdout: stdout.recv().unwrap(), stderr: stderr.recv().unwrap() }
}

/// How a process ends, which it has to in time.
#[track_caller]
pub(crate) fn status(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                panic!("process {} does not end", child.id());
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn drain(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (send, text) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut bytes);
        }
        send.send(String::from_utf8_lossy(&bytes).into_owned())
    });
    text
}
