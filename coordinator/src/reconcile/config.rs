//! Intervals of the reconciler; each is a promise, exact under a virtual clock.

use std::time::Duration;

use crate::state::{Setting, Settings};

#[derive(Clone, Debug, PartialEq)]
pub struct ReconcilerConfig {
    /// How often a driver delivers `Event::Tick`.
    pub tick: Duration,
    /// How often workers send heartbeats.
    pub heartbeat: Duration,
    /// Silence after which a node is lost.
    pub failure_timeout: Duration,
    /// How much longer all nodes may be silent together: then the fault is likelier here.
    pub self_suspicion: Duration,
    /// A node whose control stream was reset has this long to come back: its process is gone
    /// unless it dials again at once.
    pub reset_grace: Duration,
    /// How long a process that just started waits for the members' first contact.
    pub first_contact: Duration,
    /// First wait before a replica whose pipeline broke gets another epoch; doubles.
    pub retry_first: Duration,
    pub retry_max: Duration,
    /// Waits of a node that was lost again and again, from its second loss on; doubles.
    pub flap_first: Duration,
    pub flap_max: Duration,
    /// A node that stayed this long is no longer held to be flapping.
    pub flap_memory: Duration,
    /// How long a node is not planned on after it ran out of memory.
    pub exclusion: Duration,
    /// Broken epochs in a row, none of them ready for long, after which a deployment has failed.
    pub failures_max: u32,
    /// An operation that shows no progress for this long has failed.
    pub operation_stall: Duration,
    /// How often links that are down are probed again.
    pub link_probe: Duration,
    /// How long a proposal may be under way before it is made again.
    pub proposal: Duration,
}

impl Default for ReconcilerConfig {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(50),
            heartbeat: Duration::from_millis(200),
            failure_timeout: Setting::FailureTimeout.facts().default,
            self_suspicion: Duration::from_secs(5),
            reset_grace: Duration::from_millis(100),
            first_contact: Duration::from_secs(5),
            retry_first: Duration::from_millis(200),
            retry_max: Duration::from_secs(30),
            flap_first: Duration::from_secs(1),
            flap_max: Duration::from_secs(60),
            flap_memory: Setting::FlapMemory.facts().default,
            exclusion: Duration::from_secs(60),
            failures_max: 5,
            operation_stall: Duration::from_secs(120),
            link_probe: Duration::from_secs(30),
            proposal: Duration::from_secs(2),
        }
    }
}

impl ReconcilerConfig {
    /// With what was set for the cluster in place of what this process began with.
    pub(crate) fn obeying(&self, settings: &Settings) -> Self {
        let set = |setting, own: Duration| settings.set(setting).unwrap_or(own);
        Self {
            failure_timeout: set(Setting::FailureTimeout, self.failure_timeout),
            flap_memory: set(Setting::FlapMemory, self.flap_memory),
            ..self.clone()
        }
    }
}

/// `first * 2^step`, at most `most`.
pub(super) fn backoff(first: Duration, step: u32, most: Duration) -> Duration {
    first.saturating_mul(2u32.saturating_pow(step)).min(most)
}
