//! Middleware: the trace that a request is part of goes along with its tasks, and all attempts are measured and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gristmill::core::InvalidInput;
use gristmill::middleware::{Middleware, Next, Outgoing};
use gristmill::{App, Context, Error, Result, task};

tokio::task_local! {
    /// The `traceparent` of W3C Trace Context that is current here. An application with OpenTelemetry asks its current span instead.
    static TRACE: String;
}

/// Hands the current trace on to tasks, and takes it up again around their handlers.
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

/// Counts attempts by how they ended, and names the slow ones.
#[derive(Default)]
struct Measured {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl Middleware for Measured {
    async fn run(&self, cx: &Context, next: Next<'_>) -> Result<String> {
        let started = Instant::now();
        let outcome = next.run().await;
        match &outcome {
            Ok(_) => self.succeeded.fetch_add(1, Ordering::Relaxed),
            // What is put off has not failed.
            Err(error) if error.reason().is_none() => 0,
            Err(_) => self.failed.fetch_add(1, Ordering::Relaxed),
        };
        if started.elapsed() > Duration::from_secs(1) {
            println!("{} {} took {:?}", cx.name(), cx.id(), started.elapsed());
        }
        outcome
    }
}

/// The customer for whom an attempt runs, in the context of its handler.
struct Customer(u32);

/// Refuses tasks that do not say for which customer they are, and tells handlers who that is.
struct Customers;

impl Middleware for Customers {
    fn enqueue(&self, task: &mut Outgoing<'_>) -> Result<(), InvalidInput> {
        match task.headers().get("customer") {
            Some(_) => Ok(()),
            None => Err(InvalidInput::new("customer", format!("`{}` needs a header that says for whom it is", task.name()))),
        }
    }

    async fn run(&self, cx: &Context, next: Next<'_>) -> Result<String> {
        let customer = cx.meta().headers.get("customer").and_then(|customer| customer.parse().ok());
        cx.extend(Customer(customer.ok_or_else(|| Error::fail("there is no such customer"))?));
        next.run().await
    }
}

#[task(name = "invoice.send", max_attempts = 1)]
async fn send_invoice(cx: &Context, number: u32) -> Result<String> {
    let customer = cx.extension::<Customer>().ok_or_else(|| Error::fail("there is no customer"))?;
    let trace = TRACE.try_with(Clone::clone).unwrap_or_default();
    if number == 0 {
        return Err(Error::fail("there is no invoice 0"));
    }
    Ok(format!("invoice {number} to customer {} in the trace {trace}", customer.0))
}

#[tokio::main]
async fn main() -> Result<()> {
    let measured = Arc::new(Measured::default());
    let client = App::new(())
        .register::<SendInvoice>()
        .middleware(measured.clone()) // the outermost
        .middleware(Propagate)
        .middleware_if(|name| name.starts_with("invoice."), Customers)
        .connect("sqlite:middleware.db")
        .await?;
    let worker = client.worker().queue("default", 2).start().await?;

    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned();
    let request = async { client.enqueue(SendInvoice { number: 7 }).header("customer", "12").await };
    println!("{}", TRACE.scope(trace, request).await?.result().await?);

    if let Err(refused) = client.enqueue(SendInvoice { number: 8 }).await {
        println!("refused: {refused}");
    }
    client.enqueue(SendInvoice { number: 0 }).header("customer", "12").await?.ended().await?;
    worker.stop().await;
    let [succeeded, failed] = [&measured.succeeded, &measured.failed].map(|count| count.load(Ordering::Relaxed));
    println!("{succeeded} succeeded, {failed} failed");
    Ok(())
}
