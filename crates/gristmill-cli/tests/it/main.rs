//! The built binary from outside: every command, every bad input, and what it leaves behind.

#![allow(clippy::unwrap_used, reason = "a helper that can not go on fails its test, which is what it is for")]

mod batches;
mod beat_crash;
mod bench_fleet;
mod bench_workflows;
#[allow(dead_code, reason = "the tests of the store use all of it")]
#[path = "../../../gristmill-postgres/tests/it/cluster.rs"]
mod cluster;
mod command_task;
mod config;
mod crash;
mod durable;
mod enqueue;
mod excess;
mod fair;
mod http_task;
mod jsonl;
mod limits;
mod locks;
mod moving;
mod operate;
mod pages;
mod pathways;
mod payload_versions;
mod queues;
mod rates;
mod reruns;
mod roles;
mod routes;
mod sandbox;
mod schedules;
mod schema;
mod server;
mod server_faults;
mod storm;
mod tasks;
mod unique;
mod versions;
mod visible;
mod worker;
mod workflow_crash;
mod workflows;
