//! The clock of all programs of a storm, which makes trips. That of the tasks, which write the journal, is the machine's.

use std::path::PathBuf;

use crate::sandbox::Sandbox;

pub(crate) struct Clock(PathBuf);

impl Clock {
    /// Gives a sandbox's programs a clock of ours, if there is a library for it.
    pub(crate) fn of(sandbox: Sandbox) -> (Sandbox, Option<Self>) {
        let Some(library) = std::env::var("GRISTMILL_TEST_FAKETIME").ok().filter(|path| !path.is_empty()) else {
            return (sandbox, None);
        };
        let clock = Self(sandbox.path("clock"));
        clock.set("+0");
        let file = clock.0.to_str().unwrap().to_owned();
        // Durations are measured as before.
        let settings = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ];
        (settings.iter().fold(sandbox, |sandbox, (name, value)| sandbox.env(name, value)), Some(clock))
    }

    /// Moves it from the machine's: `+1h`.
    pub(crate) fn set(&self, offset: &str) {
        // Whoever reads it meanwhile sees the old one or the new one.
        let new = self.0.with_extension("new");
        std::fs::write(&new, format!("{offset}\n")).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }
}
