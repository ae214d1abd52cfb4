use crate::connect::Session;
use crate::exit::CliError;
use crate::output::Out;

pub(crate) async fn run<S: Send + Sync + 'static>(session: Session<S>, out: &Out) -> Result<(), CliError> {
    let workers = session.connect().await?.workers().await?;
    out.list(&workers, &["worker", "name", "state", "running", "queues", "since", "version"], |worker| {
        let queues: Vec<_> = worker.queues.iter().map(|(name, concurrency)| format!("{name}={concurrency}")).collect();
        vec![
            worker.id.clone(),
            worker.name.clone(),
            if worker.alive { "alive" } else { "dead" }.to_owned(),
            worker.running.to_string(),
            queues.join(","),
            worker.started_at.to_string(),
            worker.version.clone(),
        ]
    })
}
