//! The choice of a kernel set that the machine has.

use clap::Args;
use engine::KernelSet;

#[derive(Args)]
pub struct SetArgument {
    /// Kernel set of ours instead of the fastest: portable, "AVX2", "AVX-512 VNNI", "AMX", "NEON".
    #[arg(long)]
    kernel_set: Option<String>,
}

impl SetArgument {
    pub fn kernel_set(&self) -> Result<KernelSet, String> {
        self.kernel_set_or(&KernelSet::best().to_string())
    }

    /// `other` where none was given.
    pub fn kernel_set_or(&self, other: &str) -> Result<KernelSet, String> {
        let name = self.kernel_set.as_deref().unwrap_or(other);
        let found = KernelSet::available().find(|set| set.to_string().eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            let available: Vec<_> = KernelSet::available().map(|set| set.to_string()).collect();
            format!("no kernel set `{name}` here, but {}", available.join(", "))
        })
    }
}
