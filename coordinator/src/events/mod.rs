//! What happened, for who watches: changes from the log, numbered by it, and what this coordinator
//! sees of the nodes. A bounded memory; who falls behind is told what he missed.

mod log;
mod soft;
mod stream;
mod words;

pub(crate) use log::EventLog;
pub(crate) use soft::{current, watch};
pub(crate) use stream::{Wanted, stream};
pub(crate) use words::words;
