//! The names in GGUF files that say something else in one family than in the others.

use protocol::model_spec::{Architecture, ModelSpec};

use crate::tensor::{TensorEntry, TensorPlace};

/// Gives `tensors` their canonical names, and drops the layers behind the model's last.
pub(super) fn make_canonical(spec: &ModelSpec, draft: u32, tensors: &mut Vec<TensorEntry>) {
    let drafts = spec.layer_count()..spec.layer_count().saturating_add(draft);
    tensors.retain(
        |tensor| !matches!(tensor.place, TensorPlace::Layer(layer) if drafts.contains(&layer.0)),
    );
    for tensor in tensors {
        let TensorPlace::Layer(layer) = tensor.place else {
            continue;
        };
        let part = tensor.name.splitn(3, '.').nth(2).unwrap_or_default();
        if let Some(canonical) = canonical(spec, part) {
            tensor.name = format!("blk.{layer}.{canonical}");
        }
    }
}

fn canonical(spec: &ModelSpec, part: &str) -> Option<&'static str> {
    match part {
        // Phi-3 keeps gate and up in one matrix, called up.
        "ffn_up.weight" if spec.architecture == Architecture::Phi3 => Some("ffn_gate_up.weight"),
        // Without a norm behind the halves, the one behind attention is the one before the MLP.
        "post_attention_norm.weight" if !spec.architecture.has_post_norms() => {
            Some("ffn_norm.weight")
        }
        "ffn_gate_inp.scale" => Some("router_scale.weight"),
        "ffn_down_exps.scale" => Some("expert_scales.weight"),
        _ => None,
    }
}
