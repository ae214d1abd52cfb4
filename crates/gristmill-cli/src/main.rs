//! The stock binary: the task types of `gristmill.toml`, and no others.

use std::process::ExitCode;

fn main() -> ExitCode {
    gristmill_cli::run(gristmill::App::new(()))
}
