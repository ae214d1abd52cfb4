use crate::connect::Session;
use crate::exit::CliError;
use crate::output::Out;

pub(crate) async fn run<S: Send + Sync + 'static>(session: Session<S>, out: &Out) -> Result<(), CliError> {
    let kinds = session.connect_to_look().await?.kinds().list().await?;
    out.list(&kinds, &["task type", "queue", "max attempts", "workers", "arguments"], |kind| {
        let (queue, attempts) = match &kind.policy {
            Some(policy) => (policy.queue.clone(), policy.max_attempts.to_string()),
            None => ("(never declared)".to_owned(), String::new()),
        };
        let properties = kind.schema.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        let arguments = properties.map(|map| map.keys().map(String::as_str).collect::<Vec<_>>().join(", ")).unwrap_or_default();
        vec![kind.name.clone(), queue, attempts, kind.workers.to_string(), arguments]
    })
}
