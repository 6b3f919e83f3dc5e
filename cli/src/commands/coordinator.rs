//! `trireme coordinator`: runs a coordinator until it is told to stop.

use std::time::Duration;

use crate::args::Coordinator;
use crate::error::{CliError, Exit};
use crate::{service, shutdown};

pub(crate) async fn run(args: Coordinator) -> Result<(), CliError> {
    let mut config = coordinator::Config::load(&args.data_dir).map_err(|e| {
        let what = format!("{} holds no coordinator", args.data_dir.display());
        let next = "run `trireme cluster init` or `trireme node join --role coordinator`";
        CliError::new(Exit::Precondition, what, e.to_string(), next)
    })?;
    config.listen = args.listen.unwrap_or(config.listen);
    config.api_listen = args.api_listen.unwrap_or(config.api_listen);
    config.insecure_http = args.insecure_http;
    config.require_keys = args.require_keys;
    if let Some(seconds) = args.certificate_validity {
        config.certificate_validity = Duration::from_secs(seconds);
    }
    let stopped = shutdown::watch_for(args.stop_with_stdin)?;
    let mut told = stopped.clone();
    service::tell(config.pulse.subscribe(), async move {
        // A watch that is gone is a reason to stop too.
        let _ = told.wait_for(|stop| *stop).await;
    })?;
    coordinator::run(config, stopped).await.map_err(|e| {
        let next = if e.next().is_empty() { "see the log above" } else { e.next() };
        CliError::new(Exit::Failed, "the coordinator stopped", e.to_string(), next)
    })
}
