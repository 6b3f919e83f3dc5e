//! What a process computes with: its threads and its kernel set.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};

use super::compute_pool::ComputePool;
use super::kernel_set::KernelSet;
use super::numa::{self, Node, PerNode};

/// A pool of threads that run products in one kernel set.
pub struct Compute {
    set: KernelSet,
    pool: ComputePool,
    /// Called by threads first.
    on_start: fn(),
    /// What its threads are bound to.
    node: Option<Node>,
}

static PROCESS: OnceLock<Arc<Compute>> = OnceLock::new();
static NODES: PerNode<Compute> = PerNode::new();

thread_local! {
    /// The node that this thread was bound to.
    static BOUND: Cell<Option<u32>> = const { Cell::new(None) };
}

impl Compute {
    /// Panics if the machine cannot run `set`. Threads call `on_start` first.
    pub fn new(set: KernelSet, threads: usize, on_start: fn()) -> Self {
        assert!(set.is_available(), "this machine has no {set}");
        Self { set, pool: ComputePool::new(threads, on_start), on_start, node: None }
    }

    /// For a stage of so many bytes: the process's own, or, where memory lies in several nodes, the
    /// threads of the one with most of it free, if it has room for the stage.
    pub fn for_stage(bytes: u64) -> Arc<Self> {
        let all = Self::of_process();
        match numa::node_for(bytes) {
            None => Arc::clone(all),
            Some(node) => NODES.get(node, |node| all.on_node(node)),
        }
    }

    /// As many threads as this one has, but no more than the node has cores.
    fn on_node(&self, node: Node) -> Self {
        let (threads, on_start) = (self.threads().min(node.cpus.len()), self.on_start);
        let own = node.clone();
        let begin = move || {
            on_start();
            bind_to(&own);
        };
        let pool = ComputePool::new(threads, begin);
        Self { set: self.set, pool, on_start, node: Some(node) }
    }

    /// The process's own: `set` on `threads` threads. False if it is in use already.
    pub fn configure(set: KernelSet, threads: usize, on_start: fn()) -> bool {
        let mut first = false;
        PROCESS.get_or_init(|| {
            first = true;
            Arc::new(Self::new(set, threads, on_start))
        });
        first
    }

    /// The process's own; with a thread per core if nothing was configured.
    pub fn of_process() -> &'static Arc<Self> {
        PROCESS.get_or_init(|| {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            Arc::new(Self::new(KernelSet::best(), threads, || {}))
        })
    }

    pub fn set(&self) -> KernelSet {
        self.set
    }

    /// Binds the calling thread as its own threads are bound.
    pub(crate) fn bind_caller(&self) {
        if let Some(node) = &self.node
            && BOUND.get() != Some(node.id)
        {
            bind_to(node);
        }
    }

    /// Threads, the caller's among them.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Calls `task` with each of `0..tasks`, on all threads; returns when all are done.
    pub fn run(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        self.pool.run(tasks, &task);
    }

    /// Calls `task` with each chunk of `values` and its index, on all threads; the last chunk may
    /// be shorter.
    pub fn run_chunks<T: Send>(
        &self,
        values: &mut [T],
        chunk: usize,
        task: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let chunks = Chunks { first: values.as_mut_ptr(), length: values.len(), chunk };
        self.run(values.len().div_ceil(chunk), |index| {
            // SAFETY: each index comes once, so that no two chunks overlap; `values` is borrowed
            // until all tasks are done.
            task(index, unsafe { chunks.get(index) });
        });
    }

    /// As `run_chunks` over two slices, of each of which a task gets a chunk.
    pub fn run_chunk_pairs<A: Send, B: Send>(
        &self,
        (first, first_chunk): (&mut [A], usize),
        (second, second_chunk): (&mut [B], usize),
        task: impl Fn(usize, &mut [A], &mut [B]) + Sync,
    ) {
        let count = first.len().div_ceil(first_chunk).min(second.len().div_ceil(second_chunk));
        let length = first.len();
        let first = Chunks { first: first.as_mut_ptr(), length, chunk: first_chunk };
        let length = second.len();
        let second = Chunks { first: second.as_mut_ptr(), length, chunk: second_chunk };
        self.run(count, |index| {
            // SAFETY: as in `run_chunks`, of both slices.
            let (first, second) = unsafe { (first.get(index), second.get(index)) };
            task(index, first, second);
        });
    }
}

fn bind_to(node: &Node) {
    match numa::bind(&node.cpus) {
        Ok(()) => BOUND.set(Some(node.id)),
        Err(error) => tracing::warn!(node = node.id, %error, "a thread is not bound to its node"),
    }
}

/// A slice that tasks take disjoint chunks of.
struct Chunks<T> {
    first: *mut T,
    length: usize,
    chunk: usize,
}

// SAFETY: the chunks go to other threads, which is what `T: Send` allows.
unsafe impl<T: Send> Sync for Chunks<T> {}

impl<T> Chunks<T> {
    /// # Safety
    /// The slice is alive, and nobody else has the same chunk.
    #[allow(clippy::mut_from_ref)]
    unsafe fn get(&self, index: usize) -> &mut [T] {
        let start = index * self.chunk;
        let length = self.chunk.min(self.length - start);
        // SAFETY: the caller's promise; the range lies within the slice.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(start), length) }
    }
}
