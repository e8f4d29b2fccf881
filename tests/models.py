"""Tiny random models with a real tokenizer, saved as ordinary Hugging Face folders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

WORDS = "name a fruit what is the sum of red apple two and three five sort letters say hello again yes no".split()


KINDS = ("untied", "tied", "bias")
"""Output heads: a separate matrix, the embedding's matrix, a matrix with a bias."""


def save_llama(
    folder: Path,
    *,
    seed: int = 0,
    words: list[str] = WORDS,
    extra_rows: int = 0,
    padding_side: str = "right",
    layers: int = 2,
) -> Path:
    """Save a Llama of random weights whose tokenizer knows `words`; see `save_model`."""
    how: dict[str, Any] = {"words": words, "extra_rows": extra_rows, "padding_side": padding_side, "layers": layers}
    return save_model(folder, "untied", seed=seed, **how)


def save_even(folder: Path) -> Path:
    """Save a model whose layer widths are multiples of 64, as the 4-bit kernels on a CPU require."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    save_llama(folder)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, **sizes)).save_pretrained(folder)
    return folder


def save_model(
    folder: Path,
    kind: str,
    *,
    seed: int = 0,
    words: list[str] = WORDS,
    extra_rows: int = 0,
    padding_side: str = "right",
    layers: int = 2,
) -> Path:
    """Save a model of random weights with one of the output heads `KINDS`.

    Parameters
    ----------
    seed : int
        Of the weights.
    words : list of str
        The vocabulary besides four special tokens; another list gives another tokenizer.
    extra_rows : int
        Rows of the output head beyond the tokenizer's vocabulary.
    padding_side : str
        Of the tokenizer.
    layers : int
        Decoder layers.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PhiConfig, PhiForCausalLM, PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(["<unk>", "<s>", "</s>", "<pad>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side=padding_side, **special).save_pretrained(folder)
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "vocab_size": len(vocabulary) + extra_rows, "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": layers, "num_attention_heads": 2, "num_key_value_heads": 2,
        "max_position_embeddings": 128, "bos_token_id": 1,
        "eos_token_id": 2, "tie_word_embeddings": kind == "tied",
    }  # fmt: skip
    model = PhiForCausalLM(PhiConfig(**shape)) if kind == "bias" else LlamaForCausalLM(LlamaConfig(**shape))
    if kind == "bias":
        torch.nn.init.normal_(model.lm_head.bias)
    model.save_pretrained(folder)
    return folder
