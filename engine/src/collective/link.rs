//! The way from one rank to another: bytes in order both ways, with messages laid into them.
//!
//! ```text
//! offset  size  field
//!      0     4  call of the group, little-endian like every number here
//!      4     4  values of this message
//!      8     4  values that follow in further messages of the same call
//!     12     -  values, f32
//! ```

use std::time::Duration;

/// Values of one message, at most: bounds the buffers of a link. More are sent in several.
pub(super) const MESSAGE_VALUES_MAX: usize = 256 << 10;
const HEADER_BYTES: usize = 12;
const MESSAGE_BYTES_MAX: usize = HEADER_BYTES + 4 * MESSAGE_VALUES_MAX;
/// Read beyond a message at once, so that a short one takes one call of the system.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// A transport between two ranks.
pub trait Link: Send {
    /// Moves bytes both ways as far as that goes without waiting.
    fn exchange(&mut self, out: &mut Outbox, inbox: &mut Inbox) -> Result<(), LinkLost>;

    /// Waits for `time` at most until bytes may move again; may return early. `sending`: some are
    /// left to send.
    fn wait(&mut self, time: Duration, sending: bool);
}

/// Why nothing will come or go any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkLost(pub String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessageHead {
    pub(super) call: u32,
    pub(super) values: u32,
    pub(super) to_follow: u32,
}

/// A whole message: its head, and its values as they travel.
pub(super) type Message<'a> = (MessageHead, &'a [[u8; 4]]);

/// A message on its way out.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    taken: usize,
}

impl Outbox {
    /// What the transport has not taken yet.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// The transport took `count` bytes of the rest.
    pub fn took(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.bytes.len());
    }

    pub fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// Lays out the next message; the last one is gone.
    pub(super) fn fill(&mut self, head: MessageHead, values: &[f32]) {
        self.taken = 0;
        self.bytes.clear();
        for number in [head.call, head.values, head.to_follow] {
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
        self.bytes.resize(HEADER_BYTES + 4 * values.len(), 0);
        let places = self.bytes[HEADER_BYTES..].as_chunks_mut::<4>().0;
        for (place, value) in places.iter_mut().zip(values) {
            *place = value.to_le_bytes();
        }
    }
}

/// Received bytes, of at most one message and some more.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    filled: usize,
}

impl Inbox {
    /// Where the transport may write next; empty until the message in front has been read.
    pub fn room(&mut self) -> &mut [u8] {
        let wanted = match self.head() {
            Some(head) => HEADER_BYTES + 4 * head.values as usize,
            None => HEADER_BYTES,
        };
        let end = wanted.min(MESSAGE_BYTES_MAX) + READ_AHEAD_BYTES;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.filled..end.max(self.filled)]
    }

    /// The transport wrote `count` bytes into the room.
    pub fn wrote(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.bytes.len());
    }

    /// Bytes that have come and were not read yet.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    fn head(&self) -> Option<MessageHead> {
        let (numbers, _) = self.bytes[..self.filled].first_chunk::<HEADER_BYTES>()?.as_chunks();
        let number = |i: usize| u32::from_le_bytes(numbers[i]);
        Some(MessageHead { call: number(0), values: number(1), to_follow: number(2) })
    }

    /// The message in front, once all of it has come.
    pub(super) fn message(&self) -> Result<Option<Message<'_>>, LinkLost> {
        let Some(head) = self.head() else { return Ok(None) };
        let values = head.values as usize;
        if values > MESSAGE_VALUES_MAX {
            let reason = format!("{values} values in a message, at most {MESSAGE_VALUES_MAX}");
            return Err(LinkLost(reason));
        }
        let whole = self.bytes[..self.filled].get(HEADER_BYTES..HEADER_BYTES + 4 * values);
        Ok(whole.map(|bytes| (head, bytes.as_chunks().0)))
    }

    /// Forgets the message in front.
    pub(super) fn drop_message(&mut self) {
        let Some(head) = self.head() else { return };
        let end = (HEADER_BYTES + 4 * head.values as usize).min(self.filled);
        self.bytes.copy_within(end..self.filled, 0);
        self.filled -= end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(call: u32, values: &[f32]) -> Vec<u8> {
        let mut out = Outbox::default();
        let values_count = values.len() as u32;
        out.fill(MessageHead { call, values: values_count, to_follow: 0 }, values);
        out.rest().to_vec()
    }

    #[test]
    fn messages_that_come_byte_by_byte_or_together_are_read_in_order() {
        let bytes = [message(1, &[1.0, 2.0]), message(2, &[]), message(3, &[3.0; 40_000])].concat();
        for step in [1, 7, bytes.len()] {
            let (mut inbox, mut rest, mut found) = (Inbox::default(), &bytes[..], Vec::new());
            while found.len() < 3 {
                let count = step.min(rest.len()).min(inbox.room().len());
                inbox.room()[..count].copy_from_slice(&rest[..count]);
                inbox.wrote(count);
                rest = &rest[count..];
                while let Some((head, values)) = inbox.message().expect("well formed") {
                    found.push((head.call, values.len()));
                    inbox.drop_message();
                }
            }
            assert_eq!(found, [(1, 2), (2, 0), (3, 40_000)], "{step} bytes at once");
        }
    }

    #[test]
    fn a_message_longer_than_any_is_refused_before_it_takes_memory() {
        let mut inbox = Inbox::default();
        let bytes = [1_u32, u32::MAX, 0].map(u32::to_le_bytes).concat();
        inbox.room()[..bytes.len()].copy_from_slice(&bytes);
        inbox.wrote(bytes.len());
        assert!(inbox.message().is_err());
        assert!(inbox.room().len() <= MESSAGE_BYTES_MAX + READ_AHEAD_BYTES);
    }
}
