//! A worker runs rows of the epoch it was told to hold and of no other, and a client's tokens come
//! from the epoch it was last submitted to: two plans at once would give two answers.

use std::collections::BTreeMap;

use coordinator::gateway::request::Action;
use protocol::ids::{Epoch, ReplicaId};
use worker::shard::ShardKey;

use super::Invariant;
use crate::sim::{End, Observation};

#[derive(Default)]
pub(super) struct OneEpoch {
    /// The newest epoch that each worker has run.
    newest: BTreeMap<(usize, ReplicaId), Epoch>,
    /// Where each client was last submitted to.
    submitted: BTreeMap<usize, ShardKey>,
}

impl Invariant for OneEpoch {
    fn name(&self) -> &'static str {
        "one_epoch"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Executed { worker, key, held, batch } => {
                if *held != Some(*key) {
                    let step = batch.step;
                    return Err(format!(
                        "worker {worker} ran step {step} of {key}, holds {held:?}"
                    ));
                }
                let newest = self.newest.entry((*worker, key.replica)).or_insert(key.epoch);
                if key.epoch < *newest {
                    return Err(format!("worker {worker} went back from epoch {newest} to {key}"));
                }
                *newest = key.epoch;
            }
            Observation::Submitted { client, key, .. } => {
                self.submitted.insert(*client, *key);
            }
            Observation::Told { client, source: Some(source), action: Action::Emit(_) } => {
                let submitted = self.submitted.get(client);
                if submitted != Some(source) {
                    return Err(format!(
                        "client {client} took a token of {source}, not {submitted:?}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn at_end(&self, _: &End) -> Result<(), String> {
        Ok(())
    }
}
