"""Tiny random models with a real tokenizer, saved as ordinary Hugging Face folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WORDS = "name a fruit what is the sum of red apple two and three five sort letters say hello again yes no".split()


def save_llama(folder: Path, *, seed: int = 0, words: list[str] = WORDS, extra_rows: int = 0) -> Path:
    """Save a two-layer Llama of random weights whose tokenizer knows `words`.

    Parameters
    ----------
    seed : int
        Of the weights.
    words : list of str
        The vocabulary, beside four special tokens; another list gives another tokenizer.
    extra_rows : int
        Rows of the output layer beyond the tokenizer's vocabulary.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {word: place for place, word in enumerate(["<unk>", "<s>", "</s>", "<pad>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary) + extra_rows, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
