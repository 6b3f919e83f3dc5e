//! Arguments of `trireme cluster members`.

use clap::Subcommand;

use super::NewToken;

#[derive(Debug, Subcommand)]
pub(crate) enum MembersCommand {
    /// Who votes, who is behind, who is silent.
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  trireme cluster members ls\n  trireme cluster members ls -o json"
    )]
    Ls,
    /// Make a token for another coordinator, and say what to run on its machine.
    #[command(after_help = "Examples:\n  trireme cluster members add\n  \
                            trireme cluster members add --uses 2 --ttl 3600")]
    Add {
        #[command(flatten)]
        token: NewToken,
    },
    /// Let a coordinator vote that stands by, if need be in another's place.
    ///
    /// One, three or five vote, by themselves in the order in which they joined. With two or four
    /// coordinators the last one stands by; promote it before work on the machine of another.
    #[command(after_help = "Examples:\n  trireme cluster members promote c4\n  \
                            trireme cluster members promote 7f3c91d2")]
    Promote {
        /// Its name or id.
        node: String,
    },
    /// Remove a coordinator from the cluster for good.
    #[command(
        visible_alias = "remove",
        after_help = "Examples:\n  trireme cluster members rm c3\n  \
                            trireme cluster members rm c3 --yes"
    )]
    Rm {
        /// Its name or id.
        node: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}
