//! Whether what a command needs is on this machine: looked for as it will be when it runs.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Command;

/// A program, and where it is looked for.
#[derive(Debug)]
pub(crate) struct Program {
    program: String,
    path: Option<OsString>,
    cwd: Option<PathBuf>,
}

/// What is missing: the key that names it, and why it can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) key: &'static str,
    pub(crate) why: String,
}

impl Program {
    pub(crate) fn of(command: &Command) -> Self {
        Self {
            program: command.argv.first().cloned().unwrap_or_default(),
            path: command.set_env.get("PATH").map(Into::into).or_else(|| std::env::var_os("PATH")),
            cwd: command.cwd.clone(),
        }
    }

    /// What of it is not there, or may not be used; the worker may run on another machine, which has it.
    pub(crate) fn lack(&self) -> Option<Lack> {
        let lack = |key, why: String| Some(Lack { key, why });
        let cwd = self.cwd.as_deref().unwrap_or(Path::new("."));
        if !cwd.is_dir() {
            return lack("cwd", format!("the working directory `{}` is not there", cwd.display()));
        }
        let program = &self.program;
        let places: Vec<PathBuf> = match program.contains('/') {
            true => vec![cwd.join(program)],
            false => self.path.iter().flat_map(std::env::split_paths).map(|dir| cwd.join(dir).join(program)).collect(),
        };
        let modes: Vec<u32> = places.iter().filter_map(|place| Some(place.metadata().ok()?.permissions().mode())).collect();
        match modes.iter().any(|mode| mode & 0o111 != 0) {
            true => None,
            false if modes.is_empty() => lack("command", format!("the program `{program}` is not there")),
            false => lack("command", format!("the program `{program}` is there, but not executable")),
        }
    }
}
