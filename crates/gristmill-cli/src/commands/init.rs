use std::io::{ErrorKind, Write};
use std::path::Path;

use crate::config::DEFAULT_PATH;
use crate::exit::CliError;
use crate::output::{self, Out};

const TEMPLATE: &str = include_str!("init.toml");

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Overwrite a file that is there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, config: Option<&Path>, out: &Out) -> Result<(), CliError> {
    let path = config.unwrap_or(Path::new(DEFAULT_PATH));
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    if args.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let written = options.open(path).and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(CliError::failed(format!("{} is there already", path.display())).with_hint("--force overwrites it"));
        }
        Err(error) => return Err(CliError::failed(format!("{} can't be written: {error}", path.display()))),
    }
    output::note("written; start it with `dev`");
    out.line(&path.display().to_string())
}
