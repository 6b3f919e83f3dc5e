//! The tensors that a model of a given shape consists of.

use super::Layout;

/// A tensor that must be there.
pub(super) struct Expected {
    pub(super) name: String,
    /// Rows first.
    pub(super) shape: Vec<u64>,
}

/// All tensors in the order of the model: embedding, layers, output.
pub(super) fn tensors(layout: &Layout) -> Vec<Expected> {
    let hidden = u64::from(layout.hidden_size);
    let vocab = u64::from(layout.vocab_size);
    let entry = |name: &str, shape: &[u64]| Expected { name: name.into(), shape: shape.to_vec() };
    let mut all = vec![entry("token_embd.weight", &[vocab, hidden])];
    for layer in 0..layout.layer_count {
        all.extend(layer_tensors(layout, layer));
    }
    all.push(entry("output_norm.weight", &[hidden]));
    if !layout.tied_embeddings {
        all.push(entry("output.weight", &[vocab, hidden]));
    }
    all
}

/// Tensors that hold no weight of the model: the specification already says what they say.
pub(super) fn is_ignored(name: &str) -> bool {
    name == "rope_freqs.weight"
}

fn layer_tensors(layout: &Layout, layer: u32) -> Vec<Expected> {
    let attention = layout.attention;
    let hidden = u64::from(layout.hidden_size);
    let ffn = u64::from(layout.ffn_size);
    let q = u64::from(attention.heads) * u64::from(attention.head_dim);
    let kv = u64::from(attention.kv_heads) * u64::from(attention.head_dim);
    let entry = |suffix: &str, shape: &[u64]| Expected {
        name: format!("blk.{layer}.{suffix}"),
        shape: shape.to_vec(),
    };
    let mut all = vec![
        entry("attn_norm.weight", &[hidden]),
        entry("attn_q.weight", &[q, hidden]),
        entry("attn_k.weight", &[kv, hidden]),
        entry("attn_v.weight", &[kv, hidden]),
        entry("attn_output.weight", &[hidden, q]),
        entry("ffn_norm.weight", &[hidden]),
        entry("ffn_gate.weight", &[ffn, hidden]),
        entry("ffn_up.weight", &[ffn, hidden]),
        entry("ffn_down.weight", &[hidden, ffn]),
    ];
    if attention.qkv_bias {
        all.push(entry("attn_q.bias", &[q]));
        all.push(entry("attn_k.bias", &[kv]));
        all.push(entry("attn_v.bias", &[kv]));
    }
    all
}
