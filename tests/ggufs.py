"""Tiny GGUF files, written as llama.cpp's converter writes them; the test skips without the package gguf."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

TEMPLATE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}</s>{% endfor %}"

NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "model.layers": "blk",
}  # fmt: skip


def write_gguf(model: Path, file: Path, kind: str = "F32", *, layers: int | None = None) -> Path:
    """Write the Llama in a model folder as `file`, its matrices stored as `kind`.

    Parameters
    ----------
    kind : str
        ``"F32"``, ``"F16"`` or ``"Q8_0"``; the last needs matrices whose rows are multiples of 32.
    layers : int, optional
        Number of layers that the file claims, if not the true one.
    """
    gguf = pytest.importorskip("gguf", reason="needs the extra gguf")
    from safetensors.numpy import load_file

    config = json.loads((model / "config.json").read_text())
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_block_count(layers or config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config["vocab_size"])
    _add_tokenizer(writer, config["vocab_size"])
    for name, weight in load_file(model / "model.safetensors").items():
        _add_weight(writer, name, _permuted(name, weight, config), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add_tokenizer(writer: object, rows: int) -> None:
    letters = [chr(97 + index) if index < 26 else f"w{index}" for index in range(rows - 4)]
    tokens = ["<unk>", "<s>", "</s>", *letters, "ab"]
    writer.add_tokenizer_model("gpt2")  # type: ignore[attr-defined]
    writer.add_token_list(tokens)  # type: ignore[attr-defined]
    writer.add_token_types([3] * 3 + [1] * (rows - 3))  # type: ignore[attr-defined]
    writer.add_token_merges(["a b"])  # type: ignore[attr-defined]
    writer.add_bos_token_id(1)  # type: ignore[attr-defined]
    writer.add_eos_token_id(2)  # type: ignore[attr-defined]
    writer.add_unk_token_id(0)  # type: ignore[attr-defined]
    writer.add_chat_template(TEMPLATE)  # type: ignore[attr-defined]


def _permuted(name: str, weight: np.ndarray, config: dict[str, Any]) -> np.ndarray:
    """Return query and key matrices in llama.cpp's order, which interleaves the halves of every head."""
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    count = next((config[key] for part, key in heads.items() if part in name), None)
    if count is None:
        return weight
    return weight.reshape(count, 2, weight.shape[0] // count // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def _add_weight(writer: object, name: str, weight: np.ndarray, kind: str) -> None:
    import gguf
    import numpy as np

    for old, new in NAMES.items():
        name = name.replace(old, new)
    if weight.ndim == 1 or kind == "F32":
        writer.add_tensor(name, weight.astype(np.float32))  # type: ignore[attr-defined]
    elif kind == "F16":
        writer.add_tensor(name, weight.astype(np.float16))  # type: ignore[attr-defined]
    else:
        stored = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(name, gguf.quantize(weight.astype(np.float32), stored), raw_dtype=stored)  # type: ignore[attr-defined]
