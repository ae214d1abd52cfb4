//! Values that may stand elsewhere: `@FILE` in a file, `-` on standard input.

use std::fs::File;
use std::io::{self, Read};

use gristmill::core::limits::ARGS_BYTES_CEILING;

use crate::exit::CliError;

/// The text of the value `what`, read from where it stands.
///
/// # Errors
/// A file or standard input that can't be read, is too large or is no text.
pub(super) fn text(what: &str, given: String) -> Result<String, CliError> {
    match given.strip_prefix('@') {
        None if given != "-" => Ok(given),
        None | Some("-") => read(what, "standard input", Ok(io::stdin())),
        Some("") => Err(CliError::usage(format!("{what}: right behind the @ belongs the name of a file, as in @args.json"))),
        Some(path) => read(what, path, File::open(path)),
    }
}

fn read(what: &str, name: &str, from: io::Result<impl Read>) -> Result<String, CliError> {
    let unreadable = |error: io::Error| CliError::usage(format!("{what}: {name} can't be read: {error}"));
    let mut text = String::new();
    let most = ARGS_BYTES_CEILING as u64;
    let bytes = from.and_then(|from| from.take(most + 1).read_to_string(&mut text)).map_err(unreadable)?;
    if bytes as u64 > most {
        return Err(CliError::usage(format!("{what}: {name} is longer than {most} bytes, which no arguments may be")));
    }
    Ok(text)
}
