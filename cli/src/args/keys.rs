//! Arguments of `trireme keys`.

use clap::{Args, Subcommand, ValueEnum};

use super::quantity;

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make an API key; it is shown once.
    #[command(after_help = "Examples:\n  trireme keys create ci-bot --rpm 60 --tpm 100k\n  \
                      trireme keys create team --models demo --budget 5M/month --expires 90d\n  \
                      trireme keys create ops --role operator")]
    Create {
        name: String,
        #[arg(long, value_enum, default_value_t = KeyRoleArg::User)]
        role: KeyRoleArg,
        #[command(flatten)]
        limits: Limits,
    },
    /// List the keys.
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  trireme keys ls -o wide\n  trireme keys ls -o json"
    )]
    Ls,
    /// Everything about one key but its text.
    #[command(after_help = "Examples:\n  trireme keys describe ci-bot\n  \
                      trireme keys describe ci-bot -o json")]
    Describe { name: String },
    /// Change what a key may do; what is not named stays, 0 takes a limit away.
    #[command(after_help = "Examples:\n  trireme keys update ci-bot --rpm 120\n  \
                      trireme keys update ci-bot --expires 0 --models demo,other")]
    Update {
        name: String,
        #[arg(long, value_enum)]
        role: Option<KeyRoleArg>,
        #[command(flatten)]
        limits: Limits,
        /// Let it use every model.
        #[arg(long, conflicts_with = "models")]
        all_models: bool,
    },
    /// Give a key a new text; it is shown once.
    #[command(after_help = "Examples:\n  trireme keys rotate ci-bot --overlap 1d\n  \
                      trireme keys rotate ci-bot --overlap 0")]
    Rotate {
        name: String,
        /// The old text stays good this long.
        #[arg(long, default_value = "1h", value_parser = quantity::seconds)]
        overlap: u64,
    },
    /// End a key at once.
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  trireme keys revoke ci-bot\n  trireme keys revoke ci-bot --yes"
    )]
    Revoke {
        name: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

/// Of the whole cluster, not of each coordinator.
#[derive(Clone, Debug, Args)]
pub(crate) struct Limits {
    /// Models that it may use, as in demo,other; all when absent.
    #[arg(long, value_delimiter = ',')]
    pub models: Option<Vec<String>>,
    /// Requests per minute.
    #[arg(long, value_parser = quantity::count)]
    pub rpm: Option<u64>,
    /// Tokens per minute, prompt and answer together, e.g. 100k.
    #[arg(long, value_parser = quantity::count)]
    pub tpm: Option<u64>,
    /// Tokens per month, prompt and answer together, e.g. 5M/month.
    #[arg(long, value_parser = quantity::monthly)]
    pub budget: Option<u64>,
    /// When it ends, from now, e.g. 90d or 12h.
    #[arg(long, value_parser = quantity::seconds)]
    pub expires: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyRoleArg {
    /// The client API.
    User,
    /// Everything.
    Admin,
    /// Runs nodes, models and deployments; makes no keys.
    Operator,
    /// Sees the cluster, changes nothing.
    Viewer,
    /// Sees the cluster, the keys and the audit chain.
    Auditor,
}
