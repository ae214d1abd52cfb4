use gristmill::worker::StopSignals;

use crate::exit::CliError;

/// Listens from now on for what asks the process to stop.
pub(super) fn listen() -> Result<StopSignals, CliError> {
    StopSignals::listen().map_err(|error| CliError::failed(format!("signals can't be listened for: {error}")))
}
