//! Arguments of `trireme op`.

use clap::Subcommand;

use super::Wait;

#[derive(Debug, Subcommand)]
pub(crate) enum OpCommand {
    /// List the operations: those that run, then the last ones that ended.
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  trireme op ls\n  trireme op ls -o json"
    )]
    Ls,
    /// Everything about one operation.
    #[command(after_help = "Examples:\n  trireme op describe 01JDB3...\n  \
                      trireme op describe 01JDB3... -o json")]
    Describe { id: String },
    /// Follow an operation to its end; any coordinator will do.
    #[command(after_help = "Examples:\n  trireme op wait 01JDB3...\n  \
                      trireme op wait 01JDB3... --timeout 60")]
    Wait {
        id: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// End an operation and take back what it was about, where that can be.
    #[command(after_help = "Examples:\n  trireme op cancel 01JDB3...\n  \
                      trireme op cancel 01JDB3... --yes")]
    Cancel {
        id: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}
