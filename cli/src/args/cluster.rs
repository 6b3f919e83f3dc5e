//! Arguments of `trireme cluster`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Destroy, MembersCommand, SettingsCommand, SnapshotCommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Make this machine the first coordinator of a new cluster.
    #[command(
        after_help = "Examples:\n  trireme cluster init --name lab --listen 10.0.0.11:7443\n  \
                            trireme cluster init --data-dir ./state"
    )]
    Init(ClusterInit),
    /// Leader, quorum, nodes, deployments.
    #[command(after_help = "Examples:\n  trireme cluster status\n  trireme cluster status -o json")]
    Status,
    /// Save, look at and restore the cluster's state.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Make a token that lets machines join; list them, take one back.
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  trireme cluster join-token\n  \
                      trireme cluster join-token --role coordinator --uses 2 --ttl 3600"
    )]
    JoinToken(JoinToken),
    /// The CA that signs all certificates, and its change to the next.
    #[command(subcommand)]
    Ca(CaCommand),
    /// The coordinators: list them, add one, let one vote, remove one.
    #[command(subcommand)]
    Members(MembersCommand),
    /// Settings that every coordinator obeys, at once and without a restart.
    #[command(subcommand)]
    Config(SettingsCommand),
    /// End the cluster: models, keys and members are gone for good.
    #[command(after_help = "Examples:\n  trireme cluster destroy\n  \
                      trireme cluster destroy --dry-run\n  \
                      trireme cluster destroy --yes --name lab\n\n\
                      Weights stay on the disks of the workers. A coordinator that is off hears\n\
                      nothing of it: empty its data directory.")]
    Destroy(Destroy),
    /// What happens in the cluster: nodes, deployments, leadership, keys, operations.
    #[command(after_help = "Examples:\n  trireme cluster events\n  \
                      trireme cluster events --from 0 --no-follow -o jsonl")]
    Events(Events),
}

#[derive(Debug, Args)]
pub(crate) struct JoinToken {
    #[command(subcommand)]
    pub command: Option<JoinTokenCommand>,
    #[arg(long, value_enum, default_value_t = RoleArg::Worker)]
    pub role: RoleArg,
    #[command(flatten)]
    pub token: NewToken,
}

#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct NewToken {
    /// Seconds until it expires, 30 days at most. Without it, the setting join_token_ttl (an hour).
    #[arg(long, value_name = "SECONDS")]
    pub ttl: Option<u64>,
    /// Machines that may join with it.
    #[arg(long, default_value_t = 5)]
    pub uses: u32,
    /// Take back every other token of this role.
    #[arg(long)]
    pub rotate: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JoinTokenCommand {
    /// List the tokens, without their secrets.
    #[command(after_help = "Examples:\n  trireme cluster join-token ls\n  \
                            trireme cluster join-token ls -o json")]
    Ls,
    /// Take a token back: it lets nobody in any more.
    #[command(after_help = "Examples:\n  trireme cluster join-token rm 1f3a5b7c\n  \
                            trireme cluster join-token rm 1f3a5b7c --yes")]
    Rm {
        /// As listed.
        id: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Make a new CA. Nodes get new certificates by themselves; the old ones stay good for now.
    #[command(after_help = "Examples:\n  trireme cluster ca rotate\n  \
                            trireme cluster ca rotate -o json")]
    Rotate,
    /// Which CA signs, and which certificate each node uses.
    #[command(after_help = "Examples:\n  trireme cluster ca status\n  \
                            trireme cluster ca status -o json")]
    Status,
    /// Trust the old CA no longer. Refused while a node still uses a certificate of it.
    #[command(after_help = "Examples:\n  trireme cluster ca finish\n  \
                            trireme cluster ca finish --force")]
    Finish {
        /// Also then: such a node has to join anew.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ClusterInit {
    /// The cluster's name.
    #[arg(long, default_value = "trireme")]
    pub name: String,
    /// The node's name; the host name and `-coordinator` when absent.
    #[arg(long)]
    pub node_name: Option<String>,
    #[arg(long, env = "TRIREME_DATA_DIR", default_value = "/var/lib/trireme")]
    pub data_dir: PathBuf,
    /// Address of node traffic, as other machines reach it.
    #[arg(long, default_value = "127.0.0.1:7443")]
    pub listen: String,
    /// Address of the API, as clients reach it.
    #[arg(long, default_value = "127.0.0.1:8443")]
    pub api_listen: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    Worker,
    Coordinator,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Events {
    /// Only what comes after this log index; what is and what comes when absent.
    #[arg(long)]
    pub from: Option<u64>,
    /// End once all that is known was shown.
    #[arg(long)]
    pub no_follow: bool,
}
