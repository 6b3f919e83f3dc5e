//! Arguments of the commands that plan a model or talk to one.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What a deployment shall promise.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Placement {
    /// Longest prompt and answer together, in tokens; the model's own up to 8192 when absent.
    #[arg(long)]
    pub context_length: Option<u32>,
    /// Sequences that run at once; 16 when absent.
    #[arg(long)]
    pub sequences: Option<u32>,
    /// Tokens that one step may take; longer prompts are prefilled in chunks; 256 when absent.
    #[arg(long)]
    pub step_tokens: Option<u32>,
    /// How keys and values are kept; f16 when absent, q8_0 takes about half of its memory.
    #[arg(long, value_enum)]
    pub kv: Option<KvArg>,
    /// What crosses a cut; f32 when absent.
    #[arg(long, value_enum)]
    pub activation: Option<ActivationArg>,
    /// Exactly this many pipeline stages, of one rank each unless --tp says otherwise. Without
    /// --pp and --tp: what is fastest.
    #[arg(long, visible_alias = "stages")]
    pub pp: Option<u32>,
    /// Ranks that share each stage's layers (tensor parallel): one number for all stages, or one
    /// for each as in 3,1.
    #[arg(long, value_delimiter = ',')]
    pub tp: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KvArg {
    F16,
    F32,
    Bf16,
    #[value(name = "q8_0")]
    Q8_0,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ActivationArg {
    F32,
    Bf16,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  trireme plan demo\n  trireme plan demo --pp 2 --without b2\n  \
                  trireme plan demo --pp 2 --tp 2"
)]
pub(crate) struct Plan {
    pub model: String,
    #[command(flatten)]
    pub options: Placement,
    /// Plan as if this node were not there; may be repeated.
    #[arg(long)]
    pub without: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trireme chat\n  \
                        trireme chat demo --message \"What is a stage?\"\n  \
                        echo \"Hello\" | trireme chat demo")]
pub(crate) struct Chat {
    /// The only model that is served when absent.
    pub model: Option<String>,
    /// Ask this and end.
    #[arg(short, long)]
    pub message: Option<String>,
    #[arg(long)]
    pub system: Option<String>,
    #[arg(long, default_value_t = 0.0)]
    pub temperature: f32,
    #[arg(long)]
    pub seed: Option<u64>,
    #[arg(long)]
    pub max_tokens: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trireme generate \"What is the capital of France?\"\n  \
                        trireme generate --model ./llama.gguf --raw \"Once\" --max-tokens 50")]
pub(crate) struct Generate {
    pub prompt: String,
    /// GGUF file or Hugging Face directory; the built-in demo model when absent.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// Give the prompt to the model as it is, without the chat template.
    #[arg(long)]
    pub raw: bool,
    #[arg(long)]
    pub system: Option<String>,
    #[arg(long, default_value_t = 256)]
    pub max_tokens: u32,
    #[arg(long, default_value_t = 0.0)]
    pub temperature: f32,
    #[arg(long, default_value_t = 1.0)]
    pub top_p: f32,
    #[arg(long, default_value_t = 0)]
    pub top_k: u32,
    #[arg(long)]
    pub seed: Option<u64>,
    #[arg(long)]
    pub context_length: Option<u32>,
    #[arg(long, value_enum, default_value_t = KvArg::F16)]
    pub kv: KvArg,
    /// Folder that keeps the weights packed for the next time, up to 64 GiB; what was not used for
    /// longest goes first.
    #[arg(long, value_name = "DIR")]
    pub packed_cache: Option<PathBuf>,
    /// Where the layers are computed: `cpu`, or `cuda:N` in a build with CUDA.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// On a GPU too, let a token follow from the tokens before it alone, whatever is computed
    /// beside it: products take one row at a time, which makes long prompts slow. The CPU always
    /// does so
    #[arg(long)]
    pub deterministic: bool,
}
