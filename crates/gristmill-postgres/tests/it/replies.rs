//! The connection breaks around every single request of a worker's day.

use std::sync::Arc;

use gristmill_core::{Env, Store, Timestamp};
use gristmill_postgres::PostgresStore;

use crate::common::Schema;
use crate::day::{Day, Yardstick};
use crate::proxy::{Cut, Proxy};

/// More requests than a day has.
const REQUESTS_MAX: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_arrives_is_made_good() {
    break_everywhere(Cut::Before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_lost_is_made_good() {
    break_everywhere(Cut::After).await;
}

async fn break_everywhere(cut: Cut) {
    let (schema, proxy) = (Schema::new(), Proxy::start().await);
    let (env, _) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), 1);
    let direct = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let yardstick = Yardstick::new(direct, &env).await;
    let store: Arc<dyn Store> = PostgresStore::connect(&proxy.url(&schema.url("")), env.clone()).await.unwrap();
    for number in 0..REQUESTS_MAX {
        proxy.cut_at(cut, number);
        let lived = Day::new(store.clone(), &env).live().await;
        let (log, was_cut) = proxy.disarm();
        if !was_cut {
            assert!(number > 20, "a day has more requests than {number}");
            return;
        }
        yardstick.measure(&lived, &format!("{cut:?} request {number}: {}", log.last().unwrap())).await;
    }
    panic!("a day has fewer requests than {REQUESTS_MAX}");
}
