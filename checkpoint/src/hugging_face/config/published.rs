//! Configurations in the words of published models: what their layers are, from these alone.

use std::path::Path;

use protocol::ids::LayerIndex;
use protocol::model_spec::{
    Architecture, KvType, LayerRange, ModelSpec, RopeScaling, RopeSpec, StateKind,
};
use serde_json::{Value, json};

use crate::hugging_face::quantisation::Quantisation;
use crate::hugging_face::tensor_names::Naming;

fn spec(config: Value) -> ModelSpec {
    let Value::Object(map) = config else { panic!("an object") };
    super::spec(Path::new("config.json"), &super::text_part(map)).expect("it is understood")
}

/// The canonical name of each, none for what is not read.
fn names(architecture: Architecture, published: &[&str]) -> Vec<Option<String>> {
    let naming = Naming { architecture, quantisation: Quantisation::None };
    published.iter().map(|name| naming.canonical(name)).collect()
}

#[test]
fn mistral_small_is_read_within_a_model_that_sees() {
    let spec = spec(json!({
        "architectures": ["Mistral3ForConditionalGeneration"], "model_type": "mistral3",
        "image_token_index": 10, "multimodal_projector_bias": false, "spatial_merge_size": 2,
        "text_config": {
            "attention_dropout": 0.0, "head_dim": 128, "hidden_act": "silu", "hidden_size": 5120,
            "intermediate_size": 32768, "max_position_embeddings": 131072,
            "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 40,
            "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000000.0,
            "sliding_window": null, "use_cache": true, "vocab_size": 131072},
        "vision_config": {"head_dim": 64, "hidden_act": "silu", "hidden_size": 1024,
                          "model_type": "pixtral", "num_hidden_layers": 24}
    }));
    assert_eq!((spec.architecture, spec.layer_count()), (Architecture::Mistral, 40));
    assert_eq!((spec.hidden_size, spec.attention.head_dim, spec.rope.dims), (5120, 128, 128));
    assert_eq!((spec.rope.theta, spec.tied_embeddings), (1e9, false));
    assert!(spec.attention.temperature.is_none());
    assert!(spec.layers.iter().all(|l| l.state == StateKind::PagedKv { window: None }));
    assert_eq!(spec.kv_bytes_per_token(spec.all_layers(), KvType::F16), 40 * 2 * 8 * 128 * 2);
    let published = [
        "language_model.model.layers.7.self_attn.q_proj.weight",
        "language_model.lm_head.weight",
        "vision_tower.transformer.layers.0.attention.q_proj.weight",
        "multi_modal_projector.linear_1.weight",
        "model.language_model.embed_tokens.weight",
        "model.vision_tower.ln_pre.weight",
    ];
    let read = [Some("blk.7.attn_q.weight"), Some("output.weight"), None, None];
    let read = read.into_iter().chain([Some("token_embd.weight"), None]);
    let read: Vec<_> = read.map(|name| name.map(str::to_owned)).collect();
    assert_eq!(names(Architecture::Mistral, &published), read);
}

#[test]
fn gemma_3_leaves_out_what_its_class_assumes() {
    let four = spec(json!({
        "model_type": "gemma3", "text_config": {
            "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
            "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024}
    }));
    let attention = four.attention;
    assert_eq!((attention.heads, attention.kv_heads, attention.head_dim), (8, 4, 256));
    assert_eq!((four.vocab_size, four.context_length), (262_208, 131_072));
    assert_eq!(four.rope.scaling, RopeScaling::Linear { factor: 8.0 });
    assert_eq!((four.rope.theta, four.tied_embeddings), (1e6, true));
    assert_eq!(four.window_rope, Some(RopeSpec::plain(1e4, 256)));
    assert_eq!((four.window_of(LayerIndex(4)), four.window_of(LayerIndex(5))), (Some(1024), None));
    let largest = spec(json!({
        "model_type": "gemma3", "text_config": {
            "head_dim": 128, "hidden_size": 5376, "intermediate_size": 21504,
            "model_type": "gemma3_text", "num_attention_heads": 32, "num_hidden_layers": 62,
            "num_key_value_heads": 16, "query_pre_attn_scalar": 168,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024}
    }));
    assert_eq!((largest.attention.head_dim, largest.rope.dims), (128, 128));
    assert!((largest.attention.score_scale() - 168_f32.sqrt().recip()).abs() < 1e-7);
    let published = ["vision_tower.vision_model.post_layernorm.weight", "lm_head.weight"];
    let expected = [None, Some("output.weight".to_owned())];
    assert_eq!(names(Architecture::Gemma3, &published), expected);
}

/// The 31B, the 26B-A4B and the E2B.
fn gemma_4(more: Value) -> ModelSpec {
    let full = |i: u64, every: u64| (i + 1).is_multiple_of(every);
    let (count, every) = (more["num_hidden_layers"].as_u64(), more["every"].as_u64());
    let (count, every) = (count.expect("a count"), every.expect("a pattern"));
    let kind = |i| if full(i, every) { "full_attention" } else { "sliding_attention" };
    let mut text = json!({
        "attention_bias": false, "final_logit_softcapping": 30.0, "global_head_dim": 512,
        "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "model_type": "gemma4_text",
        "layer_types": (0..count).map(kind).collect::<Vec<_>>(), "rms_norm_eps": 1e-06,
        "max_position_embeddings": 262144, "tie_word_embeddings": true, "vocab_size": 262144,
        "rope_parameters": {
            "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0,
                               "rope_type": "proportional"},
            "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"}},
        "use_bidirectional_attention": "vision", "vocab_size_per_layer_input": 262144
    });
    let Value::Object(more) = more else { panic!("an object") };
    text.as_object_mut().expect("an object").extend(more);
    spec(json!({"model_type": "gemma4", "text_config": text}))
}

#[test]
fn the_kinds_of_gemma_4_differ_in_heads_experts_and_what_their_layers_keep() {
    let dense = gemma_4(json!({
        "attention_k_eq_v": true, "enable_moe_block": false, "every": 6, "hidden_size": 5376,
        "hidden_size_per_layer_input": 0, "intermediate_size": 21504, "num_attention_heads": 32,
        "num_global_key_value_heads": 4, "num_hidden_layers": 60, "num_key_value_heads": 16,
        "num_kv_shared_layers": 0, "sliding_window": 1024}));
    let (window, full) = (LayerIndex(0), LayerIndex(5));
    assert_eq!((dense.window_of(window), dense.window_of(full)), (Some(1024), None));
    let heads = |layer| {
        let attention = dense.attention_of(layer);
        (attention.kv_heads, attention.head_dim, attention.values_are_keys)
    };
    assert_eq!((heads(window), heads(full)), ((16, 256, false), (4, 512, true)));
    let token = 2 * (50 * 16 * 256 + 10 * 4 * 512) * 2;
    assert_eq!(dense.kv_bytes_per_token(dense.all_layers(), KvType::F16), token);
    let RopeScaling::FrequencyFactors { factors } = &dense.rope.scaling else { panic!("factors") };
    assert_eq!((factors.len(), factors[63], factors[64]), (256, 1.0, 1e30));
    let mixture = gemma_4(json!({
        "attention_k_eq_v": true, "enable_moe_block": true, "every": 6, "hidden_size": 2816,
        "hidden_size_per_layer_input": 0, "intermediate_size": 2112, "num_attention_heads": 16,
        "moe_intermediate_size": 704, "num_experts": 128, "num_global_key_value_heads": 2,
        "num_hidden_layers": 30, "num_key_value_heads": 8, "sliding_window": 1024,
        "top_k_experts": 8}));
    let experts = mixture.experts.expect("experts");
    assert_eq!((experts.count, experts.used, experts.ffn_size), (128, 8, 704));
    assert!(experts.beside_dense && mixture.ffn_size == 2112);
    let small = gemma_4(json!({
        "attention_k_eq_v": false, "every": 5, "hidden_size": 1536, "intermediate_size": 6144,
        "hidden_size_per_layer_input": 256, "num_attention_heads": 8, "num_hidden_layers": 35,
        "num_key_value_heads": 1, "num_kv_shared_layers": 20, "sliding_window": 512,
        "use_double_wide_mlp": true}));
    assert_eq!((small.per_layer_width, small.reusing_ffn_size), (256, Some(12288)));
    let sources = [15, 19, 34].map(|layer| small.kv_layer(LayerIndex(layer)).0);
    assert_eq!(sources, [13, 14, 14]);
    let cuts: Vec<u32> = (1..35).filter(|at| small.can_cut(LayerIndex(*at))).collect();
    assert_eq!(cuts, (1..=13).collect::<Vec<_>>());
    let reading = LayerRange::new(15, 35);
    assert_eq!(small.kv_bytes_per_token(reading, KvType::F16), 0);
}

#[test]
fn phi_4_mini_rotates_three_quarters_of_a_head_by_two_sets_of_factors() {
    let spec = spec(json!({
        "architectures": ["Phi3ForCausalLM"], "attention_bias": false, "hidden_act": "silu",
        "full_attn_mod": 1, "hidden_size": 3072, "intermediate_size": 8192,
        "max_position_embeddings": 131072, "model_type": "phi3", "num_attention_heads": 24,
        "num_hidden_layers": 32, "num_key_value_heads": 8,
        "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75,
        "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 262144,
        "rope_scaling": {"long_factor": vec![2.0; 48], "short_factor": vec![1.0; 48],
                         "type": "longrope"},
        "tie_word_embeddings": true, "vocab_size": 200064
    }));
    assert_eq!((spec.attention.head_dim, spec.rope.dims, spec.tied_embeddings), (128, 96, true));
    let RopeScaling::LongRope { long, original_context_length, magnitude, .. } = &spec.rope.scaling
    else {
        panic!("factors")
    };
    assert_eq!((long.len(), *original_context_length), (48, 4096));
    // sqrt(1 + ln(32) / ln(4096))
    assert!((magnitude - 1.190_238).abs() < 1e-5, "{magnitude}");
}

#[test]
fn qwen_2_5_says_a_window_that_it_does_not_use() {
    let spec = spec(json!({
        "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 3584,
        "intermediate_size": 18944, "max_position_embeddings": 32768, "max_window_layers": 28,
        "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4,
        "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 131072,
        "tie_word_embeddings": false, "use_mrope": false, "use_sliding_window": false,
        "vocab_size": 152064
    }));
    assert_eq!(spec.attention.head_dim, 128);
    assert!(spec.layers.iter().all(|l| l.state == StateKind::PagedKv { window: None }));
}

#[test]
fn deepseek_v3_scales_scores_by_its_stretching() {
    let spec = spec(json!({
        "model_type": "deepseek_v3", "ep_size": 1, "first_k_dense_replace": 3,
        "hidden_act": "silu", "hidden_size": 7168, "intermediate_size": 18432,
        "kv_lora_rank": 512, "max_position_embeddings": 163840, "moe_intermediate_size": 2048,
        "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1,
        "norm_topk_prob": true, "num_attention_heads": 128, "num_experts_per_tok": 8,
        "num_hidden_layers": 61, "num_key_value_heads": 128, "num_nextn_predict_layers": 1,
        "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
        "rms_norm_eps": 1e-06, "rope_theta": 10000, "routed_scaling_factor": 2.5,
        "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0,
                         "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096,
                         "type": "yarn"},
        "scoring_func": "sigmoid", "tie_word_embeddings": false, "topk_group": 4,
        "topk_method": "noaux_tc", "v_head_dim": 128, "vocab_size": 129280
    }));
    let RopeScaling::Yarn { magnitude, .. } = spec.rope.scaling else { panic!("YaRN") };
    let grown = 1.0 + 0.1 * 40_f32.ln();
    let scale = grown * grown / 192_f32.sqrt();
    assert!(magnitude == 1.0 && (spec.attention.score_scale() - scale).abs() < 1e-6);
    assert!(!spec.has_experts(LayerIndex(2)) && spec.has_experts(LayerIndex(3)));
    assert_eq!(spec.kv_bytes_per_token(spec.all_layers(), KvType::F16), 61 * 576 * 2);
}
