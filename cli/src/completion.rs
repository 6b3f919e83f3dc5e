//! Names that a shell completes: asked of the cluster, quietly and with little patience.

use std::time::Duration;

use clap::Parser;
use clap_complete::CompletionCandidate;
use clap_complete::env::{CompleteEnv, EnvCompleter, Shells};
use protocol::admin::{List, ModelView, NodeView};
use serde::de::DeserializeOwned;

use crate::args::{Cli, ShellArg, command};
use crate::client::Client;
use crate::context::Context;
use crate::error::CliError;

/// A person waits for this behind a key.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Set by the scripts that shells load.
const VARIABLE: &str = "COMPLETE";

/// Answers a shell that asks for completions, and ends the process; else does nothing.
pub(crate) fn answer_shell() {
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// The script with which a shell asks.
pub(crate) fn script(shell: ShellArg) -> Result<String, CliError> {
    let name = match shell {
        ShellArg::Bash => "bash",
        ShellArg::Zsh => "zsh",
        ShellArg::Fish => "fish",
        ShellArg::Powershell => "powershell",
    };
    let shells = Shells::builtins();
    let unknown = || CliError::internal("the completion library lost a shell");
    let known: &dyn EnvCompleter = shells.completer(name).ok_or_else(unknown)?;
    let mut script = Vec::new();
    known
        .write_registration(VARIABLE, "trireme", "trireme", "trireme", &mut script)
        .map_err(|e| CliError::internal(&e.to_string()))?;
    String::from_utf8(script).map_err(|e| CliError::internal(&e.to_string()))
}

pub(crate) fn nodes() -> Vec<CompletionCandidate> {
    let list: Option<List<NodeView>> = asked("/admin/v1/nodes");
    let items = list.map(|list| list.items).unwrap_or_default();
    items.into_iter().map(|node| CompletionCandidate::new(node.name)).collect()
}

pub(crate) fn models() -> Vec<CompletionCandidate> {
    let list: Option<List<ModelView>> = asked("/admin/v1/models");
    let items = list.map(|list| list.items).unwrap_or_default();
    items.into_iter().map(|model| CompletionCandidate::new(model.name)).collect()
}

pub(crate) fn contexts() -> Vec<CompletionCandidate> {
    let names = Context::names().unwrap_or_default();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Where no cluster answers there is nothing to complete, and nothing to say.
fn asked<T: DeserializeOwned>(path: &str) -> Option<T> {
    // The flags of the line that is being completed are not ours to see: environment and file.
    let cli = Cli::try_parse_from(["trireme", "node", "ls"]).ok()?;
    // Fails only where it was done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let client = Client::new(&cli.global).ok()?;
        tokio::time::timeout(PATIENCE, client.get(path)).await.ok()?.ok()
    })
}
