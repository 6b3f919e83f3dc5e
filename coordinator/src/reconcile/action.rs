//! What the reconciler asks of its driver.

use protocol::control::CoordinatorMessage;
use protocol::ids::NodeId;

use crate::state::Change;

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Only a leader asks for it. An answer is not needed: the state shows what became of it.
    Propose(Change),
    /// To the worker's control stream at this coordinator; dropped when there is none.
    Send { node: NodeId, message: CoordinatorMessage },
}
