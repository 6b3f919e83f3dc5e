//! Arguments of `trireme cluster config` and `trireme cluster destroy`.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum SettingsCommand {
    /// Show the settings, or one of them.
    #[command(
        visible_aliases = ["ls", "describe"],
        after_help = "Examples:\n  trireme cluster config get\n  \
                      trireme cluster config get failure_timeout\n  \
                      trireme cluster config get -o wide"
    )]
    Get {
        /// As listed.
        key: Option<String>,
    },
    /// Change settings, all of them or none.
    #[command(after_help = "Examples:\n  trireme cluster config set failure_timeout=2\n  \
                      trireme cluster config set join_token_ttl=600 failure_timeout=default")]
    Set {
        /// Seconds, or `default`.
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// Change settings in $VISUAL or $EDITOR.
    #[command(after_help = "Examples:\n  trireme cluster config edit\n  \
                      EDITOR=nano trireme cluster config edit")]
    Edit,
}

#[derive(Debug, Args)]
pub(crate) struct Destroy {
    /// The cluster's name, with --yes: another one is refused.
    #[arg(long)]
    pub name: Option<String>,
    /// Do not ask for the name to be typed.
    #[arg(short, long, requires = "name")]
    pub yes: bool,
    /// Show what would be lost, change nothing.
    #[arg(long)]
    pub dry_run: bool,
}
