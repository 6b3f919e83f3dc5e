//! Products with quantised weights are those of the values that the weights stand for.

use checkpoint::WeightType;
use engine::StageInput;
use engine::weights::dequantise;
use protocol::ids::BlockId;
use protocol::model_spec::{Architecture, KvType};
use protocol::plan::ActivationType;

use crate::random_model::{RandomModel, random_model};
use crate::running::{batch, chain, prompt, rows_in};
use crate::small_specs::small_spec;

#[test]
fn logits_of_every_weight_type_are_near_those_of_its_values_in_f32() {
    for weight in WeightType::ALL {
        let model = random_model(small_spec(Architecture::Llama, false), weight, 31);
        let (found, expected) = (logits(&model), logits(&widened(&model)));
        let relative = relative_error(&found, &expected);
        println!("{weight}: relative error {relative:.4}");
        // Inputs are rounded to eight bits in blocks of 32 or 256 values: half a percent of each
        // product.
        assert!(relative <= 0.02, "{weight}: relative error {relative}");
    }
}

fn logits(model: &RandomModel) -> Vec<f32> {
    let mut stage = chain(model, &[], KvType::F32, ActivationType::F32).remove(0);
    let table: Vec<_> = (0..16).map(BlockId).collect();
    let ids = prompt(8, 24, 300);
    let rows = ids.iter().enumerate().map(|(i, id)| rows_in(1, i, &[*id], table.clone()));
    let logits = stage.logits(&batch(rows.collect()), StageInput::Tokens);
    logits.expect("the step runs").concat()
}

/// Root of the mean square of the difference, against that of what is expected.
pub(crate) fn relative_error(found: &[f32], expected: &[f32]) -> f32 {
    let sum = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>();
    let error = sum(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    (error / sum(&mut expected.iter().copied())).sqrt()
}

/// The same model with every tensor stored as F32.
pub(crate) fn widened(model: &RandomModel) -> RandomModel {
    let mut manifest = model.manifest.clone();
    let mut file = Vec::new();
    for tensor in &mut manifest.tensors {
        let stored = &model.file[tensor.offset as usize..(tensor.offset + tensor.bytes) as usize];
        let mut values = vec![0.0; tensor.shape.iter().product::<u64>() as usize];
        dequantise(tensor.weight_type, stored, &mut values);
        (tensor.offset, tensor.bytes) = (file.len() as u64, 4 * values.len() as u64);
        tensor.weight_type = WeightType::F32;
        file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    RandomModel { manifest, file }
}
