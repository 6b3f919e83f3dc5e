//! What a coordinator is told at its start, resolved: every value is in force.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::control::LOG_LEVEL;
use protocol::identity::IdentityStore;
use protocol::log_ring::LogRing;
use tokio::sync::watch;

use crate::error::CoordinatorError;
use crate::founding::coordinator_identity;
use crate::gateway::config::GatewayConfig;
use crate::reconcile::ReconcilerConfig;

#[derive(Clone, Debug)]
pub struct Config {
    /// Holds `identity/`, `raft.redb`, `snapshot.json` and `blobs/`.
    pub data_dir: PathBuf,
    /// Node traffic: gRPC on this TCP port, QUIC on the UDP port of the same number.
    pub listen: SocketAddr,
    /// The client and admin API.
    pub api_listen: SocketAddr,
    /// `host:port` under which the other nodes reach `listen`; its own address when absent.
    pub address: Option<String>,
    /// `host:port` under which people reach `api_listen`; its own address when absent.
    pub api_address: Option<String>,
    /// Keys also on loopback, where nobody needs one otherwise.
    pub require_keys: bool,
    /// Plain HTTP also off loopback.
    pub insecure_http: bool,
    pub gateway: GatewayConfig,
    pub reconciler: ReconcilerConfig,
    pub raft_heartbeat: Duration,
    /// Of the certificates that this coordinator signs, which are renewed when two thirds are over;
    /// the cluster's setting when absent.
    pub certificate_validity: Option<Duration>,
    /// A follower that hears nothing this long stands for election, or up to twice as long.
    pub raft_election: Duration,
    /// Highest level of the log's format that this node speaks; lower ones only in tests of groups
    /// whose versions differ.
    pub log_level: u32,
    /// Answers that run may go on that long after a shutdown was asked for.
    pub drain: Duration,
    /// Gets a line on how the coordinator stands after each lap of its loops, and so nothing while
    /// one of them does not turn; the first once it serves.
    pub pulse: watch::Sender<String>,
    /// The newest lines of this process's log, for people who ask.
    pub log: LogRing,
}

impl Config {
    pub const NODE_PORT: u16 = 7443;
    pub const API_PORT: u16 = 8443;

    /// Listens to other nodes everywhere and to clients on loopback.
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            listen: SocketAddr::from(([0, 0, 0, 0], Self::NODE_PORT)),
            api_listen: SocketAddr::from(([127, 0, 0, 1], Self::API_PORT)),
            address: None,
            api_address: None,
            require_keys: false,
            insecure_http: false,
            gateway: GatewayConfig::default(),
            reconciler: ReconcilerConfig::default(),
            certificate_validity: None,
            raft_heartbeat: Duration::from_millis(100),
            raft_election: Duration::from_millis(400),
            log_level: LOG_LEVEL,
            drain: Duration::from_secs(30),
            pulse: watch::Sender::default(),
            log: LogRing::default(),
        }
    }

    /// The defaults, with the addresses under which this node was founded or joined.
    pub fn load(data_dir: &Path) -> Result<Self, CoordinatorError> {
        let store = IdentityStore::open(data_dir)?;
        let none = || CoordinatorError::NoIdentity { path: data_dir.to_owned() };
        let identity = coordinator_identity(store.load()?.ok_or_else(none)?, data_dir)?;
        let mut config = Self::new(data_dir.to_owned());
        let known = store.coordinators()?;
        if let Some(own) = known.into_iter().find(|c| c.node == identity.peer.node) {
            config.listen = listening(&own.address, config.listen);
            config.api_listen = listening(&own.api_address, config.api_listen);
            config.address = Some(own.address);
            config.api_address = Some(own.api_address);
        }
        Ok(config)
    }

    pub(crate) fn check(&self) -> Result<(), CoordinatorError> {
        if self.raft_election < 3 * self.raft_heartbeat || self.raft_heartbeat.is_zero() {
            return Err(CoordinatorError::BadConfig {
                key: "raft_election",
                value: format!("{:?}", self.raft_election),
                expected: "at least three times raft_heartbeat",
            });
        }
        let short = |validity: &Duration| *validity < Duration::from_secs(3);
        if let Some(validity) = self.certificate_validity.filter(short) {
            return Err(CoordinatorError::BadConfig {
                key: "certificate_validity",
                value: format!("{validity:?}"),
                expected: "at least 3 s",
            });
        }
        if self.reconciler.failure_timeout < 3 * self.reconciler.heartbeat {
            return Err(CoordinatorError::BadConfig {
                key: "failure_timeout",
                value: format!("{:?}", self.reconciler.failure_timeout),
                expected: "at least three times the heartbeat interval",
            });
        }
        Ok(())
    }
}

/// Where to listen so that `address` reaches it: loopback stays loopback, else every interface.
fn listening(address: &str, default: SocketAddr) -> SocketAddr {
    let Some((host, port)) = address.rsplit_once(':') else { return default };
    let port = port.parse().unwrap_or(default.port());
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let ip = match ip {
        Ok(ip) if ip.is_loopback() => ip,
        _ if host == "localhost" => IpAddr::from([127, 0, 0, 1]),
        _ => IpAddr::from([0, 0, 0, 0]),
    };
    SocketAddr::new(ip, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_stays_loopback_and_other_addresses_mean_every_interface() {
        let default = SocketAddr::from(([127, 0, 0, 1], 1));
        let check = |address: &str, expected: &str| {
            assert_eq!(listening(address, default).to_string(), expected);
        };
        check("127.0.0.1:7443", "127.0.0.1:7443");
        check("localhost:7443", "127.0.0.1:7443");
        check("10.0.0.11:7443", "0.0.0.0:7443");
        check("a1.lan:9", "0.0.0.0:9");
        check("[::1]:7443", "[::1]:7443");
        check("nonsense", "127.0.0.1:1");
    }
}
