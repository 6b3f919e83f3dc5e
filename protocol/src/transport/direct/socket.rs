//! The polled end of a TLS connection: nothing in it waits but `wait`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Read from the kernel at once: a message of 16 KiB and what surrounds it in one call.
const READ_BYTES: usize = 64 << 10;

/// A connection that its owner polls.
pub struct DirectSocket {
    tcp: TcpStream,
    tls: rustls::Connection,
    /// Bytes of the caller's that are encrypted, but not with the kernel yet.
    sealed: usize,
    /// Still encrypted: `raw[start..end]`.
    raw: Box<[u8]>,
    start: usize,
    end: usize,
}

impl DirectSocket {
    /// `tcp` does not block.
    pub(super) fn new(tcp: TcpStream, tls: rustls::Connection) -> Self {
        let raw = vec![0; READ_BYTES].into_boxed_slice();
        Self { tcp, tls, sealed: 0, raw, start: 0, end: 0 }
    }

    /// Hands `bytes` to the kernel; returns how many of them it has, 0 when it takes none now.
    /// Those that it has not must come first in the next call.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(rest) = bytes.get(self.sealed..) {
            self.sealed += self.tls.writer().write(rest)?;
        }
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.tcp) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(std::mem::take(&mut self.sealed))
    }

    /// Fills `room` as far as bytes have come; 0 when none have. An end of the connection is an
    /// error.
    pub fn receive(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        let mut drained = false;
        while filled < room.len() {
            match self.tls.reader().read(&mut room[filled..]) {
                Ok(0) => return Err(closed()),
                Ok(count) => {
                    filled += count;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if self.start == self.end {
                // A short read was all there is: asking again would cost a call to learn it.
                if drained {
                    break;
                }
                match self.read()? {
                    0 => break,
                    count => drained = count < READ_BYTES,
                }
            }
            let mut rest = &self.raw[self.start..self.end];
            self.start += self.tls.read_tls(&mut rest)?;
            self.tls.process_new_packets().map_err(io::Error::other)?;
        }
        Ok(filled)
    }

    /// Waits until bytes have come, or go where `writable`, or `time` is over.
    pub fn wait(&self, time: Duration, writable: bool) {
        if self.start < self.end {
            return;
        }
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, writable);
        let Ok(time) = Timespec::try_from(time) else { return };
        // Whatever is wrong shows at the next read or write.
        let _ = poll(&mut [PollFd::new(&self.tcp, flags)], Some(&time));
    }

    fn read(&mut self) -> io::Result<usize> {
        loop {
            match self.tcp.read(&mut self.raw) {
                Ok(0) => return Err(closed()),
                Ok(count) => {
                    (self.start, self.end) = (0, count);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "closed by the peer")
}
