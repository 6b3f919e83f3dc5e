"""Writes the trained weights as GGUF: F16 for the repository, Q8_0 for the evaluation."""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

import chat
import weights
from model import Config

PER_LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
WHOLE = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}
SIZE_LIMIT = 16 * 1024 * 1024


def gguf_name(source: str) -> str:
    if source in WHOLE:
        return WHOLE[source]
    _, layer, rest = source.split(".", 2)
    return f"blk.{layer}.{PER_LAYER[rest.removesuffix('.weight')]}.weight"


def interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head: from (first half, second half) to pairs, as llama's rope wants them."""
    rows, columns = weight.shape
    return (weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2)
            .reshape(rows, columns))


def write(path: Path, state: dict[str, torch.Tensor], tokenizer: Tokenizer, kind) -> None:
    config = Config()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Trireme Demo")
    writer.add_description("A tiny chat model made by models/demo in the Trireme repository")
    writer.add_license("apache-2.0")
    writer.add_size_label("6.7M")
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.hidden)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.feed_forward)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.epsilon)
    writer.add_vocab_size(config.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if kind == weights.F16
                         else gguf.LlamaFileType.MOSTLY_Q8_0)
    _write_tokenizer(writer, tokenizer)
    for source, tensor in state.items():
        value = tensor.float().numpy()
        if source.endswith(("q_proj.weight", "k_proj.weight")):
            value = interleave(value, config.heads if "q_proj" in source else config.kv_heads)
        value = np.ascontiguousarray(value)
        if value.ndim == 1:
            writer.add_tensor(gguf_name(source), value)
        else:
            writer.add_tensor(gguf_name(source), gguf.quants.quantize(value, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    special = {chat.IM_START, chat.IM_END, chat.END_OF_TEXT}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL
                            for token in tokens])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_eos_token_id(tokens.index(chat.IM_END))
    writer.add_pad_token_id(tokens.index(chat.END_OF_TEXT))
    writer.add_add_bos_token(False)
    writer.add_chat_template(chat.TEMPLATE)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--build", type=Path, default=Path("build"))
    arguments.add_argument("--out", type=Path, default=Path("demo.gguf"))
    arguments = arguments.parse_args()
    state = torch.load(arguments.build / "checkpoint.pt")["model"]
    tokenizer = Tokenizer.from_file(str(arguments.build / "tokenizer.json"))
    write(arguments.out, state, tokenizer, weights.F16)
    write(arguments.build / "demo-q8_0.gguf", state, tokenizer, weights.Q8_0)
    size = arguments.out.stat().st_size
    print(f"{arguments.out}: {size} bytes")
    if size > SIZE_LIMIT:
        raise SystemExit(f"larger than {SIZE_LIMIT} bytes")


if __name__ == "__main__":
    main()
