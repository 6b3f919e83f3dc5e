//! Hugging Face tensor names and the canonical ones they stand for.

/// The canonical (GGUF) name, or `None` for a tensor that holds no weight of the model.
pub(super) fn canonical(name: &str) -> Option<String> {
    if let Some(whole) = whole_model(name) {
        return Some(whole.to_owned());
    }
    // Rotary frequencies that old exporters saved: the configuration says them.
    if name.ends_with(".rotary_emb.inv_freq") {
        return None;
    }
    let parts = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
    let canonical = parts.and_then(|(layer, part)| {
        let layer: u32 = layer.parse().ok()?;
        Some(format!("blk.{layer}.{}", layer_part(part)?))
    });
    // A name that we do not know keeps its own, so that the error can say it.
    Some(canonical.unwrap_or_else(|| name.to_owned()))
}

fn whole_model(name: &str) -> Option<&'static str> {
    Some(match name {
        "model.embed_tokens.weight" => "token_embd.weight",
        "model.norm.weight" => "output_norm.weight",
        "lm_head.weight" => "output.weight",
        _ => return None,
    })
}

fn layer_part(part: &str) -> Option<&'static str> {
    Some(match part {
        "input_layernorm.weight" => "attn_norm.weight",
        "self_attn.q_proj.weight" => "attn_q.weight",
        "self_attn.k_proj.weight" => "attn_k.weight",
        "self_attn.v_proj.weight" => "attn_v.weight",
        "self_attn.q_proj.bias" => "attn_q.bias",
        "self_attn.k_proj.bias" => "attn_k.bias",
        "self_attn.v_proj.bias" => "attn_v.bias",
        "self_attn.o_proj.weight" => "attn_output.weight",
        "post_attention_layernorm.weight" => "ffn_norm.weight",
        "mlp.gate_proj.weight" => "ffn_gate.weight",
        "mlp.up_proj.weight" => "ffn_up.weight",
        "mlp.down_proj.weight" => "ffn_down.weight",
        _ => return None,
    })
}
