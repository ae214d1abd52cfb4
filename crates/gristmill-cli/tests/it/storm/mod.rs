//! A storm over workers, beats, callers and operators, in processes of their own and of two versions: they are killed, paused, cut
//! off and held up, by a plan that is printed. What the tasks wrote is then held against what was acknowledged.
//!
//! `cargo xtask soak storm` raises it; the other tests would be in each other's way.

mod campaign;
mod checker;
mod clock;
mod crew;
mod flows;
mod hostile;
mod journal;
mod ledger;
mod plan;
mod proxy;

use gristmill_sqlite::rusqlite::Connection;

use crate::cluster::Cluster;
use crate::sandbox::Sandbox;
use campaign::{Reach, storm};
use clock::Clock;
use proxy::Proxy;

#[test]
#[ignore = "cargo xtask soak storm"]
fn a_storm_loses_doubles_and_stops_nothing() {
    let (sandbox, clock) = Clock::of(Sandbox::new(&campaign::config()));
    // The file is made before others look at it.
    sandbox.ok(&["migrate"]);
    let file = sandbox.path("gristmill.db");
    storm(&sandbox, Reach::File { open: Box::new(move || Connection::open(&file).unwrap()), clock });
}

#[test]
#[ignore = "cargo xtask soak storm"]
fn nor_does_one_on_postgres() {
    let server = Cluster::start(&[]);
    let url = server.url();
    let sandbox = Sandbox::new(&campaign::config()).env("GRISTMILL_STORE", &format!("{url}?{}", campaign::LOCKS));
    sandbox.ok(&["migrate"]);
    let address = url.split_once('@').unwrap().1.split('/').next().unwrap().to_owned();
    let proxy = Proxy::start(address);
    storm(&sandbox, Reach::Server { url, proxy });
}
