//! The world that a simulation puts in the place of the host, for its own thread.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

pub type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

/// Asked on behalf of whichever coordinator is running.
pub trait World {
    /// What the running coordinator's clock shows; clocks may differ, and none goes back.
    fn now(&self) -> Duration;
    /// By the clock of the running coordinator.
    fn sleep(&self, duration: Duration) -> Future<()>;
    /// The task dies with the coordinator that is running.
    fn spawn(&self, task: Future<()>);
    fn draw(&self) -> u64;
    /// Milliseconds since 1970, as the running coordinator has it.
    fn wall_clock(&self) -> u64;
    /// How long the next piece of disk work takes.
    fn disk_delay(&self) -> Duration;
}

thread_local! {
    static WORLD: RefCell<Option<Rc<dyn World>>> = const { RefCell::new(None) };
}

/// The world of this thread until it is dropped.
pub struct Entered(PhantomData<Rc<()>>);

pub fn enter(world: Rc<dyn World>) -> Entered {
    WORLD.with(|place| place.replace(Some(world)));
    Entered(PhantomData)
}

impl Drop for Entered {
    fn drop(&mut self) {
        WORLD.with(|place| place.replace(None));
    }
}

/// `None` outside of a simulation.
pub(crate) fn ask<T>(question: impl FnOnce(&dyn World) -> T) -> Option<T> {
    let world = WORLD.try_with(|place| place.borrow().clone()).ok().flatten()?;
    Some(question(&*world))
}
