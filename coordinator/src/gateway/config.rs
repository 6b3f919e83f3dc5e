//! Limits and waits of the gateway, resolved: every value is in force.

use std::time::Duration;

use super::auth::KeyPolicy;
use super::request::Patience;

#[derive(Clone, Debug)]
pub struct GatewayConfig {
    pub keys: KeyPolicy,
    pub limits: Limits,
    pub patience: Patience,
    /// Between two bytes of a stream, at most; proxies cut silent connections after about 60 s.
    pub keep_alive: Duration,
    /// Serves requests that name an unknown model; such a name is a 404 when absent.
    pub fallback_model: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests that run or wait at once on this node.
    pub requests_max: usize,
    /// Sequences of one request: prompts times `n`.
    pub choices_max: u32,
    /// Sequences that may wait at a replica before new ones are refused early.
    pub replica_waiting_max: u32,
    pub body_bytes_max: usize,
    /// Bytes of all bodies that are being read, parsed and tokenised at once.
    pub bodies_bytes_max: usize,
    /// For a body to arrive, and for room to read it.
    pub body_wait: Duration,
    /// A client that takes none of its stream for this long is gone.
    pub client_stall: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            keys: KeyPolicy::Open,
            limits: Limits {
                requests_max: 512,
                choices_max: 16,
                replica_waiting_max: 1024,
                body_bytes_max: 4 << 20,
                bodies_bytes_max: 16 << 20,
                body_wait: Duration::from_secs(60),
                client_stall: Duration::from_secs(300),
            },
            patience: Patience {
                plan: Duration::from_secs(60),
                accept: Duration::from_secs(10),
                first_token: Duration::from_secs(300),
                silence: Duration::from_secs(120),
                total: Duration::from_secs(3600),
            },
            keep_alive: Duration::from_secs(15),
            fallback_model: None,
        }
    }
}
