//! This machine: its host, the node's folder and identity, a disk's speed, ports, a proxy.

use std::fs;
use std::net::{TcpListener, ToSocketAddrs, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use protocol::control::{CoordinatorAddress, Role};
use protocol::identity::{Identity, IdentityStore};

use crate::commands::node::host_name;
use crate::doctor::facts::{Folder, Here, Own};

/// Where the services of this machine keep their nodes.
const FOLDERS: [&str; 3] =
    ["/var/lib/trireme/worker", "/var/lib/trireme/coordinator", "/var/lib/trireme"];
const PROXIES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"];

pub(super) struct Machine {
    pub(super) here: Here,
    pub(super) identity: Option<(Identity, Vec<CoordinatorAddress>)>,
}

/// A folder that was named, else one that holds a node, else the first that could.
pub(super) async fn look(data_dir: Option<&Path>) -> Machine {
    let named = data_dir.map(Path::to_owned);
    let holds_node = |folder: &&str| Path::new(folder).join("identity/node.crt").exists();
    let found = named.or_else(|| FOLDERS.into_iter().find(holds_node).map(PathBuf::from));
    let looking = tokio::task::spawn_blocking(move || look_at(found));
    looking.await.unwrap_or_else(|_| Machine { here: Here::default(), identity: None })
}

fn look_at(folder: Option<PathBuf>) -> Machine {
    let identity = folder.as_deref().and_then(identity);
    let place = folder.clone().unwrap_or_else(|| existing(Path::new(FOLDERS[2])));
    let mut host = worker::host_facts(&place, None);
    if let (Some(disk), Some(folder)) = (&mut host.disk, &folder) {
        // A folder that cannot be written is another check's.
        let _ = worker::measure_disk(folder, disk);
    }
    let own = identity.as_ref().and_then(|(identity, coordinators)| {
        let (role, node) = (identity.peer.role, identity.peer.node);
        let is_coordinator = role == Role::Coordinator;
        let itself = coordinators.iter().find(|c| is_coordinator && c.node == node);
        let (cluster, address) = (identity.peer.cluster.clone(), itself.map(|c| c.address.clone()));
        let expires_ms = identity.certificate().ok()?.expires_at.saturating_mul(1000);
        Some(Own { node, role, cluster, expires_ms, address })
    });
    let ports = own.iter().filter_map(|own| own.address.as_deref());
    let here = Here {
        name: host_name(),
        host,
        folder: folder.as_deref().map(folder_facts),
        ports_taken: ports.flat_map(taken).collect(),
        own,
        proxy: proxy(),
    };
    Machine { here, identity }
}

fn identity(folder: &Path) -> Option<(Identity, Vec<CoordinatorAddress>)> {
    // Opening it would make the folder.
    if !folder.join("identity").exists() {
        return None;
    }
    let store = IdentityStore::open(folder).ok()?;
    Some((store.load().ok()??, store.coordinators().unwrap_or_default()))
}

/// `path`, or the nearest folder above it that is there.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn folder_facts(folder: &Path) -> Folder {
    let probe = folder.join(".doctor");
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&probe, b"doctor"));
    let _ = fs::remove_file(&probe);
    let keys = fs::metadata(folder.join("identity"));
    Folder {
        path: folder.display().to_string(),
        keys_mode: keys.ok().map(|found| found.permissions().mode()),
        not_writable: written.err().map(|error| error.to_string()),
    }
}

/// `TCP host:port` and `UDP host:port`, as far as they cannot be bound.
fn taken(address: &str) -> Vec<String> {
    let Some(socket) = address.to_socket_addrs().ok().and_then(|mut found| found.next()) else {
        return Vec::new();
    };
    let held = |error: std::io::Error| error.kind() == std::io::ErrorKind::AddrInUse;
    let tcp = TcpListener::bind(socket).is_err_and(held).then(|| format!("TCP {address}"));
    let udp = UdpSocket::bind(socket).is_err_and(held).then(|| format!("UDP {address}"));
    tcp.into_iter().chain(udp).collect()
}

/// The first variable that is set, where no exception is.
fn proxy() -> Option<(String, String)> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if set("NO_PROXY").or_else(|| set("no_proxy")).is_some() {
        return None;
    }
    let value = |name: &&str| Some(((*name).to_owned(), set(name)?.to_string_lossy().into_owned()));
    PROXIES.iter().find_map(value)
}
