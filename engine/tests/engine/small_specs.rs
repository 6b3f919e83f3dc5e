//! A small model of every family, with every part that the family can have.

use protocol::ids::LayerIndex;
use protocol::model_spec::{
    Activation, Architecture, AttentionSpec, DeltaNetSpec, DeltaProjections, ExpertScores,
    ExpertSpec, LatentSpec, LayerSpec, ModelSpec, RopeLayout, RopeScaling, RopeSpec, Routing,
    StateKind, TemperatureSpec,
};

const WINDOW: u32 = 11;

/// Every matrix of its can be stored in every type.
pub(crate) fn small_spec(architecture: Architecture, tied_embeddings: bool) -> ModelSpec {
    let state =
        |layer| StateKind::PagedKv { window: windowed(architecture, layer).then_some(WINDOW) };
    let layer = |i| LayerSpec { state: state(i), weight_bytes: 0, macs_per_token: 0 };
    let mut spec = ModelSpec {
        hidden_size: 256,
        ffn_size: 512,
        vocab_size: 300,
        context_length: 128,
        attention: AttentionSpec::grouped(4, 2, 64),
        rope: RopeSpec { layout: RopeLayout::Interleaved, ..RopeSpec::plain(10_000.0, 64) },
        norm_epsilon: 1e-5,
        tied_embeddings,
        layers: (0..4).map(layer).collect(),
        ..ModelSpec::plain(architecture)
    };
    match architecture {
        Architecture::Llama => {}
        Architecture::Mistral => {
            spec.attention.temperature = Some(TemperatureSpec { slope: 0.3, length: 16 });
        }
        Architecture::Qwen2 => spec.attention.qkv_bias = true,
        Architecture::Qwen3 => spec.attention.qk_norm = true,
        Architecture::Phi3 => {
            spec.rope.dims = 48;
            spec.rope.scaling = RopeScaling::LongRope {
                short: vec![1.0; 24],
                long: (0..24).map(|i| 1.0 + i as f32 / 8.0).collect(),
                original_context_length: 64,
                magnitude: 1.1,
            };
        }
        Architecture::Gemma2 | Architecture::Gemma3 => gemma(&mut spec),
        Architecture::Gemma4 => gemma4(&mut spec),
        Architecture::Mixtral => spec.experts = Some(experts(Routing::SOFTMAX)),
        Architecture::Qwen3Moe => {
            spec.attention.qk_norm = true;
            spec.experts = Some(experts(Routing { normalise: false, ..Routing::SOFTMAX }));
        }
        Architecture::GptOss => gpt_oss(&mut spec),
        Architecture::Glm4Moe => {
            (spec.attention.qkv_bias, spec.attention.qk_norm) = (true, true);
            spec.rope.dims = 32;
            spec.experts = Some(grouped_experts());
        }
        Architecture::DeepseekV3 => deepseek(&mut spec),
        Architecture::Qwen3Next | Architecture::Qwen35 | Architecture::Qwen35Moe => {
            hybrid(&mut spec);
        }
    }
    spec
}

fn windowed(architecture: Architecture, layer: u32) -> bool {
    match architecture {
        Architecture::Mistral | Architecture::Phi3 => true,
        Architecture::Gemma2 | Architecture::GptOss => layer.is_multiple_of(2),
        Architecture::Gemma3 | Architecture::Gemma4 => layer != 2,
        _ => false,
    }
}

fn gemma(spec: &mut ModelSpec) {
    spec.activation = Activation::GeluTanh;
    spec.norm_offset = 1.0;
    spec.embedding_scale = 16.0;
    spec.attention.scale = Some(0.1);
    if spec.architecture == Architecture::Gemma3 {
        spec.attention.qk_norm = true;
        spec.window_rope = Some(RopeSpec::plain(500.0, 64));
    } else {
        (spec.attention.soft_cap, spec.logit_soft_cap) = (Some(3.0), Some(8.0));
    }
}

/// The third layer sees everything, with longer heads of which there are fewer, whose keys are its
/// values.
fn gemma4(spec: &mut ModelSpec) {
    spec.activation = Activation::GeluTanh;
    spec.embedding_scale = 16.0;
    spec.logit_soft_cap = Some(8.0);
    let attention = &mut spec.attention;
    (attention.qk_norm, attention.value_norm, attention.scale) = (true, true, Some(1.0));
    let windowed = *attention;
    (attention.head_dim, attention.kv_heads, attention.values_are_keys) = (128, 1, true);
    spec.window_attention = Some(windowed);
    spec.window_rope = Some(RopeSpec::plain(500.0, 64));
    let factors = (0..64).map(|pair| if pair < 16 { 1.0 } else { 1e30 }).collect();
    let scaling = RopeScaling::FrequencyFactors { factors };
    spec.rope = RopeSpec { scaling, ..RopeSpec::plain(10_000.0, 128) };
    spec.experts = Some(ExpertSpec { beside_dense: true, ..experts(Routing::SOFTMAX) });
}

/// The small kind of Gemma 4: the last two layers read the keys of the second, and every layer
/// makes something of the tokens themselves.
pub(crate) fn small_gemma4_e() -> ModelSpec {
    let mut spec = small_spec(Architecture::Gemma4, true);
    spec.experts = None;
    (spec.per_layer_width, spec.reusing_ffn_size) = (64, Some(768));
    let attention = &mut spec.attention;
    (attention.kv_heads, attention.values_are_keys) = (2, false);
    let (kept, full) = (spec.layers[1].state, spec.layers[2].state);
    (spec.layers[0].state, spec.layers[1].state) = (full, kept);
    let reads = |layer| StateKind::KvOf { layer: LayerIndex(layer), window: Some(WINDOW) };
    spec.layers[2].state = reads(1);
    spec.layers[3].state = reads(1);
    spec
}

fn gpt_oss(spec: &mut ModelSpec) {
    let attention = &mut spec.attention;
    (attention.qkv_bias, attention.output_bias, attention.sinks) = (true, true, true);
    spec.activation = Activation::ClampedSwiglu { alpha: 1.702, limit: 7.0 };
    spec.experts = Some(ExpertSpec { bias: true, ..experts(Routing::SOFTMAX) });
    spec.rope.scaling = yarn();
}

fn deepseek(spec: &mut ModelSpec) {
    let latent = LatentSpec {
        query_rank: 256,
        rank: 256,
        plain_dim: 256,
        rope_dim: 32,
        value_dim: 64,
        split_keys: spec.tied_embeddings,
    };
    let attention = &mut spec.attention;
    (attention.kv_heads, attention.head_dim) = (attention.heads, 288);
    attention.latent = Some(latent);
    (spec.rope.dims, spec.rope.scaling) = (32, yarn());
    spec.experts = Some(grouped_experts());
    spec.layers.iter_mut().for_each(|layer| layer.state = StateKind::PagedLatent { width: 288 });
}

/// The second layer attends, the others are recurrent; weights as in folders and as in files.
fn hybrid(spec: &mut ModelSpec) {
    let next = spec.architecture == Architecture::Qwen3Next;
    let delta = DeltaNetSpec {
        key_heads: 2,
        value_heads: 4,
        key_dim: 48,
        value_dim: 64,
        conv_taps: 4,
        projections: match (next, spec.tied_embeddings) {
            (true, true) => DeltaProjections::JoinedGates,
            (true, false) => DeltaProjections::Joined,
            (false, _) => DeltaProjections::Separate,
        },
        tiled_values: !next && spec.tied_embeddings,
        log_decay: true,
    };
    spec.delta_net = Some(delta);
    spec.norm_offset = 1.0;
    (spec.attention.qk_norm, spec.attention.output_gate) = (true, true);
    spec.rope = RopeSpec::plain(10_000.0, 16);
    if spec.architecture != Architecture::Qwen35 {
        let shared =
            ExpertSpec { shared_ffn_size: 256, shared_gate: true, ..experts(Routing::SOFTMAX) };
        spec.experts = Some(shared);
    }
    for layer in [0, 2, 3] {
        spec.layers[layer].state = StateKind::Recurrent { bytes: delta.state_bytes() };
    }
}

fn yarn() -> RopeScaling {
    RopeScaling::Yarn {
        factor: 4.0,
        original_context_length: 32,
        beta_fast: 32.0,
        beta_slow: 1.0,
        magnitude: 1.14,
        rounded_ramp: true,
    }
}

fn experts(routing: Routing) -> ExpertSpec {
    ExpertSpec {
        count: 6,
        used: 2,
        ffn_size: 256,
        shared_ffn_size: 0,
        shared_gate: false,
        beside_dense: false,
        dense_layers: 0,
        bias: false,
        routing,
    }
}

fn grouped_experts() -> ExpertSpec {
    let routing = Routing {
        scores: ExpertScores::Sigmoid,
        selection_bias: true,
        groups: 3,
        groups_used: 2,
        normalise: true,
        scale: 2.5,
    };
    ExpertSpec { shared_ffn_size: 256, dense_layers: 1, ..experts(routing) }
}
