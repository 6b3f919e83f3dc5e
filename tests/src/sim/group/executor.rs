//! Polls the coordinators' tasks under virtual time, in an order that the seed alone decides.
//!
//! What is woken is polled in rounds, by number or shuffled: who woke it first does not matter, so
//! that randomness inside of channels cannot leak into a run.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use coordinator::testing::{Entered, Future, World, enter};

use super::super::random::Random;

/// More rounds than this without a pause are a loop.
const ROUNDS_MAX: u32 = 100_000;

/// By the moment they are due and the order in which they were made.
type Timers = BTreeMap<(Duration, u64), Weak<Mutex<Timer>>>;

pub(super) struct Executor {
    now: Cell<Duration>,
    running: Cell<Option<usize>>,
    spawned: Cell<u64>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    woken: Arc<Mutex<BTreeSet<u64>>>,
    timers: RefCell<Timers>,
    random: RefCell<Random>,
    /// By coordinator.
    hosts: RefCell<Vec<Host>>,
    /// The coordinators of which a task panicked.
    panicked: RefCell<Vec<usize>>,
}

/// A coordinator's own clock and disk.
#[derive(Clone, Copy)]
pub(super) struct Host {
    /// Thousandths of true speed.
    pub(super) clock_rate: u32,
    /// Milliseconds that its wall clock is ahead.
    pub(super) wall_ahead: i64,
    pub(super) disk_extra: Duration,
}

impl Host {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            clock_rate: random.between(900, 1100),
            wall_ahead: i64::from(random.between(0, 20_000)) - 10_000,
            disk_extra: Duration::ZERO,
        }
    }
}

struct Task {
    owner: Option<usize>,
    future: Option<Future<()>>,
    waker: Waker,
}

#[derive(Default)]
struct Timer {
    fired: bool,
    waker: Option<Waker>,
}

impl Executor {
    /// A world for this thread, with as many hosts; it is left when `Entered` is dropped.
    pub(super) fn enter(random: Random, hosts: Vec<Host>) -> (Rc<Self>, Entered) {
        let executor = Rc::new(Self {
            now: Cell::new(Duration::ZERO),
            running: Cell::new(None),
            spawned: Cell::new(0),
            tasks: RefCell::default(),
            woken: Arc::default(),
            timers: RefCell::default(),
            random: RefCell::new(random),
            hosts: RefCell::new(hosts),
            panicked: RefCell::default(),
        });
        let entered = enter(Rc::clone(&executor) as Rc<dyn World>);
        (executor, entered)
    }

    pub(super) fn host(&self, index: usize) -> Host {
        self.hosts.borrow()[index]
    }

    pub(super) fn set_host(&self, index: usize, host: Host) {
        self.hosts.borrow_mut()[index] = host;
    }

    /// Starts a task that dies with the coordinator `owner`.
    pub(super) fn spawn(&self, owner: usize, future: Future<()>) {
        let before = self.running.replace(Some(owner));
        World::spawn(self, future);
        self.running.set(before);
    }

    /// Every task of `owner` is gone, as if its machine had stopped.
    pub(super) fn kill(&self, owner: usize) {
        let mut gone = Vec::new();
        self.tasks.borrow_mut().retain(|_, task| {
            let stays = task.owner != Some(owner);
            gone.extend(task.future.take_if(|_| !stays));
            stays
        });
        let before = self.running.replace(Some(owner));
        drop(gone);
        self.running.set(before);
    }

    pub(super) fn take_panicked(&self) -> Vec<usize> {
        self.panicked.take()
    }

    /// When the next timer is due.
    pub(super) fn next_timer(&self) -> Option<Duration> {
        let mut timers = self.timers.borrow_mut();
        while let Some(entry) = timers.first_entry() {
            if entry.get().strong_count() > 0 {
                return Some(entry.key().0);
            }
            entry.remove();
        }
        None
    }

    /// Goes to `now`, and lets everything happen that can happen then.
    pub(super) fn run(&self, now: Duration) {
        self.now.set(now);
        loop {
            while self.next_timer().is_some_and(|due| due <= now) {
                let timer = self.timers.borrow_mut().pop_first().and_then(|(_, t)| t.upgrade());
                if let Some(timer) = timer {
                    let mut timer = lock(&timer);
                    timer.fired = true;
                    timer.waker.take().into_iter().for_each(Waker::wake);
                }
            }
            if !self.run_woken() && self.next_timer().is_none_or(|due| due > now) {
                return;
            }
        }
    }

    fn run_woken(&self) -> bool {
        for round in 0..ROUNDS_MAX {
            let mut batch: Vec<u64> = std::mem::take(&mut *lock(&self.woken)).into_iter().collect();
            if batch.is_empty() {
                return round > 0;
            }
            self.shuffle(&mut batch);
            for task in batch {
                self.poll(task);
            }
        }
        panic!("the tasks wake each other for ever");
    }

    fn shuffle(&self, batch: &mut [u64]) {
        let mut random = self.random.borrow_mut();
        if batch.len() > 1 && random.percent(20) {
            for last in (1..batch.len()).rev() {
                batch.swap(last, random.below(last + 1));
            }
        }
    }

    fn poll(&self, number: u64) {
        let (owner, waker, mut future) = {
            let mut tasks = self.tasks.borrow_mut();
            let Some(task) = tasks.get_mut(&number) else { return };
            let Some(future) = task.future.take() else { return };
            (task.owner, task.waker.clone(), future)
        };
        self.running.set(owner);
        let mut context = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
        if polled.is_err() {
            self.panicked.borrow_mut().extend(owner);
        }
        if polled.is_ok_and(|polled| polled.is_pending())
            && let Some(task) = self.tasks.borrow_mut().get_mut(&number)
        {
            task.future = Some(future);
        } else {
            self.tasks.borrow_mut().remove(&number);
        }
        self.running.set(None);
    }

    fn running(&self) -> Option<Host> {
        self.running.get().map(|index| self.host(index))
    }
}

impl World for Executor {
    fn now(&self) -> Duration {
        let rate = self.running().map_or(1000, |host| host.clock_rate);
        self.now.get() * rate / 1000
    }

    fn sleep(&self, duration: Duration) -> Future<()> {
        let rate = self.running().map_or(1000, |host| u64::from(host.clock_rate));
        // Rounded up: who wakes up finds that its time has come, and time goes on.
        let nanos = duration.min(Duration::from_secs(1 << 20)).as_nanos() as u64;
        let due = self.now.get() + Duration::from_nanos((nanos * 1000).div_ceil(rate) + 2);
        let timer = Arc::new(Mutex::new(Timer::default()));
        self.spawned.set(self.spawned.get() + 1);
        self.timers.borrow_mut().insert((due, self.spawned.get()), Arc::downgrade(&timer));
        Box::pin(Sleep(timer))
    }

    fn spawn(&self, task: Future<()>) {
        let number = self.spawned.get() + 1;
        self.spawned.set(number);
        let wake = TaskWaker { number, woken: Arc::clone(&self.woken) };
        let waker = Waker::from(Arc::new(wake));
        let owner = self.running.get();
        self.tasks.borrow_mut().insert(number, Task { owner, future: Some(task), waker });
        lock(&self.woken).insert(number);
    }

    fn draw(&self) -> u64 {
        self.random.borrow_mut().draw()
    }

    fn wall_clock(&self) -> u64 {
        const FIRST: i64 = 1_800_000_000_000;
        let ahead = self.running().map_or(0, |host| host.wall_ahead);
        (FIRST + self.now.get().as_millis() as i64 + ahead) as u64
    }

    fn disk_delay(&self) -> Duration {
        let extra = self.running().map_or(Duration::ZERO, |host| host.disk_extra);
        let mut random = self.random.borrow_mut();
        let slow = random.percent(3);
        random.millis(0, if slow { 40 } else { 2 }) + extra
    }
}

struct Sleep(Arc<Mutex<Timer>>);

impl std::future::Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut timer = lock(&self.0);
        if timer.fired {
            return Poll::Ready(());
        }
        timer.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

struct TaskWaker {
    number: u64,
    woken: Arc<Mutex<BTreeSet<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        lock(&self.woken).insert(self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
