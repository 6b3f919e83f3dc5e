//! What must hold in every simulation, whatever happens: one invariant per file.

mod blocks_conserved;
mod cancel_frees;
mod every_request_ends;
pub mod group;
mod holdings;
mod one_epoch;
mod tokens_in_order;

use crate::sim::{Client, End, Observation};

pub trait Invariant {
    fn name(&self) -> &'static str;
    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String>;
    fn at_end(&self, end: &End) -> Result<(), String>;
}

pub fn all(clients: &[Client]) -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(blocks_conserved::BlocksConserved::default()),
        Box::new(tokens_in_order::TokensInOrder::new(clients)),
        Box::new(one_epoch::OneEpoch::default()),
        Box::new(every_request_ends::EveryRequestEnds::new(clients)),
        Box::new(cancel_frees::CancelFrees::default()),
    ]
}
