//! Ranks that are threads of one process: they meet in shared memory.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Fate, Inbox, Link, LinkLost, Mesh, Outbox};

/// Bytes that one end may be ahead of the other.
const PIPE_BYTES: usize = 256 << 10;

/// The ranks of a group of `size`, in order. One that waits longer than `patience` for another
/// gives up; one that is dropped makes the others give up.
pub fn in_process_group(size: usize, patience: Duration) -> Vec<Mesh> {
    let mut links: Vec<Vec<(usize, Box<dyn Link>)>> = (0..size).map(|_| Vec::new()).collect();
    for low in 0..size {
        for high in low + 1..size {
            let (a, b) = local_links();
            links[low].push((high, Box::new(a)));
            links[high].push((low, Box::new(b)));
        }
    }
    let mesh = |(rank, links)| Mesh::new(rank, links, Fate::default(), patience);
    links.into_iter().enumerate().map(mesh).collect()
}

/// The two ends of a link between two threads.
pub fn local_links() -> (LocalLink, LocalLink) {
    let (there, back) = (Arc::<Pipe>::default(), Arc::<Pipe>::default());
    let first = LocalLink { out: Arc::clone(&there), back: Arc::clone(&back) };
    (first, LocalLink { out: back, back: there })
}

/// One end; when it is dropped the other finds its peer gone.
pub struct LocalLink {
    out: Arc<Pipe>,
    back: Arc<Pipe>,
}

#[derive(Default)]
struct Pipe {
    state: Mutex<PipeState>,
    changed: Condvar,
}

#[derive(Default)]
struct PipeState {
    bytes: Vec<u8>,
    closed: bool,
}

impl Pipe {
    /// Every statement under the lock leaves the state whole.
    fn state(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for LocalLink {
    fn exchange(&mut self, out: &mut Outbox, inbox: &mut Inbox) -> Result<(), LinkLost> {
        if !out.is_empty() {
            let mut pipe = self.out.state();
            let count = out.rest().len().min(PIPE_BYTES - pipe.bytes.len());
            pipe.bytes.extend_from_slice(&out.rest()[..count]);
            out.took(count);
            self.out.changed.notify_one();
        }
        let mut pipe = self.back.state();
        let room = inbox.room();
        let count = room.len().min(pipe.bytes.len());
        room[..count].copy_from_slice(&pipe.bytes[..count]);
        inbox.wrote(count);
        pipe.bytes.drain(..count);
        // What came before the end still counts.
        if pipe.closed && count == 0 {
            return Err(LinkLost("it left".to_owned()));
        }
        Ok(())
    }

    fn wait(&mut self, time: Duration, _sending: bool) {
        let pipe = self.back.state();
        if pipe.bytes.is_empty() && !pipe.closed {
            drop(self.back.changed.wait_timeout(pipe, time));
        }
    }
}

impl Drop for LocalLink {
    fn drop(&mut self) {
        for pipe in [&self.out, &self.back] {
            pipe.state().closed = true;
            pipe.changed.notify_one();
        }
    }
}
