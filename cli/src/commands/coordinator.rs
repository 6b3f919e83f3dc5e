//! `trireme coordinator`: runs a coordinator until it is told to stop.

use std::time::Duration;

use coordinator::CoordinatorError;
use protocol::log_ring::LogRing;

use crate::args::Coordinator;
use crate::error::{CliError, Exit};
use crate::{service, shutdown};

pub(crate) async fn run(args: Coordinator, log: LogRing) -> Result<(), CliError> {
    let mut config = coordinator::Config::load(&args.data_dir).map_err(|e| {
        let what = format!("{} holds no coordinator", args.data_dir.display());
        let next = "run `trireme cluster init` or `trireme node join --role coordinator`";
        CliError::new(Exit::Precondition, what, e.to_string(), next)
    })?;
    config.listen = args.listen.unwrap_or(config.listen);
    config.api_listen = args.api_listen.unwrap_or(config.api_listen);
    config.insecure_http = args.insecure_http;
    config.require_keys = args.require_keys;
    config.log = log;
    if let Some(seconds) = args.certificate_validity {
        config.certificate_validity = Some(Duration::from_secs(seconds));
    }
    let stopped = shutdown::watch_for(args.stop_with_stdin)?;
    let mut told = stopped.clone();
    service::tell(config.pulse.subscribe(), async move {
        // A watch that is gone is a reason to stop too.
        let _ = told.wait_for(|stop| *stop).await;
    })?;
    coordinator::run(config, stopped).await.map_err(|e| {
        let next = Some(e.next()).filter(|next| !next.is_empty());
        let next = next.unwrap_or_else(|| "see the log above".to_owned());
        let (exit, what) = match e {
            CoordinatorError::Destroyed { .. } => {
                (Exit::Precondition, "the coordinator does not start")
            }
            _ => (Exit::Failed, "the coordinator stopped"),
        };
        CliError::new(exit, what, e.to_string(), next)
    })
}
