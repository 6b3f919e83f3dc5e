//! `trireme coordinator`: runs a coordinator until it is told to stop.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use crate::args::Coordinator;
use crate::config_file::{self, CoordinatorFile};
use crate::error::{CliError, Exit};
use crate::shutdown;

pub(crate) async fn run(args: Coordinator) -> Result<(), CliError> {
    let file: CoordinatorFile = config_file::read(args.config.as_deref())?;
    let mut config = coordinator::Config::load(&args.data_dir).map_err(|e| {
        let what = format!("{} holds no coordinator", args.data_dir.display());
        let next = "run `trireme cluster init` or `trireme node join --role coordinator`";
        CliError::new(Exit::Precondition, what, e.to_string(), next)
    })?;
    if let Some(listen) = args.listen.or(file.listen) {
        config.listen = resolve("--listen", &listen)?;
    }
    if let Some(listen) = args.api_listen.or(file.api_listen) {
        config.api_listen = resolve("--api-listen", &listen)?;
    }
    config.insecure_http = args.insecure_http || file.insecure_http.unwrap_or(false);
    if let Some(seconds) = args.certificate_validity.or(file.certificate_validity) {
        config.certificate_validity = Duration::from_secs(seconds);
    }
    let stopped = shutdown::watch_for(args.stop_with_stdin)?;
    coordinator::run(config, stopped).await.map_err(|e| {
        let next = if e.next().is_empty() { "see the log above" } else { e.next() };
        CliError::new(Exit::Failed, "the coordinator stopped", e.to_string(), next)
    })
}

/// `host:port` as a socket address; the error names the option.
pub(crate) fn resolve(option: &str, text: &str) -> Result<SocketAddr, CliError> {
    let bad = |why: String| CliError::usage(format!("{option} is `{text}`"), why);
    let mut found = text
        .to_socket_addrs()
        .map_err(|e| bad(format!("expected HOST:PORT of this machine: {e}")))?;
    found.next().ok_or_else(|| bad("the name has no address".to_owned()))
}
