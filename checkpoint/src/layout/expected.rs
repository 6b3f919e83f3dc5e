//! The tensors that a model of a given shape consists of.

use protocol::ids::LayerIndex;
use protocol::model_spec::{
    Architecture, AttentionSpec, DeltaNetSpec, DeltaProjections, ExpertSpec, LatentSpec, ModelSpec,
    StateKind,
};

/// A tensor that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedTensor {
    /// Canonical, e.g. `blk.0.attn_q.weight`.
    pub name: String,
    /// Rows first.
    pub shape: Vec<u64>,
}

/// All tensors in the order of the model: embedding, layers, output.
pub fn expected_tensors(spec: &ModelSpec) -> Vec<ExpectedTensor> {
    let (hidden, vocab) = (u64::from(spec.hidden_size), u64::from(spec.vocab_size));
    let mut list = List { prefix: String::new(), tensors: Vec::new() };
    list.add("token_embd.weight", &[vocab, hidden]);
    for (layer, state) in (0..).zip(spec.layers.iter().map(|layer| layer.state)) {
        list.prefix = format!("blk.{layer}.");
        list.add("attn_norm.weight", &[hidden]);
        match (state, &spec.delta_net, &spec.attention.latent) {
            (StateKind::Recurrent { .. }, Some(delta), _) => list.delta_net(delta, hidden),
            (_, _, Some(latent)) => list.latent_attention(spec, latent),
            (_, _, None) => {
                let keeps = spec.kv_layer(LayerIndex(layer)) == LayerIndex(layer);
                list.attention(spec.attention_of(LayerIndex(layer)), hidden, keeps);
            }
        }
        if spec.architecture.has_post_norms() {
            list.add("post_attention_norm.weight", &[hidden]);
        }
        list.add("ffn_norm.weight", &[hidden]);
        let experts = spec.experts.filter(|_| spec.has_experts(LayerIndex(layer)));
        if experts.is_none_or(|experts| experts.beside_dense) {
            list.feed_forward("", spec.ffn_size_of(LayerIndex(layer)), hidden, false);
        }
        if let Some(experts) = experts {
            list.experts(&experts, hidden);
        }
        if spec.architecture.has_post_norms() {
            list.add("post_ffw_norm.weight", &[hidden]);
        }
        if spec.architecture == Architecture::Gemma4 {
            list.add("layer_output_scale.weight", &[1]);
        }
        if spec.per_layer_width > 0 {
            list.per_layer_input(spec.per_layer_width.into(), hidden);
        }
    }
    list.prefix.clear();
    if spec.per_layer_width > 0 {
        let width = u64::from(spec.per_layer_width);
        list.add("per_layer_token_embd.weight", &[vocab, width * spec.layers.len() as u64]);
        list.add("per_layer_proj_norm.weight", &[width]);
    }
    list.add("output_norm.weight", &[hidden]);
    if !spec.tied_embeddings {
        list.add("output.weight", &[vocab, hidden]);
    }
    list.tensors
}

/// Tensors that hold no weight of the model: the specification already says what they say.
pub(super) fn is_ignored(name: &str) -> bool {
    matches!(name, "rope_freqs.weight" | "rope_factors_long.weight" | "rope_factors_short.weight")
}

struct List {
    prefix: String,
    tensors: Vec<ExpectedTensor>,
}

impl List {
    fn add(&mut self, part: &str, shape: &[u64]) {
        let name = format!("{}{part}", self.prefix);
        self.tensors.push(ExpectedTensor { name, shape: shape.to_vec() });
    }

    fn per_layer_input(&mut self, width: u64, hidden: u64) {
        self.add("per_layer_model_proj.weight", &[width, hidden]);
        self.add("inp_gate.weight", &[width, hidden]);
        self.add("proj.weight", &[hidden, width]);
        self.add("post_norm.weight", &[hidden]);
    }

    /// Of a layer that reads another's keys and values only what asks for them.
    fn attention(&mut self, attention: &AttentionSpec, hidden: u64, keeps: bool) {
        let (q, kv) = (attention.query_width(), attention.key_width());
        let parts = [("attn_q", attention.query_rows()), ("attn_k", kv), ("attn_v", kv)];
        let projected = match (keeps, attention.values_are_keys) {
            (false, _) => 1,
            (true, true) => 2,
            (true, false) => 3,
        };
        for (part, rows) in parts.into_iter().take(projected) {
            self.add(&format!("{part}.weight"), &[rows, hidden]);
            if attention.qkv_bias {
                self.add(&format!("{part}.bias"), &[rows]);
            }
        }
        self.add("attn_output.weight", &[hidden, q]);
        if attention.output_bias {
            self.add("attn_output.bias", &[hidden]);
        }
        if attention.qk_norm {
            self.add("attn_q_norm.weight", &[attention.head_dim.into()]);
            if keeps {
                self.add("attn_k_norm.weight", &[attention.head_dim.into()]);
            }
        }
        if attention.sinks {
            self.add("attn_sinks.weight", &[attention.heads.into()]);
        }
    }

    fn delta_net(&mut self, delta: &DeltaNetSpec, hidden: u64) {
        let (conv, value) = (delta.conv_width(), delta.value_width());
        let heads = u64::from(delta.value_heads);
        let separate: &[_] = &[("attn_qkv", conv), ("attn_gate", value)];
        let joined_gates: &[_] = &[("ssm_ba", 2 * heads)];
        let (inputs, gates): (&[_], &[_]) = match delta.projections {
            DeltaProjections::Joined => (&[("ssm_in", conv + value)], joined_gates),
            DeltaProjections::JoinedGates => (separate, joined_gates),
            DeltaProjections::Separate => (separate, &[("ssm_beta", heads), ("ssm_alpha", heads)]),
        };
        for (part, rows) in inputs.iter().chain(gates) {
            self.add(&format!("{part}.weight"), &[*rows, hidden]);
        }
        self.add("ssm_conv1d.weight", &[conv * u64::from(delta.conv_taps)]);
        self.add(if delta.log_decay { "ssm_a_log" } else { "ssm_a" }, &[heads]);
        self.add("ssm_dt.bias", &[heads]);
        self.add("ssm_norm.weight", &[delta.value_dim.into()]);
        self.add("ssm_out.weight", &[hidden, value]);
    }

    fn latent_attention(&mut self, spec: &ModelSpec, latent: &LatentSpec) {
        let hidden = u64::from(spec.hidden_size);
        let (rank, value) = (u64::from(latent.rank), u64::from(latent.value_dim));
        let (plain, rope) = (u64::from(latent.plain_dim), u64::from(latent.rope_dim));
        let heads = u64::from(spec.attention.heads);
        match u64::from(latent.query_rank) {
            0 => self.add("attn_q.weight", &[heads * (plain + rope), hidden]),
            width => {
                self.add("attn_q_a.weight", &[width, hidden]);
                self.add("attn_q_a_norm.weight", &[width]);
                self.add("attn_q_b.weight", &[heads * (plain + rope), width]);
            }
        }
        self.add("attn_kv_a_mqa.weight", &[rank + rope, hidden]);
        self.add("attn_kv_a_norm.weight", &[rank]);
        for head in 0..heads {
            let keys = if latent.split_keys { [rank, plain] } else { [plain, rank] };
            self.add(&format!("attn_k_b.{head}.weight"), &keys);
            self.add(&format!("attn_v_b.{head}.weight"), &[value, rank]);
        }
        self.add("attn_output.weight", &[hidden, heads * value]);
    }

    fn experts(&mut self, experts: &ExpertSpec, hidden: u64) {
        let count = u64::from(experts.count);
        self.add("ffn_gate_inp.weight", &[count, hidden]);
        if experts.bias {
            self.add("ffn_gate_inp.bias", &[count]);
        }
        if experts.routing.selection_bias {
            self.add("exp_probs_b.bias", &[count]);
        }
        if experts.beside_dense {
            self.add("router_scale.weight", &[hidden]);
            self.add("expert_scales.weight", &[count]);
            for norm in ["post_ffw_norm_1", "pre_ffw_norm_2", "post_ffw_norm_2"] {
                self.add(&format!("{norm}.weight"), &[hidden]);
            }
        }
        for expert in 0..count {
            self.feed_forward(&format!(".{expert}"), experts.ffn_size, hidden, experts.bias);
        }
        if experts.shared_ffn_size > 0 {
            self.feed_forward("_shexp", experts.shared_ffn_size, hidden, false);
            if experts.shared_gate {
                self.add("ffn_gate_inp_shexp.weight", &[hidden]);
            }
        }
    }

    fn feed_forward(&mut self, suffix: &str, width: u32, hidden: u64, bias: bool) {
        let width = u64::from(width);
        for (part, shape) in
            [("gate", [width, hidden]), ("up", [width, hidden]), ("down", [hidden, width])]
        {
            self.add(&format!("ffn_{part}{suffix}.weight"), &shape);
            if bias {
                self.add(&format!("ffn_{part}{suffix}.bias"), &shape[..1]);
            }
        }
    }
}
