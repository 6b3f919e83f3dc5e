//! The ledger of a device: books the bytes of every stage before it loads, and gives turns by step.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::error::WorkerError;

/// One place where ranks of this node run; several models may share it.
#[derive(Debug)]
pub(crate) struct Device {
    node: String,
    index: u32,
    usable_bytes: u64,
    booked_bytes: Mutex<u64>,
    turn: Mutex<()>,
    /// Releases under way: memory that is about to be free.
    leaving: watch::Sender<usize>,
}

/// Booked bytes of one stage; dropping it frees them.
#[derive(Debug)]
pub(crate) struct Booking {
    device: Arc<Device>,
    bytes: u64,
}

/// Held while a stage is on its way out; loads wait for it.
#[derive(Debug)]
pub(crate) struct Leaving {
    device: Arc<Device>,
}

impl Device {
    /// `usable_bytes`: what all stages together may take on device `index` of `node`.
    pub(crate) fn new(node: String, index: u32, usable_bytes: u64) -> Arc<Self> {
        let (booked_bytes, turn) = (Mutex::new(0), Mutex::new(()));
        let leaving = watch::Sender::new(0);
        Arc::new(Self { node, index, usable_bytes, booked_bytes, turn, leaving })
    }

    /// Books `bytes`, or says who lacks how much.
    pub(crate) fn book(self: &Arc<Self>, bytes: u64) -> Result<Booking, WorkerError> {
        let mut booked = lock(&self.booked_bytes);
        let free_bytes = self.usable_bytes.saturating_sub(*booked);
        if bytes > free_bytes {
            return Err(WorkerError::OutOfMemory {
                node: self.node.clone(),
                device: self.index,
                needed_bytes: bytes,
                free_bytes,
                usable_bytes: self.usable_bytes,
            });
        }
        *booked += bytes;
        Ok(Booking { device: Arc::clone(self), bytes })
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
        let device = Device::new("atlas".into(), 0, 100);
        let first = device.book(70).expect("fits");
        let error = device.book(40).expect_err("30 are left").to_string();
        assert_eq!(error, "node atlas device 0 has 30 bytes free of 100, the stage needs 40");
        drop(first);
        assert!(device.book(100).is_ok(), "a dropped booking is free again");
    }

    #[tokio::test]
    async fn a_load_waits_for_what_is_leaving() {
        let device = Device::new("atlas".into(), 0, 100);
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
