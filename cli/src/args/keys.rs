//! Arguments of `trireme keys`.

use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make an API key; it is shown once.
    #[command(after_help = "Examples:\n  trireme keys create ci-bot\n  \
                      trireme keys create ops --role admin")]
    Create {
        name: String,
        #[arg(long, value_enum, default_value_t = KeyRoleArg::User)]
        role: KeyRoleArg,
    },
    /// List the keys.
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  trireme keys ls\n  trireme keys ls -o json"
    )]
    Ls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyRoleArg {
    User,
    Admin,
}
