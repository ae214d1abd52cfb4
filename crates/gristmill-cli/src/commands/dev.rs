use gristmill::options::KindSpec;
use serde_json::{Map, Value, json};

use super::worker::{self, Times};
use crate::cli;
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{self, Out};
use crate::size::Size;

/// Arguments of `dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    times: Times,
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, mut session: Session<S>, _: &Out) -> Result<(), CliError> {
    let kinds = session.kinds();
    // Everything runs here: the configured queues, and the queue of every task type.
    let real = |name: &str| session.real_queue(name);
    let mut queues = worker::queues(&[], &session.worker, &session.used_queues(), real)?;
    for (queue, concurrency) in worker::queues(&[], &Default::default(), &session.used_queues(), real)? {
        if queues.iter().all(|(name, _)| *name != queue) {
            queues.push((queue, concurrency));
        }
    }
    let (times, poll, memory_limit) = (args.times.resolve(&session.worker), session.worker.poll, session.worker.memory_limit);
    let (source, defined) = (session.source.clone(), session.defined.take());
    let client = session.connect().await?;
    output::note(&format!("store   {}", client.store().location()));
    output::note(&format!("config  {}", source.as_deref().unwrap_or("none; `init` writes a gristmill.toml to start from")));
    output::note(&format!("queues  {}", worker::describe(&queues)));
    worker::tell_tasks(&kinds);
    if let Some(defined) = defined {
        defined.sync(&client).await?;
    }
    if let Some(kind) = kinds.iter().find(|kind| kind.name == "hello").or(kinds.first()) {
        output::note(&format!("next    in another terminal: {}", next_command(kind)));
    }
    let builder = worker::configure(client.worker(), &queues, times, poll);
    let builder = memory_limit.into_iter().fold(builder, |builder, Size(limit)| builder.memory_limit(limit));
    worker::run_until_stopped(builder, "dev").await
}

fn next_command(kind: &KindSpec) -> String {
    let args = sample(&kind.schema);
    format!("{} enqueue {} --args '{}' --wait", cli::invoked_as(), kind.name, args.to_string().replace('\'', r"'\''"))
}

/// Arguments that fit a schema of the usual sort: an example, or a value of each required field's type.
fn sample(schema: &Value) -> Value {
    if let Some(example) = schema.get("examples").and_then(|examples| examples.get(0)) {
        return example.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => json!("text"),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        _ => {
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            let field = |name: &str| (name.to_owned(), sample(&schema["properties"][name]));
            Value::Object(required.map(field).collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_fits_the_schema() {
        let schema = json!({
            "type": "object",
            "required": ["name", "count"],
            "properties": { "name": { "type": "string", "examples": ["world"] }, "count": { "type": "integer" }, "loud": { "type": "boolean" } },
        });
        assert_eq!(sample(&schema), json!({ "name": "world", "count": 1 }));
        assert_eq!(sample(&json!({ "type": "object" })), json!({}));
    }
}
