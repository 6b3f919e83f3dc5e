//! Clusters this user knows: `~/.config/trireme/contexts.toml`, readable by nobody else.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::args::Global;
use crate::error::{CliError, Exit};

pub(crate) const DEFAULT_API: &str = "http://127.0.0.1:8443";

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
        let mut context = match Self::saved(global.context.as_deref())? {
            Some((_, context)) => context,
            None => Self { api: DEFAULT_API.to_owned(), ..Self::default() },
        };
        if let Some(api) = &global.api {
            context.api.clone_from(api);
        }
        context.key = Self::key_of(global)?.or(context.key);
        context.api = context.api.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        Ok(context)
    }

    /// The CAs of the context in use, where it has any: a cluster changes them now and then.
    pub(crate) fn keep_ca(global: &Global, ca_pem: &str) -> Result<(), CliError> {
        let Some((name, context)) = Self::saved(global.context.as_deref())? else { return Ok(()) };
        let other = context.ca_pem.as_deref().is_some_and(|pem| pem != ca_pem);
        if other && global.api.is_none() {
            let context = Self { ca_pem: Some(ca_pem.to_owned()), ..context };
            change(|file| {
                file.contexts.insert(name, context);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The context of this name, else the current one, if there is any.
    pub(crate) fn saved(name: Option<&str>) -> Result<Option<(String, Self)>, CliError> {
        let file = read(&Self::path())?;
        let Some(name) = name.map(str::to_owned).or(file.current.clone()) else { return Ok(None) };
        let context = file.get(&name)?.clone();
        Ok(Some((name, context)))
    }

    pub(crate) fn named(name: &str) -> Result<Self, CliError> {
        read(&Self::path())?.get(name).cloned()
    }

    /// Every context with its name, and whether it is the current one.
    pub(crate) fn all() -> Result<Vec<(String, bool, Self)>, CliError> {
        let ContextFile { current, contexts } = read(&Self::path())?;
        let current = |name: &String| current.as_ref() == Some(name);
        Ok(contexts.into_iter().map(|(name, c)| (name.clone(), current(&name), c)).collect())
    }

    pub(crate) fn names() -> Result<Vec<String>, CliError> {
        Ok(read(&Self::path())?.contexts.into_keys().collect())
    }

    /// The key of `--key-file`, if one is named.
    pub(crate) fn key_of(global: &Global) -> Result<Option<String>, CliError> {
        let Some(file) = &global.key_file else { return Ok(None) };
        let key = fs::read_to_string(file).map_err(|e| {
            CliError::usage(format!("cannot read the key file {}", file.display()), e.to_string())
        })?;
        Ok(Some(key.trim().to_owned()))
    }

    /// Adds the context under `name` and makes it the current one.
    pub(crate) fn save(&self, name: &str) -> Result<PathBuf, CliError> {
        change(|file| {
            file.contexts.insert(name.to_owned(), self.clone());
            file.current = Some(name.to_owned());
            Ok(())
        })
    }

    pub(crate) fn select(name: &str) -> Result<(), CliError> {
        change(|file| {
            file.get(name)?;
            file.current = Some(name.to_owned());
            Ok(())
        })
        .map(drop)
    }

    pub(crate) fn forget(name: &str) -> Result<(), CliError> {
        change(|file| {
            file.contexts.remove(name);
            file.current.take_if(|current| current == name);
            Ok(())
        })
        .map(drop)
    }

    pub(crate) fn path() -> PathBuf {
        // Its standard: what is not absolute counts as not set.
        let folder = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
        folder.unwrap_or_else(|| PathBuf::from("/etc")).join("trireme/contexts.toml")
    }
}

impl ContextFile {
    fn get(&self, name: &str) -> Result<&Context, CliError> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<_> = self.contexts.keys().map(String::as_str).collect();
            CliError::new(
                Exit::NotFound,
                format!("there is no context `{name}`"),
                format!("{} has: {}", Context::path().display(), known.join(", ")),
                "trireme context ls; or give --api",
            )
        })
    }
}

fn change(
    edit: impl FnOnce(&mut ContextFile) -> Result<(), CliError>,
) -> Result<PathBuf, CliError> {
    let path = Context::path();
    let mut file = read(&path)?;
    edit(&mut file)?;
    let text = toml::to_string_pretty(&file).map_err(|e| CliError::internal(&e.to_string()))?;
    write_private(&path, &text).map_err(|e| {
        let what = format!("cannot write {}", path.display());
        CliError::new(Exit::Failed, what, e.to_string(), "check the folder's owner and rights")
    })?;
    Ok(path)
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
        // The message alone: the line that it stands on may hold a key.
        CliError::usage(format!("{} is not a context file", path.display()), e.message())
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
