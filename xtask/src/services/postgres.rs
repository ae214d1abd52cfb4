use std::process::Stdio;

use anyhow::Result;

use super::install::Programs;
use super::run::{Run, psql};
use super::{NAME, Syncs, on_free_port};

const SERVER: &str = "postgres";

/// Makes a cluster and starts it; its port.
///
/// Its settings are those of initdb, but for the number of connections, as tests run side by side, for `syncs`, and for the extension
/// that counts statements, if it is there: `bench --fleet` asks it.
pub(super) fn start(run: &Run, programs: &Programs, password: &str, syncs: Syncs) -> Result<u16> {
    let (account, place) = (run.account(), run.place());
    let data = place.join("data");
    let password_file = run.write("password", password)?;
    let mut command = account.server(&programs.postgres("initdb"), place, "KILL");
    // Without the locale, the database would have the encoding of whoever starts it.
    command.args(["--locale=C", "--encoding=UTF8", "--auth=scram-sha-256", "--no-sync", "--username", NAME]);
    command.arg("--pgdata").arg(&data).arg("--pwfile").arg(&password_file);
    run.spawn("initdb", &mut command)?;
    run.finish("initdb")?;
    std::fs::remove_file(password_file)?;

    let port = on_free_port(run, SERVER, |port| {
        let port = port.to_string();
        let mut command = account.server(&programs.postgres("postgres"), place, "INT");
        command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port, "-c", "max_connections=200", "-k"]).arg(place);
        if syncs == Syncs::Off {
            command.args(["-c", "fsync=off"]);
        }
        if programs.counts_statements() {
            command.args(["-c", "shared_preload_libraries=pg_stat_statements"]);
        }
        run.spawn(SERVER, &mut command)?;
        run.ready(SERVER, || {
            let mut command = account.command(programs.postgres("pg_isready"), place);
            command.args(["-q", "-h", "127.0.0.1", "-p", &port, "-t", "5"]).stdout(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        })
    })?;
    psql(run, &programs.postgres("psql"), port, password, "postgres", &format!("create database {NAME}"))?;
    Ok(port)
}
