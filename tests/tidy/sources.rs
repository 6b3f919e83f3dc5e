//! The Rust sources of the workspace, read once per test.

use std::path::{Path, PathBuf};

pub(crate) const CRATES: [&str; 9] = [
    "protocol",
    "checkpoint",
    "partitioner",
    "engine",
    "worker",
    "coordinator",
    "cli",
    "tests",
    "benches",
];

pub(crate) struct Source {
    /// Relative to the workspace root.
    pub path: PathBuf,
    pub text: String,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

pub(crate) fn all() -> Vec<Source> {
    let mut sources = Vec::new();
    for name in CRATES {
        collect(&root().join(name), &mut sources);
    }
    assert!(sources.len() > 50, "the walk found only {} files", sources.len());
    sources
}

impl Source {
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub(crate) fn is_test(&self) -> bool {
        let parts: Vec<_> = self.path.iter().map(|p| p.to_string_lossy().into_owned()).collect();
        parts[0] == "tests"
            || parts.iter().any(|p| p == "tests" || p == "tests.rs" || p == "testing.rs")
    }

    /// The text up to the inline test module.
    pub(crate) fn product_text(&self) -> &str {
        let end = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        &self.text[..end]
    }
}

fn collect(folder: &Path, sources: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if !["target", "node_modules"].iter().any(|skip| path.ends_with(skip)) {
                collect(&path, sources);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
            let path = path.strip_prefix(root()).expect("under the root").to_owned();
            sources.push(Source { path, text });
        }
    }
}
