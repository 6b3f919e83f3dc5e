//! Options of a node in TOML; a flag goes before them. An unknown key is an error.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::CliError;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CoordinatorFile {
    pub listen: Option<String>,
    pub api_listen: Option<String>,
    pub insecure_http: Option<bool>,
    pub certificate_validity: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkerFile {
    pub name: Option<String>,
    pub listen: Option<String>,
    pub advertise: Option<String>,
    pub memory_limit: Option<String>,
    pub devices: Option<String>,
    pub deterministic: Option<bool>,
    pub threads: Option<usize>,
    pub packed_cache: Option<String>,
    pub metrics_listen: Option<String>,
    /// Seconds that others have to take over what runs here when it is told to stop.
    pub drain_timeout: Option<u64>,
}

/// The file's options, or none without a file.
pub(crate) fn read<T: DeserializeOwned + Default>(path: Option<&Path>) -> Result<T, CliError> {
    let Some(path) = path else {
        return Ok(T::default());
    };
    let bad = |why: String| CliError::usage(format!("cannot use {}", path.display()), why);
    let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
    toml::from_str(&text).map_err(|e| bad(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("worker.toml");
        std::fs::write(&path, "memory_limits = \"2GiB\"\n").expect("written");
        let error = read::<WorkerFile>(Some(&path)).expect_err("unknown").to_string();
        assert!(error.contains("memory_limits") && error.contains("memory_limit`"), "{error}");
    }
}
