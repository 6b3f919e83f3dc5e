//! Products of input rows with packed matrices, on all compute threads.

use std::marker::PhantomData;
use std::ops::Range;

use super::dispatch::{PanelJob, kernels};
use super::input::{
    InputKind, InputRows, InputStep, PanelInput, ROWS_TOGETHER_MAX, STEP_COLUMNS, round,
};
use super::packed::PackedMatrix;
use super::panel_type::{PANEL_ROWS, TILED_ROWS_MAX};
use crate::kernels::{Compute, KernelSet};

/// Below this many multiply-accumulates one thread is faster than waking others.
const PARALLEL_MACS: usize = 1 << 17;
/// Below this many input values one thread rounds them all.
const PARALLEL_VALUES: usize = 1 << 14;
/// Rounded rows that a task takes all its panels past, which stay in the second-level cache with
/// them.
const ROWS_BYTES: usize = 1 << 17;
/// Tasks per thread, so that a thread which is held up leaves its share to the others.
const TASKS_PER_THREAD: usize = 12;

/// One product of several with the same input.
pub struct Product<'a> {
    weight: &'a PackedMatrix,
    out: *mut f32,
    outputs: usize,
    marker: PhantomData<&'a mut [f32]>,
}

// SAFETY: `out` stands for an exclusive borrow, through which tasks write disjoint columns.
unsafe impl Sync for Product<'_> {}

impl<'a> Product<'a> {
    /// `out = x weight^T`, `[rows, weight.rows]`.
    pub fn new(weight: &'a PackedMatrix, out: &'a mut [f32]) -> Self {
        Self { weight, out: out.as_mut_ptr(), outputs: out.len(), marker: PhantomData }
    }
}

/// Rounded input rows, in each form that a weight type may ask for.
pub struct InputSpace {
    blocks_32: InputRows,
    blocks_256: InputRows,
}

impl InputSpace {
    pub fn with_capacity(rows: usize, columns: usize) -> Self {
        Self {
            blocks_32: InputRows::with_capacity(InputKind::Blocks32, rows, columns),
            blocks_256: InputRows::with_capacity(InputKind::Blocks256, rows, columns),
        }
    }

    /// Memory of such a space.
    pub fn bytes(rows: usize, columns: usize) -> usize {
        2 * InputRows::bytes(rows, columns)
    }

    fn of(&mut self, kind: InputKind) -> Option<&mut InputRows> {
        match kind {
            InputKind::Floats => None,
            InputKind::Blocks32 => Some(&mut self.blocks_32),
            InputKind::Blocks256 => Some(&mut self.blocks_256),
        }
    }
}

/// Computes all `products` of the rows of `x` (`[rows, columns]`), which is rounded once for all
/// that take its columns in the same order.
///
/// Each output is summed in one order, by one thread, whatever the rows and products beside it.
pub fn multiply(
    compute: &Compute,
    products: &mut [Product<'_>],
    x: &[f32],
    space: &mut InputSpace,
) {
    let mut products = &*products;
    while let Some(first) = products.first() {
        let order = first.weight.order();
        let same = products.iter().take_while(|product| product.weight.order() == order).count();
        multiply_together(compute, &products[..same], (x, order), space);
        products = &products[same..];
    }
}

fn multiply_together(
    compute: &Compute,
    products: &[Product<'_>],
    (x, order): (&[f32], Option<&[u32]>),
    space: &mut InputSpace,
) {
    let Some(columns) = products.first().map(|product| product.weight.columns) else { return };
    let rows = x.len() / columns.max(1);
    for product in products {
        assert!(product.weight.columns == columns && x.len() == rows * columns);
        assert!(product.outputs == rows * product.weight.rows);
    }
    for kind in [InputKind::Blocks32, InputKind::Blocks256] {
        let asked = products.iter().any(|product| product.weight.input() == kind);
        if let Some(space) = space.of(kind).filter(|_| asked) {
            round_rows(compute, (x, order), columns, space);
        }
    }
    let space = &*space;
    let together_rows = rows_together(compute.set(), columns);
    let panels: usize = products.iter().map(|product| product.weight.panels()).sum();
    let together = panels.div_ceil(compute.threads() * TASKS_PER_THREAD).max(1);
    let tasks = products.iter().map(|product| product.weight.panels().div_ceil(together)).sum();
    let task = |task: usize| {
        let mut first = task;
        for product in products {
            let tasks = product.weight.panels().div_ceil(together);
            if first < tasks {
                let end = product.weight.panels().min((first + 1) * together);
                for start in (0..rows).step_by(together_rows) {
                    let rows = start..rows.min(start + together_rows);
                    for panel in first * together..end {
                        multiply_panel(compute, product, panel, (x, rows.clone()), space);
                    }
                }
                return;
            }
            first -= tasks;
        }
    };
    if panels * PANEL_ROWS * x.len() < PARALLEL_MACS {
        (0..tasks).for_each(task);
    } else {
        compute.run(tasks, task);
    }
}

/// As many as the matrix unit shares a pass over a panel's codes, or as fit the cache.
fn rows_together(set: KernelSet, columns: usize) -> usize {
    let row_bytes = columns.div_ceil(STEP_COLUMNS) * size_of::<InputStep>();
    let least = if set == KernelSet::Amx { TILED_ROWS_MAX } else { 2 * ROWS_TOGETHER_MAX };
    (ROWS_BYTES / row_bytes.max(1) / least).max(1) * least
}

fn multiply_panel(
    compute: &Compute,
    product: &Product<'_>,
    panel: usize,
    (x, rows): (&[f32], Range<usize>),
    space: &InputSpace,
) {
    let weight = product.weight;
    let first = panel * PANEL_ROWS;
    let (steps, stride) = match weight.input() {
        InputKind::Floats => (&[][..], 0),
        InputKind::Blocks32 => (&space.blocks_32.steps[rows.start..], space.blocks_32.stride),
        InputKind::Blocks256 => (&space.blocks_256.steps[rows.start..], space.blocks_256.stride),
    };
    let floats = &x[rows.start * weight.columns..rows.end * weight.columns];
    let input = PanelInput { steps, stride, floats, rows: rows.len(), columns: weight.columns };
    // SAFETY: a panel's first row is one of the matrix's, and `outputs` its number of rows times
    // the input's, so the offset is within the output.
    let out = unsafe { product.out.add(rows.start * weight.rows + first) };
    let job = PanelJob {
        panel: weight.panel(panel).as_ptr(),
        input,
        out,
        outputs: weight.rows,
        lanes: PANEL_ROWS.min(weight.rows - first),
    };
    // SAFETY: `Compute` only has a set that the CPU can run; panel, input and outputs have the
    // sizes that `multiply` checked; no other task writes this panel's columns.
    unsafe { (kernels(weight.weight(), compute.set()).product)(&job) };
}

fn round_rows(
    compute: &Compute,
    (x, order): (&[f32], Option<&[u32]>),
    columns: usize,
    space: &mut InputRows,
) {
    let rows = x.len() / columns;
    space.resize(rows, columns);
    let (kind, stride) = (space.kind, space.stride);
    let steps = SharedSteps(space.steps.as_mut_ptr());
    let task = |row: usize| {
        let steps = &steps;
        let x = &x[row * columns..(row + 1) * columns];
        let mut sorted = [0.0; STEP_COLUMNS];
        for (i, own) in x.chunks(STEP_COLUMNS).enumerate() {
            let own = match order {
                None => own,
                Some(order) => {
                    let order = order[i * STEP_COLUMNS..].iter();
                    let sorted = &mut sorted[..own.len()];
                    sorted.iter_mut().zip(order).for_each(|(y, at)| *y = x[*at as usize]);
                    sorted
                }
            };
            // SAFETY: there is a step for each row and 256 columns, and a row is one task's.
            let step = unsafe { &mut *steps.0.add(i * stride + row) };
            round(compute.set(), kind, own, step);
        }
    };
    if x.len() < PARALLEL_VALUES {
        (0..rows).for_each(task);
    } else {
        compute.run(rows, task);
    }
}

struct SharedSteps(*mut InputStep);

// SAFETY: tasks write the steps of different rows.
unsafe impl Sync for SharedSteps {}
