//! The program of a released version, which has to go on working on a store that today's has brought up to date.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The commit of that version.
const COMMIT: &str = "b339e7bb1d417815d81390bc3742e9edc6caac9e";

/// The variable through which tests find the program.
pub(crate) const VARIABLE: &str = "GRISTMILL_TEST_OLDER";

/// Builds it, unless that was done before: it is kept in the target folder. Needs the history of this repository.
pub(crate) fn build(cargo: &Path, root: &Path, target: &Path) -> Result<String> {
    let folder = target.join("older").join(&COMMIT[..12]);
    let program = folder.join("gristmill");
    if !program.exists() {
        let source = folder.join("source");
        unpack(root, &source)?;
        // Its own folder, as a shared one would hold two programs of one name. Unoptimized and without debug information: that is
        // built in half the time, and no test measures it.
        let build = folder.join("build");
        crate::run(Command::new(cargo).current_dir(&source).env("CARGO_TARGET_DIR", &build).env("CARGO_INCREMENTAL", "0").args(
            [
                "build",
                "--locked",
                "--package",
                "gristmill-cli",
                "--config",
                "profile.dev.debug=false",
                "--config",
                "profile.dev.package.'*'.opt-level=0",
            ],
        ))?;
        // Last, so that what is there is whole.
        std::fs::rename(build.join("debug/gristmill"), &program).context("keeping the older program")?;
        for rest in [&source, &build] {
            std::fs::remove_dir_all(rest).with_context(|| format!("removing {}", rest.display()))?;
        }
    }
    program.to_str().map(str::to_owned).context("a path that is not UTF-8")
}

/// Puts the files of the commit into a folder.
fn unpack(root: &Path, source: &PathBuf) -> Result<()> {
    let known = ["cat-file", "-e", &format!("{COMMIT}^{{commit}}")];
    let known = Command::new("git").current_dir(root).args(known).stderr(Stdio::null()).status().context("starting git")?;
    if !known.success() {
        bail!(
            "the history lacks {COMMIT}, whose program is tested beside today's: fetch all of it with `git fetch --unshallow`, and \
             run this in a clone, as an archive has no history"
        );
    }
    std::fs::create_dir_all(source).with_context(|| format!("making {}", source.display()))?;
    let mut archive = Command::new("git").current_dir(root).args(["archive", COMMIT]).stdout(Stdio::piped()).spawn()?;
    let stdout = archive.stdout.take().context("git has no output")?;
    let unpacked = Command::new("tar").current_dir(source).arg("-x").stdin(stdout).status().context("starting tar")?;
    if !archive.wait()?.success() || !unpacked.success() {
        bail!("the files of {COMMIT} could not be unpacked into {}", source.display());
    }
    Ok(())
}
