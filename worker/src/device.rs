//! The ledger of a device: books the bytes of every stage before it loads, and gives turns by step.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::Place;
use tokio::sync::watch;

use crate::error::WorkerError;

/// One place where ranks of this node run; several models may share it.
pub(crate) struct Device {
    node: String,
    /// For people.
    name: String,
    /// None: the CPU.
    place: Option<Place>,
    /// The device knows what other programs take of its memory.
    tells_free: bool,
    usable_bytes: u64,
    booked_bytes: Mutex<u64>,
    turn: Mutex<()>,
    /// Releases under way: memory that is about to be free.
    leaving: watch::Sender<usize>,
}

/// Booked bytes of one stage; dropping it frees them.
pub(crate) struct Booking {
    device: Arc<Device>,
    bytes: u64,
}

/// Held while a stage is on its way out; loads wait for it.
pub(crate) struct Leaving {
    device: Arc<Device>,
}

impl Device {
    /// `usable_bytes`: what all stages together may take on the device `name` of `node`.
    pub(crate) fn new(
        node: String,
        name: String,
        usable_bytes: u64,
        place: Option<Place>,
        tells_free: bool,
    ) -> Arc<Self> {
        let (booked_bytes, turn) = (Mutex::new(0), Mutex::new(()));
        let leaving = watch::Sender::new(0);
        let device =
            Self { node, name, place, tells_free, usable_bytes, booked_bytes, turn, leaving };
        Arc::new(device)
    }

    /// Where its stages are loaded; none: on the CPU.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Books `bytes`, or says who lacks how much. Of a GPU, other programs may have taken some
    /// since the worker started.
    pub(crate) fn book(self: &Arc<Self>, bytes: u64) -> Result<Booking, WorkerError> {
        let mut booked = lock(&self.booked_bytes);
        let untaken = self.untaken().unwrap_or(u64::MAX);
        let free_bytes = self.usable_bytes.saturating_sub(*booked).min(untaken);
        if bytes > free_bytes {
            return Err(self.lacks(bytes, free_bytes));
        }
        *booked += bytes;
        Ok(Booking { device: Arc::clone(self), bytes })
    }

    /// The error of a stage that found no memory though it was booked.
    pub(crate) fn ran_out(&self, needed_bytes: u64) -> WorkerError {
        let booked = *lock(&self.booked_bytes);
        let unbooked = self.usable_bytes.saturating_sub(booked);
        self.lacks(needed_bytes, self.untaken().unwrap_or(unbooked))
    }

    fn untaken(&self) -> Option<u64> {
        self.place.as_ref().filter(|_| self.tells_free).and_then(Place::free_bytes)
    }

    fn lacks(&self, needed_bytes: u64, free_bytes: u64) -> WorkerError {
        let (node, device, usable_bytes) =
            (self.node.clone(), self.name.clone(), self.usable_bytes);
        WorkerError::OutOfMemory { node, device, needed_bytes, free_bytes, usable_bytes }
    }

    /// Waits for the device; stages of all models take turns by step.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
    }

    /// Announces that a stage will be freed; kept until it is.
    pub(crate) fn leave(self: &Arc<Self>) -> Leaving {
        self.leaving.send_modify(|n| *n += 1);
        Leaving { device: Arc::clone(self) }
    }

    /// Resolves when no stage is on its way out.
    pub(crate) async fn settled(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.leaving.subscribe().wait_for(|n| *n == 0).await;
    }
}

impl Booking {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        let mut booked = lock(&self.device.booked_bytes);
        *booked = booked.saturating_sub(self.bytes);
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.device.leaving.send_modify(|n| *n = n.saturating_sub(1));
    }
}

/// The guarded values are whole after every statement, so a panicked holder left nothing torn.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_does_not_fit_is_refused_with_the_figures() {
        let device = Device::new("atlas".into(), "cpu".into(), 100, None, false);
        let first = device.book(70).expect("fits");
        let error = device.book(40).map(drop).expect_err("30 are left").to_string();
        assert_eq!(error, "node atlas device cpu has 30 bytes free of 100, the stage needs 40");
        drop(first);
        assert!(device.book(100).is_ok(), "a dropped booking is free again");
    }

    #[tokio::test]
    async fn a_load_waits_for_what_is_leaving() {
        let device = Device::new("atlas".into(), "cpu".into(), 100, None, false);
        let leaving = device.leave();
        let waiting = tokio::spawn({
            let device = Arc::clone(&device);
            async move { device.settled().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(leaving);
        waiting.await.expect("settled");
    }
}
