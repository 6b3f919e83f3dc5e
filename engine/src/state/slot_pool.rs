//! Fixed-size states of recurrent layers: the head gives out slot ids, the pool holds the values.

use protocol::ids::StateSlot;
use protocol::model_spec::{DeltaNetSpec, LayerSpec, ModelSpec};
use protocol::step_batch::StepBatch;

use super::zeroed;
use crate::config::StageConfig;
use crate::error::EngineError;

/// `[key head][slot]` of each layer, then what a key head and its value heads remember; allocated
/// once. Key heads come first so that each can be computed by a thread of its own.
pub(crate) struct SlotPool {
    /// Of the stage's own layers; empty for those with another kind of state.
    layers: Vec<Vec<f32>>,
    slots: usize,
    /// Floats of a key head's part of a slot.
    part: usize,
    /// The position that each slot's state is ready for.
    positions: Vec<u32>,
    /// The same behind the batch that was checked last.
    ahead: Vec<u32>,
}

/// What a stage remembers of a sequence in its slot, at one position: to go on from it later, or
/// elsewhere. Only for a stage of the same layers of the same model.
#[derive(Clone, Debug, PartialEq)]
pub struct StateSnapshot {
    /// Tokens that it has seen.
    pub position: u32,
    // [recurrent layers, key heads, part]
    values: Vec<f32>,
}

impl SlotPool {
    pub(crate) fn new(spec: &ModelSpec, config: &StageConfig) -> Result<Self, EngineError> {
        let slots = config.kv.sequences_max as usize;
        let heads = spec.delta_net.map_or(1, |delta| delta.key_heads.max(1) as usize);
        let part = spec.delta_net.map_or(0, |delta| part_floats(&delta));
        let bytes = Self::bytes(spec, config);
        let layer = |layer: &LayerSpec| {
            let floats = if layer.is_recurrent() {
                slots.saturating_mul(heads).saturating_mul(part)
            } else {
                0
            };
            zeroed(floats, 0.0).ok_or(EngineError::OutOfMemory { what: "recurrent state", bytes })
        };
        let layers: Vec<_> =
            spec.layers[config.layers.indices()].iter().map(layer).collect::<Result<_, _>>()?;
        let used = if layers.iter().all(Vec::is_empty) { 0 } else { slots };
        Ok(Self { layers, slots, part, positions: vec![0; used], ahead: vec![0; used] })
    }

    pub(crate) fn bytes(spec: &ModelSpec, config: &StageConfig) -> u64 {
        spec.slot_bytes(config.layers).saturating_mul(config.kv.sequences_max.into())
    }

    /// Whether every row set has a slot whose state is of its own past: it begins at position 0,
    /// or goes on where the slot's last rows ended. Nothing changes before `begin`.
    pub(crate) fn check(&mut self, batch: &StepBatch) -> Result<(), EngineError> {
        if self.positions.is_empty() {
            return Ok(());
        }
        self.ahead.copy_from_slice(&self.positions);
        for rows in &batch.rows {
            let (sequence, slots) = (rows.sequence, self.slots);
            let Some(slot) = rows.state_slot else {
                return Err(EngineError::NoSlot { sequence });
            };
            let Some(ready) = self.ahead.get_mut(slot.0 as usize) else {
                return Err(EngineError::BadSlot { slot, slots });
            };
            let position = rows.position;
            if position != 0 && position != *ready {
                return Err(EngineError::StateElsewhere {
                    sequence,
                    slot,
                    position,
                    ready: *ready,
                });
            }
            *ready = position + rows.tokens.len() as u32;
        }
        Ok(())
    }

    /// The checked batch is about to run.
    pub(crate) fn begin(&mut self) {
        self.positions.copy_from_slice(&self.ahead);
    }

    /// A layer's states, `[key head][slot][part]`, and the floats of a key head's.
    pub(crate) fn layer(&mut self, layer: usize) -> (&mut [f32], usize) {
        (&mut self.layers[layer], self.slots * self.part)
    }

    /// Floats of a key head's part of a slot.
    pub(crate) fn part(&self) -> usize {
        self.part
    }

    pub(crate) fn snapshot(&self, slot: StateSlot) -> Result<StateSnapshot, EngineError> {
        let position = self.position(slot)?;
        let mut values = Vec::new();
        for layer in self.layers.iter().filter(|layer| !layer.is_empty()) {
            for head in layer.chunks_exact(self.slots * self.part) {
                values.extend_from_slice(&head[slot.0 as usize * self.part..][..self.part]);
            }
        }
        Ok(StateSnapshot { position, values })
    }

    /// Puts a snapshot of a stage like this one into `slot`.
    pub(crate) fn restore(
        &mut self,
        slot: StateSlot,
        snapshot: &StateSnapshot,
    ) -> Result<(), EngineError> {
        self.position(slot)?;
        let (part, slots) = (self.part, self.slots);
        let floats = self.layers.iter().map(|layer| layer.len() / slots).sum::<usize>();
        if snapshot.values.len() != floats {
            let (found, expected) = (4 * snapshot.values.len(), 4 * floats);
            return Err(EngineError::BadSnapshot { found, expected });
        }
        let heads = self.layers.iter_mut().flat_map(|layer| layer.chunks_exact_mut(slots * part));
        for (head, values) in heads.zip(snapshot.values.chunks_exact(part)) {
            head[slot.0 as usize * part..][..part].copy_from_slice(values);
        }
        self.positions[slot.0 as usize] = snapshot.position;
        Ok(())
    }

    fn position(&self, slot: StateSlot) -> Result<u32, EngineError> {
        let slots = self.positions.len();
        self.positions.get(slot.0 as usize).copied().ok_or(EngineError::BadSlot { slot, slots })
    }
}

/// The convolution's past, `[taps - 1, channels]`, then a matrix of `[key_dim, value_dim]` per
/// value head, all of one key head.
fn part_floats(delta: &DeltaNetSpec) -> usize {
    (delta.state_bytes() / 4 / u64::from(delta.key_heads.max(1))) as usize
}
