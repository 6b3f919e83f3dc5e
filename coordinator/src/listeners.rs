//! The sockets of a coordinator, bound before anything starts.

use std::net::{SocketAddr, UdpSocket};

use tokio::net::TcpListener;

use crate::config::Config;
use crate::error::CoordinatorError;

pub struct Listeners {
    pub node_tcp: TcpListener,
    /// Same number as `node_tcp`.
    pub node_udp: UdpSocket,
    pub api: TcpListener,
}

/// With port 0 the kernel's choice for TCP may be taken on UDP: then another is tried.
const TRIES: u32 = 16;

impl Listeners {
    pub async fn bind(config: &Config) -> Result<Self, CoordinatorError> {
        let api = tcp(config.api_listen).await?;
        let mut tries = 0;
        loop {
            let node_tcp = tcp(config.listen).await?;
            let address = node_tcp.local_addr().map_err(|e| failed(config.listen, &e))?;
            tries += 1;
            match UdpSocket::bind(address) {
                Ok(node_udp) => return Ok(Self { node_tcp, node_udp, api }),
                Err(_) if config.listen.port() == 0 && tries < TRIES => {}
                Err(error) => return Err(failed(address, &error)),
            }
        }
    }

    pub fn node_address(&self) -> Result<SocketAddr, CoordinatorError> {
        self.node_tcp.local_addr().map_err(|e| failed("the node port", &e))
    }

    pub fn api_address(&self) -> Result<SocketAddr, CoordinatorError> {
        self.api.local_addr().map_err(|e| failed("the API port", &e))
    }
}

async fn tcp(address: SocketAddr) -> Result<TcpListener, CoordinatorError> {
    TcpListener::bind(address).await.map_err(|e| failed(address, &e))
}

fn failed(address: impl ToString, error: &std::io::Error) -> CoordinatorError {
    CoordinatorError::Listen { address: address.to_string(), reason: error.to_string() }
}
