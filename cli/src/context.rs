//! Clusters this user knows: `~/.config/trireme/contexts.toml`, readable by nobody else.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::args::Global;
use crate::error::{CliError, Exit};

const DEFAULT_API: &str = "http://127.0.0.1:8443";

/// Where the API is, whom to trust, who one is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    pub api: String,
    pub ca_pem: Option<String>,
    pub key: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContextFile {
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

impl Context {
    /// Flags before environment (both in `global`) before the file before the default.
    pub(crate) fn resolve(global: &Global) -> Result<Self, CliError> {
        let file = read(&path())?;
        let name = global.context.as_ref().or(file.current.as_ref());
        let mut context = match name {
            Some(name) => file.contexts.get(name).cloned().ok_or_else(|| {
                let known: Vec<_> = file.contexts.keys().map(String::as_str).collect();
                CliError::new(
                    Exit::NotFound,
                    format!("there is no context `{name}`"),
                    format!("{} has: {}", path().display(), known.join(", ")),
                    "name one of these with --context, or give --api",
                )
            })?,
            None => Self { api: DEFAULT_API.to_owned(), ..Self::default() },
        };
        if let Some(api) = &global.api {
            context.api.clone_from(api);
        }
        if let Some(file) = &global.key_file {
            let key = fs::read_to_string(file).map_err(|e| {
                CliError::usage(
                    format!("cannot read the key file {}", file.display()),
                    e.to_string(),
                )
            })?;
            context.key = Some(key.trim().to_owned());
        }
        context.api = context.api.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        Ok(context)
    }

    /// The CAs of the context in use, where it has any: a cluster changes them now and then.
    pub(crate) fn keep_ca(global: &Global, ca_pem: &str) -> Result<(), CliError> {
        let file = read(&path())?;
        let name = global.context.as_ref().or(file.current.as_ref());
        let known = name.and_then(|name| Some((name, file.contexts.get(name)?.clone())));
        let Some((name, context)) = known else { return Ok(()) };
        let other = context.ca_pem.as_deref().is_some_and(|pem| pem != ca_pem);
        if other && global.api.is_none() {
            Self { ca_pem: Some(ca_pem.to_owned()), ..context }
                .write(name, file.current.clone())?;
        }
        Ok(())
    }

    /// Adds the context under `name` and makes it the current one.
    pub(crate) fn save(&self, name: &str) -> Result<PathBuf, CliError> {
        self.write(name, Some(name.to_owned()))
    }

    fn write(&self, name: &str, current: Option<String>) -> Result<PathBuf, CliError> {
        let path = path();
        let mut file = read(&path)?;
        file.contexts.insert(name.to_owned(), self.clone());
        file.current = current;
        let text = toml::to_string_pretty(&file).map_err(|e| CliError::internal(&e.to_string()))?;
        write_private(&path, &text).map_err(|e| {
            let what = format!("cannot write {}", path.display());
            CliError::new(Exit::Failed, what, e.to_string(), "check the folder's owner and rights")
        })?;
        Ok(path)
    }
}

fn path() -> PathBuf {
    let folder = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    folder.unwrap_or_else(|| PathBuf::from("/etc")).join("trireme/contexts.toml")
}

fn read(path: &Path) -> Result<ContextFile, CliError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(ContextFile::default()),
        Err(e) => {
            let what = format!("cannot read {}", path.display());
            return Err(CliError::usage(what, e.to_string()));
        }
    };
    toml::from_str(&text).map_err(|e| {
        CliError::usage(format!("{} is not a context file", path.display()), e.to_string())
    })
}

/// Whole or not at all: a crash in the middle leaves the old file.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension("toml.new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
