//! Hugging Face tensor names and the canonical ones they stand for.

use protocol::model_spec::Architecture;

use super::quantisation::Quantisation;

/// What the names of parts that are not run begin with: towers that see or hear, what joins them to
/// the text, and layers that guess further tokens.
const BESIDE: [&str; 9] = [
    "vision_tower.",
    "vision_model.",
    "visual.",
    "multi_modal_projector.",
    "embed_vision.",
    "audio_tower.",
    "embed_audio.",
    "vision_embedder.",
    "mtp.",
];

/// What decides how a folder's tensors are called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naming {
    pub(super) architecture: Architecture,
    pub(super) quantisation: Quantisation,
}

impl Naming {
    /// The canonical (GGUF) name, or `None` for a tensor that holds no weight of the model.
    pub(super) fn canonical(self, name: &str) -> Option<String> {
        // Models that also see keep their text part one level lower; the other parts are not run.
        let below = name.strip_prefix("model.language_model.").map(|rest| format!("model.{rest}"));
        let name = below.as_deref().or(name.strip_prefix("language_model.")).unwrap_or(name);
        let bare = name.strip_prefix("model.").unwrap_or(name);
        if BESIDE.iter().any(|part| bare.starts_with(part)) {
            return None;
        }
        if let Some(whole) = whole_model(name) {
            return Some(whole.to_owned());
        }
        // Rotary frequencies that old exporters saved: the configuration says them. Scales of
        // inputs, keys and values in 8-bit floats: ours are not rounded to these.
        let inputs =
            [".rotary_emb.inv_freq", ".input_scale", ".activation_scale", ".k_scale", ".v_scale"];
        if inputs.iter().any(|ending| name.ends_with(ending)) {
            return None;
        }
        if let Some((stem, ending)) = self.part_of_matrix(name) {
            let whole = self.canonical(&format!("{stem}.weight"))?;
            let own = whole.strip_suffix(".weight").filter(|own| *own != stem);
            return Some(own.map_or_else(|| name.to_owned(), |own| format!("{own}.{ending}")));
        }
        let parts = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
        let canonical = parts.and_then(|(layer, part)| {
            let layer: u32 = layer.parse().ok()?;
            Some(format!("blk.{layer}.{}", self.part(part)?))
        });
        // A name that we do not know keeps its own, so that the error can say it.
        Some(canonical.unwrap_or_else(|| name.to_owned()))
    }

    /// The name of a matrix without its ending, and what its part is called.
    fn part_of_matrix(self, name: &str) -> Option<(&str, &'static str)> {
        let (stem, ending) = name.rsplit_once('.')?;
        let ending = match (ending, self.quantisation) {
            // Named for what the numbers were divided by; both are what they are multiplied by.
            ("weight_scale_inv" | "weight_scale", Quantisation::Float8) => "scales",
            ("scales", Quantisation::Gptq { .. } | Quantisation::Awq) => "scales",
            // Quantisers write one for every matrix.
            ("bias", Quantisation::Gptq { .. } | Quantisation::Awq) => "bias",
            ("qweight", Quantisation::Gptq { .. }) => "gptq_codes",
            ("qzeros", Quantisation::Gptq { zeros_less_one: true }) => "gptq_zeros_less_one",
            ("qzeros", Quantisation::Gptq { zeros_less_one: false }) => "gptq_zeros",
            ("g_idx", Quantisation::Gptq { .. }) => "gptq_groups",
            ("qweight", Quantisation::Awq) => "awq_codes",
            ("qzeros", Quantisation::Awq) => "awq_zeros",
            _ => return None,
        };
        Some((stem, ending))
    }

    fn part(self, part: &str) -> Option<String> {
        if let Some(norm) = norm_of_four(part).filter(|_| self.architecture.has_post_norms()) {
            return Some(norm.to_owned());
        }
        if self.architecture == Architecture::Gemma4
            && let Some(part) = gemma4_part(part)
        {
            return Some(part.to_owned());
        }
        layer_part(part).map(str::to_owned).or_else(|| expert_part(part))
    }
}

fn whole_model(name: &str) -> Option<&'static str> {
    Some(match name {
        "model.embed_tokens.weight" => "token_embd.weight",
        "model.norm.weight" => "output_norm.weight",
        "lm_head.weight" => "output.weight",
        "model.embed_tokens_per_layer.weight" => "per_layer_token_embd.weight",
        "model.per_layer_model_projection.weight" => "per_layer_model_proj.weight",
        "model.per_layer_projection_norm.weight" => "per_layer_proj_norm.weight",
        _ => return None,
    })
}

/// Norms of a layer that has one before and one behind each half.
fn norm_of_four(part: &str) -> Option<&'static str> {
    Some(match part {
        "post_attention_layernorm.weight" => "post_attention_norm.weight",
        "pre_feedforward_layernorm.weight" => "ffn_norm.weight",
        "post_feedforward_layernorm.weight" => "post_ffw_norm.weight",
        _ => return None,
    })
}

fn gemma4_part(part: &str) -> Option<&'static str> {
    Some(match part {
        "self_attn.v_norm.weight" => "attn_v_norm.weight",
        "per_layer_input_gate.weight" => "inp_gate.weight",
        "per_layer_projection.weight" => "proj.weight",
        "post_per_layer_input_norm.weight" => "post_norm.weight",
        "layer_scalar" => "layer_output_scale.weight",
        "router.proj.weight" => "ffn_gate_inp.weight",
        "router.scale" => "router_scale.weight",
        "router.per_expert_scale" => "expert_scales.weight",
        "experts.gate_up_proj" => "ffn_gate_up_exps.weight",
        "experts.down_proj" => "ffn_down_exps.weight",
        "post_feedforward_layernorm_1.weight" => "post_ffw_norm_1.weight",
        "pre_feedforward_layernorm_2.weight" => "pre_ffw_norm_2.weight",
        "post_feedforward_layernorm_2.weight" => "post_ffw_norm_2.weight",
        _ => return None,
    })
}

fn layer_part(part: &str) -> Option<&'static str> {
    Some(match part {
        "input_layernorm.weight" => "attn_norm.weight",
        "self_attn.q_proj.weight" => "attn_q.weight",
        "self_attn.k_proj.weight" => "attn_k.weight",
        "self_attn.v_proj.weight" => "attn_v.weight",
        "self_attn.qkv_proj.weight" => "attn_qkv.weight",
        "self_attn.q_proj.bias" => "attn_q.bias",
        "self_attn.k_proj.bias" => "attn_k.bias",
        "self_attn.v_proj.bias" => "attn_v.bias",
        "self_attn.o_proj.weight" => "attn_output.weight",
        "self_attn.o_proj.bias" => "attn_output.bias",
        "self_attn.sinks" => "attn_sinks.weight",
        "self_attn.q_norm.weight" => "attn_q_norm.weight",
        "self_attn.k_norm.weight" => "attn_k_norm.weight",
        "self_attn.q_a_proj.weight" => "attn_q_a.weight",
        "self_attn.q_a_layernorm.weight" => "attn_q_a_norm.weight",
        "self_attn.q_b_proj.weight" => "attn_q_b.weight",
        "self_attn.kv_a_proj_with_mqa.weight" => "attn_kv_a_mqa.weight",
        "self_attn.kv_a_layernorm.weight" => "attn_kv_a_norm.weight",
        "self_attn.kv_b_proj.weight" => "attn_kv_b.weight",
        "post_attention_layernorm.weight" => "ffn_norm.weight",
        "mlp.gate_proj.weight" => "ffn_gate.weight",
        "mlp.up_proj.weight" => "ffn_up.weight",
        "mlp.down_proj.weight" => "ffn_down.weight",
        "mlp.gate_up_proj.weight" => "ffn_gate_up.weight",
        "mlp.gate.weight" | "block_sparse_moe.gate.weight" => "ffn_gate_inp.weight",
        "mlp.router.weight" => "ffn_gate_inp.weight",
        "mlp.router.bias" => "ffn_gate_inp.bias",
        "mlp.experts.gate_up_proj_blocks" => "ffn_gate_up_exps.mxfp4_blocks",
        "mlp.experts.gate_up_proj_scales" => "ffn_gate_up_exps.mxfp4_scales",
        "mlp.experts.gate_up_proj_bias" => "ffn_gate_up_exps.bias",
        "mlp.experts.down_proj_blocks" => "ffn_down_exps.mxfp4_blocks",
        "mlp.experts.down_proj_scales" => "ffn_down_exps.mxfp4_scales",
        "mlp.experts.down_proj_bias" => "ffn_down_exps.bias",
        "mlp.gate.e_score_correction_bias" => "exp_probs_b.bias",
        "linear_attn.in_proj_qkvz.weight" => "ssm_in.weight",
        "linear_attn.in_proj_ba.weight" => "ssm_ba.weight",
        "linear_attn.in_proj_qkv.weight" => "attn_qkv.weight",
        "linear_attn.in_proj_z.weight" => "attn_gate.weight",
        "linear_attn.in_proj_b.weight" => "ssm_beta.weight",
        "linear_attn.in_proj_a.weight" => "ssm_alpha.weight",
        "linear_attn.conv1d.weight" => "ssm_conv1d.weight",
        "linear_attn.A_log" => "ssm_a_log",
        "linear_attn.dt_bias" => "ssm_dt.bias",
        "linear_attn.norm.weight" => "ssm_norm.weight",
        "linear_attn.out_proj.weight" => "ssm_out.weight",
        "mlp.experts.gate_up_proj" => "ffn_gate_up_exps.weight",
        "mlp.experts.down_proj" => "ffn_down_exps.weight",
        "mlp.shared_expert.gate_proj.weight" => "ffn_gate_shexp.weight",
        "mlp.shared_expert.up_proj.weight" => "ffn_up_shexp.weight",
        "mlp.shared_expert.down_proj.weight" => "ffn_down_shexp.weight",
        "mlp.shared_expert_gate.weight" => "ffn_gate_inp_shexp.weight",
        "mlp.shared_experts.gate_proj.weight" => "ffn_gate_shexp.weight",
        "mlp.shared_experts.up_proj.weight" => "ffn_up_shexp.weight",
        "mlp.shared_experts.down_proj.weight" => "ffn_down_shexp.weight",
        _ => return None,
    })
}

/// `mlp.experts.7.gate_proj.weight`, and Mixtral's `block_sparse_moe.experts.7.w1.weight`.
fn expert_part(part: &str) -> Option<String> {
    let rest = part.strip_prefix("mlp.").or_else(|| part.strip_prefix("block_sparse_moe."))?;
    let (expert, matrix) = rest.strip_prefix("experts.")?.split_once('.')?;
    let expert: u32 = expert.parse().ok()?;
    let matrix = match matrix {
        "gate_proj.weight" | "w1.weight" => "gate",
        "down_proj.weight" | "w2.weight" => "down",
        "up_proj.weight" | "w3.weight" => "up",
        _ => return None,
    };
    Some(format!("ffn_{matrix}.{expert}.weight"))
}
