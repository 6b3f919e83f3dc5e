//! A weight matrix in panels, and the memory that it lies in.

use checkpoint::WeightType;
use std::sync::{Arc, Weak};

use memmap2::{Advice, Mmap, MmapMut};

use super::dispatch::{Layout, kernels, layout};
use super::input::InputKind;
use super::panel_type::PANEL_ROWS;
use crate::kernels::KernelSet;

const HUGE_PAGE: usize = 2 << 20;

/// `[rows, columns]`, 16 rows after 16 rows.
pub struct PackedMatrix {
    pub(super) rows: usize,
    pub(super) columns: usize,
    weight: WeightType,
    panel_bytes: usize,
    memory: Arc<PanelMemory>,
    /// Which column stands at each place of a row; in their own order without.
    order: Option<Box<[u32]>>,
}

impl PackedMatrix {
    /// All zeros, or `None` if there is no memory for it.
    pub fn zeroed(weight: WeightType, rows: usize, columns: usize) -> Option<Self> {
        assert!(!weight.is_part(), "{weight} stands for no matrix");
        let Layout { unit_columns, unit_bytes, .. } = layout(weight);
        let panel_bytes = columns.div_ceil(unit_columns).checked_mul(unit_bytes)?;
        let memory = PanelMemory::zeroed(panel_bytes.checked_mul(rows.div_ceil(PANEL_ROWS))?)?;
        Some(Self { rows, columns, weight, panel_bytes, memory: Arc::new(memory), order: None })
    }

    /// Panels that lie in a mapped file from byte `start` on; `None` if it ends before.
    pub(crate) fn mapped(
        weight: WeightType,
        rows: usize,
        columns: usize,
        (map, start): (Arc<Mmap>, usize),
    ) -> Option<Self> {
        assert!(!weight.is_part(), "{weight} stands for no matrix");
        let Layout { unit_columns, unit_bytes, .. } = layout(weight);
        let panel_bytes = columns.div_ceil(unit_columns).checked_mul(unit_bytes)?;
        let bytes = panel_bytes.checked_mul(rows.div_ceil(PANEL_ROWS))?;
        map.get(start..start.checked_add(bytes)?)?;
        let memory = Arc::new(PanelMemory { pages: Pages::File(map), start, bytes });
        Some(Self { rows, columns, weight, panel_bytes, memory, order: None })
    }

    /// The panels for who looks at them while they are there, and does not keep them.
    pub(crate) fn weak(&self) -> Weak<PanelMemory> {
        Arc::downgrade(&self.memory)
    }

    /// The same, its columns packed in another order: a permutation of all of them.
    pub fn with_order(self, order: &[u32]) -> Self {
        let mut seen = vec![false; self.columns];
        order.iter().for_each(|column| seen[*column as usize] = true);
        assert!(order.len() == self.columns && seen.into_iter().all(|seen| seen));
        assert!(self.input() != InputKind::Floats, "floats are taken as they are");
        Self { order: Some(order.into()), ..self }
    }

    pub(crate) fn order(&self) -> Option<&[u32]> {
        self.order.as_deref()
    }

    pub fn bytes(&self) -> usize {
        self.memory.bytes + self.order.as_ref().map_or(0, |order| size_of_val(&order[..]))
    }

    /// The panels, `count` after `count`, to be filled by `pack_panels`.
    pub fn pieces_mut(&mut self, count: usize) -> std::slice::ChunksMut<'_, u8> {
        let bytes = (self.panel_bytes * count).max(1);
        let memory =
            Arc::get_mut(&mut self.memory).expect("panels are filled before they are used");
        memory.as_mut().chunks_mut(bytes)
    }

    /// Writes row `row` to `out` (`[columns]`), dequantised.
    pub fn row_to_f32(&self, set: KernelSet, row: usize, out: &mut [f32]) {
        assert!(row < self.rows && out.len() == self.columns && set.is_available());
        let Layout { unit_columns, unit_bytes, .. } = layout(self.weight);
        let kernels = kernels(self.weight, set);
        let mut values = [0.0; 256 * PANEL_ROWS];
        let units = self.panel(row / PANEL_ROWS).chunks_exact(unit_bytes);
        for (index, unit) in units.enumerate() {
            // SAFETY: the set is available; `unit` is a whole unit; none has more than 256 columns.
            unsafe { (kernels.dequantise)(unit.as_ptr(), values.as_mut_ptr()) };
            let lane = values.iter().skip(row % PANEL_ROWS).step_by(PANEL_ROWS);
            let first = index * unit_columns;
            let end = self.columns.min(first + unit_columns);
            match &self.order {
                None => out[first..end].iter_mut().zip(lane).for_each(|(out, x)| *out = *x),
                Some(order) => {
                    order[first..end].iter().zip(lane).for_each(|(at, x)| out[*at as usize] = *x);
                }
            }
        }
    }

    pub(super) fn weight(&self) -> WeightType {
        self.weight
    }

    pub(super) fn input(&self) -> InputKind {
        layout(self.weight).input
    }

    pub(super) fn panels(&self) -> usize {
        self.rows.div_ceil(PANEL_ROWS)
    }

    pub(super) fn panel(&self, index: usize) -> &[u8] {
        &self.memory.panels()[index * self.panel_bytes..][..self.panel_bytes]
    }
}

/// Packs rows of the file (as many as they are) into the zeroed panels of a piece. False if a
/// scale or a value is not a finite number.
pub fn pack_panels(
    weight: WeightType,
    columns: usize,
    file_rows: &[u8],
    panels: &mut [u8],
) -> bool {
    let Layout { unit_columns, unit_bytes, pack, .. } = layout(weight);
    let row_bytes = columns as u64 / weight.block_elements() * weight.block_bytes();
    let panel_bytes = columns.div_ceil(unit_columns) * unit_bytes;
    let rows = file_rows.chunks(PANEL_ROWS * row_bytes as usize);
    rows.zip(panels.chunks_exact_mut(panel_bytes))
        .fold(true, |finite, (rows, panel)| pack(rows, columns, panel) && finite)
}

/// Where panels lie.
pub(crate) struct PanelMemory {
    pages: Pages,
    start: usize,
    bytes: usize,
}

enum Pages {
    /// Of zeros at first; large ones as huge pages where the system has them, for the sake of the
    /// address translation of long reads.
    Own(MmapMut),
    /// Of a file that keeps them packed.
    File(Arc<Mmap>),
}

impl PanelMemory {
    fn zeroed(bytes: usize) -> Option<Self> {
        let spare = if bytes >= HUGE_PAGE { HUGE_PAGE } else { 0 };
        let map = MmapMut::map_anon(bytes.checked_add(spare)?.max(1)).ok()?;
        let start = if spare > 0 { map.as_ptr().align_offset(HUGE_PAGE) } else { 0 };
        // The tail keeps small pages: a huge one would take memory that nothing uses.
        let whole = bytes / HUGE_PAGE * HUGE_PAGE;
        if whole > 0
            && let Err(error) = map.advise_range(Advice::HugePage, start, whole)
        {
            tracing::debug!(%error, "weights lie in small pages");
        }
        Some(Self { pages: Pages::Own(map), start, bytes })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn panels(&self) -> &[u8] {
        let pages: &[u8] = match &self.pages {
            Pages::Own(map) => map,
            Pages::File(map) => map,
        };
        &pages[self.start..self.start + self.bytes]
    }

    /// Those of a file are nobody's to change: none.
    fn as_mut(&mut self) -> &mut [u8] {
        match &mut self.pages {
            Pages::Own(map) => &mut map[self.start..self.start + self.bytes],
            Pages::File(_) => &mut [],
        }
    }
}
