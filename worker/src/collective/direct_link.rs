//! A link over a TLS socket that the rank's own thread polls while a step is under way.

use std::io;
use std::time::Duration;

use engine::collective::{Inbox, Link, LinkLost, Outbox};
use protocol::transport::DirectSocket;

pub struct DirectLink(pub DirectSocket);

impl Link for DirectLink {
    fn exchange(&mut self, out: &mut Outbox, inbox: &mut Inbox) -> Result<(), LinkLost> {
        while !out.is_empty() {
            match self.0.send(out.rest()).map_err(lost)? {
                0 => break,
                count => out.took(count),
            }
        }
        let count = self.0.receive(inbox.room()).map_err(lost)?;
        inbox.wrote(count);
        Ok(())
    }

    fn wait(&mut self, time: Duration, sending: bool) {
        self.0.wait(time, sending);
    }
}

fn lost(error: io::Error) -> LinkLost {
    LinkLost(error.to_string())
}
