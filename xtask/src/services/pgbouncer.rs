use std::net::{Ipv4Addr, TcpStream};

use anyhow::Result;

use super::install::Programs;
use super::run::{Run, psql};
use super::{NAME, on_free_port};

pub(super) const SERVER: &str = "pgbouncer";

/// Starts PgBouncer before the PostgreSQL on `postgres`; its port.
pub(super) fn start(run: &Run, programs: &Programs, password: &str, postgres: u16) -> Result<u16> {
    let users = run.write("userlist.txt", &format!("\"{NAME}\" \"{password}\"\n"))?;
    let port = on_free_port(run, SERVER, |port| {
        // Without `unix_socket_dir` it would put its socket where every user's PgBouncer has it, and go on without the port.
        let settings = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={postgres}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             pool_mode = transaction\n\
             auth_type = scram-sha-256\n\
             auth_file = {}\n\
             admin_users = {NAME}\n\
             max_client_conn = 500\n",
            users.display()
        );
        let settings = run.write("pgbouncer.ini", &settings)?;
        run.spawn(SERVER, run.account().server(programs.pgbouncer(), run.place(), "KILL").arg(settings))?;
        run.ready(SERVER, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
    })?;
    psql(run, &programs.postgres("psql"), port, password, NAME, "select 1")?;
    Ok(port)
}
