"""Weight types: what a GGUF file's F16 or Q8_0 does to the trained f32 weights."""

import gguf
import numpy as np
import torch

F16 = gguf.GGMLQuantizationType.F16
Q8_0 = gguf.GGMLQuantizationType.Q8_0


def rounded(state: dict[str, torch.Tensor], kind: gguf.GGMLQuantizationType):
    """The f32 weights that a reader of the file sees: matrices rounded, vectors untouched."""
    return {name: torch.from_numpy(np.array(_round(value.numpy(), kind)))
            if value.dim() == 2 else value for name, value in state.items()}


def _round(value: np.ndarray, kind) -> np.ndarray:
    return gguf.quants.dequantize(gguf.quants.quantize(value, kind), kind).reshape(value.shape)
