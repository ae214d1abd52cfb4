use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::CliError;
use crate::output::Out;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, out: &Out) -> Result<(), CliError> {
    let mut command = Cli::named();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    out.raw(&String::from_utf8_lossy(&script))
}
