//! Once the faults are over every request ends, and those that come then get their whole answer:
//! nobody waits for ever, and the cluster heals by itself.

use coordinator::gateway::request::Action;

use super::Invariant;
use crate::sim::{Client, End, Fate, Observation};

pub(super) struct EveryRequestEnds {
    /// Whether only a whole answer will do.
    after_faults: Vec<bool>,
}

impl EveryRequestEnds {
    pub(super) fn new(clients: &[Client]) -> Self {
        Self { after_faults: clients.iter().map(|client| client.after_faults).collect() }
    }
}

impl Invariant for EveryRequestEnds {
    fn name(&self) -> &'static str {
        "every_request_ends"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Told { client, action: Action::Fail(failure), .. }
                if self.after_faults[*client] =>
            {
                Err(format!("client {client} came after the faults and failed: {failure:?}"))
            }
            _ => Ok(()),
        }
    }

    fn at_end(&self, end: &End) -> Result<(), String> {
        let running = end.fates.iter().position(|fate| *fate == Fate::Running);
        if let Some(client) = running {
            return Err(format!("client {client} still waits after {:?}", end.now));
        }
        match end.loads.iter().find(|load| load.running + load.waiting > 0) {
            Some(load) => Err(format!("a head still works for nobody: {load:?}")),
            None => Ok(()),
        }
    }
}
