//! Of `docs/middleware.md`.

use gristmill::codec::Codec;
use gristmill::task;

#[task(name = "card.charge")]
async fn charge(cents: u64) -> gristmill::Result<()> {
    Ok(())
}

fn around_attempts() {
    use std::time::Instant;

    use gristmill::middleware::{Middleware, Next};
    use gristmill::{App, Context, Result, task};

    /// Says how long each attempt took.
    struct Took;

    impl Middleware for Took {
        async fn run(&self, cx: &Context, next: Next<'_>) -> Result<String> {
            let started = Instant::now();
            let outcome = next.run().await; // what is inside: other middleware, then the handler
            println!("{} succeeded: {}, after {:?}", cx.name(), outcome.is_ok(), started.elapsed());
            outcome
        }
    }

    #[task(name = "mail.send")]
    async fn send_mail(to: String) -> Result<()> {
        println!("to {to}");
        Ok(())
    }

    let app = App::new(())
        .register::<SendMail>()
        .middleware(Took) // around all types; the first is the outermost
        .middleware_for::<SendMail>(Took) // around one
        .middleware_if(|name| name.starts_with("mail."), Took); // around those with such names
}

mod at_the_enqueue {
    use gristmill::core::InvalidInput;
    use gristmill::middleware::{Middleware, Next, Outgoing};
    use gristmill::{Context, Result};

    tokio::task_local! {
        static TRACE: String;
    }

    struct Propagate;

    impl Middleware for Propagate {
        fn enqueue(&self, task: &mut Outgoing<'_>) -> Result<(), InvalidInput> {
            if let Ok(trace) = TRACE.try_with(Clone::clone) {
                task.header("traceparent", trace);
            }
            Ok(())
        }

        async fn run(&self, cx: &Context, next: Next<'_>) -> Result<String> {
            match cx.meta().headers.get("traceparent") {
                Some(trace) => TRACE.scope(trace.clone(), next.run()).await,
                None => next.run().await,
            }
        }
    }
}

fn codecs(keys: impl Codec) {
    use gristmill::App;

    let app = App::new(()).register::<Charge>().codec_for::<Charge>(keys); // or .codec(..), .codec_if(|name| .., ..)
}
