//! One file an example, each run to its end by `cargo xtask examples`:
//!
//! | example | shows |
//! | --- | --- |
//! | `quickstart` | define, enqueue, run, await |
//! | `own_transaction_rusqlite` | enqueue in the application's own rusqlite transaction |
//! | `own_transaction_sqlx` | the same with sqlx |
//! | `transactional_task` | a handler's writes and its settlement commit together |
//! | `fan_out` | children that are committed with their parent, progress, state, outcomes as values |
//! | `micro_batches` | a log writer that takes a thousand events in one call, each of which ends by itself |
//! | `workflow_upload` | a workflow: a task for each upload, one that merges them, what follows, and a failure that is tolerated |
//! | `workflow_order` | a workflow whose steps are undone when a later one fails |
//! | `onboarding` | three days of one handler: durable steps, sleeps and an event, with the clock moved |
//! | `middleware` | code around all attempts and enqueues: a trace that goes along, measurements, a value in the context |
//! | `encryption` | arguments and results that are stored encrypted, with keys that change |
//! | `own_binary` | an application's binary with all commands of the stock one |
//! | `testing` | tests without queue, time or threads |
//!
//! What the pages of `docs` show and is no example by itself is in `pages`, and compiled; `start` is the program of
//! `docs/start-rust.md`, which runs until ctrl-c.
