//! A client gets exactly the tokens of an undisturbed run, each once and in order, then one end:
//! a fault may cost time, never a word.

use coordinator::gateway::request::Action;
use protocol::generate::FinishReason;
use protocol::ids::TokenId;

use super::Invariant;
use crate::sim::{Client, End, Observation};

pub(super) struct TokensInOrder {
    streams: Vec<Stream>,
}

struct Stream {
    answer: Vec<TokenId>,
    reason: FinishReason,
    told: usize,
    ended: bool,
}

impl TokensInOrder {
    pub(super) fn new(clients: &[Client]) -> Self {
        let stream = |client: &Client| Stream {
            answer: client.answer.clone(),
            reason: client.reason,
            told: 0,
            ended: false,
        };
        Self { streams: clients.iter().map(stream).collect() }
    }
}

impl Invariant for TokensInOrder {
    fn name(&self) -> &'static str {
        "tokens_in_order"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Told { client, action, .. } = observation else {
            return Ok(());
        };
        let stream = &mut self.streams[*client];
        if stream.ended {
            return Err(format!("client {client} was told {action:?} after its end"));
        }
        match action {
            Action::Emit(token) => {
                let expected = stream.answer.get(stream.told);
                if expected != Some(&token.token) {
                    let (at, found) = (stream.told, token.token);
                    return Err(format!("client {client}: {found} at {at}, not {expected:?}"));
                }
                stream.told += 1;
            }
            Action::Finish(reason) => {
                stream.ended = true;
                if (stream.told, *reason) != (stream.answer.len(), stream.reason) {
                    let (told, all) = (stream.told, stream.answer.len());
                    return Err(format!(
                        "client {client}: {reason:?} after {told} of {all} tokens"
                    ));
                }
            }
            Action::Fail(_) => stream.ended = true,
            _ => {}
        }
        Ok(())
    }

    fn at_end(&self, _: &End) -> Result<(), String> {
        Ok(())
    }
}
