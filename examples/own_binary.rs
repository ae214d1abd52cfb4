//! An application's own binary with all commands of the stock one: `my-app worker`, `my-app tasks list`, ...

use std::process::ExitCode;

use gristmill::{App, Result, task};

#[task(name = "greet")]
async fn greet(name: String) -> Result<String> {
    Ok(format!("hello {name}"))
}

fn main() -> ExitCode {
    gristmill_cli::run(App::new(()).register::<Greet>())
}
