//! `trireme cluster snapshot`: save, inspect, restore.

use std::io::{IsTerminal, Read};
use std::path::Path;

use coordinator::{CoordinatorError, RestoreOptions, SnapshotHeader};
use protocol::identity::{RecoveryKey, durable_file};

use super::cluster::is_loopback;
use super::node::host_name;
use crate::args::{Global, SnapshotCommand, SnapshotRestore};
use crate::client::Client;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::output::bytes::human;

/// A key has some seventy characters.
const KEY_BYTES_MAX: u64 = 4096;

pub(crate) async fn run(
    command: SnapshotCommand,
    global: &Global,
    output: &Output,
) -> Result<(), CliError> {
    match command {
        SnapshotCommand::Save { file } => save(&file, &Client::new(global)?, output).await,
        SnapshotCommand::Inspect { file } => show(&header(&read(&file)?)?, &file, output),
        SnapshotCommand::Restore(args) => restore(&args, output).await,
    }
}

/// On the disk only once it is whole and its digest fits.
async fn save(path: &Path, client: &Client, output: &Output) -> Result<(), CliError> {
    let bytes = client.download("/admin/v1/snapshot").await?;
    let header = header(&bytes)?;
    durable_file::write(path, &bytes, durable_file::PRIVATE).map_err(|error| {
        let what = format!("cannot write {}", path.display());
        CliError::new(Exit::Failed, what, error.to_string(), "name another file")
    })?;
    output.note(&format!("saved {}; keep the recovery key apart from it", path.display()));
    show(&header, path, output)
}

fn show(header: &SnapshotHeader, path: &Path, output: &Output) -> Result<(), CliError> {
    if !output.for_people() {
        return output.describe("Snapshot", header);
    }
    let SnapshotHeader { cluster, index, generation, members, keys, models, .. } = header;
    output.text(&format!("{}  cluster {cluster}, whole", path.display()));
    output.text(&format!("index       {index}, taken {}", header.taken_at));
    output.text(&format!("state       {} {}", human(header.state_bytes), header.state));
    output.text(&format!("CA          {}, generation {generation}", header.ca));
    let deployments = header.deployments;
    output.text(&format!(
        "holds       {members} members, {keys} keys, {models} models, {deployments} deployments"
    ));
    output.text(&format!("written by  trireme {}, format {}", header.version, header.format));
    Ok(())
}

async fn restore(args: &SnapshotRestore, output: &Output) -> Result<(), CliError> {
    let file = read(&args.file)?;
    let header = header(&file)?;
    confirm(&header, args)?;
    let options = RestoreOptions {
        file,
        key: recovery_key(args)?,
        data_dir: args.data_dir.clone(),
        name: args.node_name.clone().unwrap_or_else(|| format!("{}-restored", host_name())),
        address: args.listen.clone(),
        api_address: args.api_listen.clone(),
    };
    let restored = coordinator::restore(options).await.map_err(refused)?;
    let (cluster, data_dir) = (&restored.cluster, args.data_dir.display());
    output.note(&format!(
        "{cluster} restored as of index {}, generation {}, node {}",
        restored.index,
        restored.generation,
        restored.node.short()
    ));
    let scheme = if is_loopback(&args.api_listen) { "http" } else { "https" };
    let api = format!("{scheme}://{}", args.api_listen);
    // The keys of before are good; the CA of before is not.
    let key = Context::all()?.into_iter().find(|known| known.0 == *cluster);
    let key = key.and_then(|(.., known)| known.key);
    let path = Context { api, ca_pem: Some(restored.ca_pem), key }.save(cluster)?;
    output.note(&format!("address and CA saved in {}; API keys are as before", path.display()));
    output.note(&format!("start it:   trireme coordinator --data-dir {data_dir}"));
    output.note("then:       trireme cluster join-token");
    output.note("its nodes:  trireme node join --anew TOKEN   (each keeps its weights)");
    Ok(())
}

fn confirm(header: &SnapshotHeader, args: &SnapshotRestore) -> Result<(), CliError> {
    if args.yes {
        return Ok(());
    }
    let cluster = &header.cluster;
    let effect = format!(
        "{cluster} begins anew in {} as of {}: later changes are lost, and every node of before \
         has to join again",
        args.data_dir.display(),
        header.taken_at
    );
    if !std::io::stdin().is_terminal() {
        let why = format!("{effect}; and standard input is not a terminal");
        let file = args.file.display();
        let next = format!("run: trireme cluster snapshot restore {file} --yes");
        return Err(CliError { next, ..CliError::usage("this asks for confirmation", why) });
    }
    let typed = inquire::Text::new(&format!("{effect}. Type the cluster's name:")).prompt();
    match typed {
        Ok(typed) if typed.trim() == cluster => Ok(()),
        _ => Err(CliError::new(Exit::Failed, "not confirmed", "nothing changed", "")),
    }
}

/// From the file, the environment or, on a terminal, whoever sits there.
fn recovery_key(args: &SnapshotRestore) -> Result<RecoveryKey, CliError> {
    let bad = |why: String| CliError::usage("the recovery key cannot be used", why);
    let text = match (&args.recovery_key_file, std::env::var_os("TRIREME_RECOVERY_KEY")) {
        (Some(path), _) if path == Path::new("-") => {
            let mut text = String::new();
            let mut stdin = std::io::stdin().lock().take(KEY_BYTES_MAX);
            stdin.read_to_string(&mut text).map_err(|e| bad(e.to_string()))?;
            text
        }
        (Some(path), _) => {
            std::fs::read_to_string(path).map_err(|e| bad(format!("{}: {e}", path.display())))?
        }
        (None, Some(value)) => value.to_string_lossy().into_owned(),
        (None, None) if std::io::stdin().is_terminal() => {
            let asked = inquire::Password::new("Recovery key:").without_confirmation().prompt();
            asked.map_err(|e| bad(e.to_string()))?
        }
        (None, None) => {
            let why = "none is given: --recovery-key-file FILE, - for standard input, or \
                       TRIREME_RECOVERY_KEY";
            return Err(bad(why.to_owned()));
        }
    };
    text.parse().map_err(|error: protocol::identity::IdentityError| bad(error.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        let what = format!("cannot read {}", path.display());
        CliError::new(exit, what, error.to_string(), "name a file of `cluster snapshot save`")
    })
}

fn header(file: &[u8]) -> Result<SnapshotHeader, CliError> {
    SnapshotHeader::read(file).map_err(refused)
}

fn refused(error: CoordinatorError) -> CliError {
    let (exit, next) = match &error {
        CoordinatorError::NotEmpty { .. } => (Exit::Precondition, "name an empty --data-dir"),
        CoordinatorError::NameTaken { .. } => (Exit::Precondition, "choose another --node-name"),
        CoordinatorError::Identity(_) => {
            (Exit::Forbidden, "give the key that `cluster init` showed for this very cluster")
        }
        _ => (Exit::Failed, "take another copy: trireme cluster snapshot inspect FILE"),
    };
    CliError::new(exit, "the snapshot cannot be used", error.to_string(), next)
}
