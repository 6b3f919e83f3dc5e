//! Arguments of `trireme audit`.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List the last changes: who, what, when.
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  trireme audit ls\n  trireme audit ls --last 200 -o wide"
    )]
    Ls {
        /// How many, counted from the newest.
        #[arg(long, default_value_t = 50)]
        last: u64,
    },
    /// Write all that the cluster keeps as JSON lines, one record each.
    #[command(after_help = "Examples:\n  trireme audit export > audit.jsonl\n  \
                      trireme audit export --after 1902 >> audit.jsonl")]
    Export {
        /// Only records with a higher number.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// Recompute the chain, of the cluster or of an exported file.
    #[command(after_help = "Examples:\n  trireme audit verify\n  \
                      trireme audit verify --file audit.jsonl")]
    Verify {
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Show changes as they are made, until interrupted.
    #[command(after_help = "Examples:\n  trireme audit tail\n  trireme audit tail -o jsonl")]
    Tail,
}
