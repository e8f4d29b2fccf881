"""Random pairs of models of a given shape, a word-level tokenizer, and conversations of given lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from curate.engines.models.attention import use_blocked_attention
from curate.engines.models.loading import LanguageModel, Pair, make_pair
from curate.schemas.corpus import MESSAGES

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPES: dict[str, dict[str, Any]] = {
    "narrow": {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 2, "num_attention_heads": 4,
               "num_key_value_heads": 4, "vocab_size": 8192},
    "small": {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8, "num_attention_heads": 8,
              "num_key_value_heads": 8, "vocab_size": 32_000},
    "8b": {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "vocab_size": 128_256},
}  # fmt: skip

WORDS_FROM = 16
"""First id of a plain word; lower ids are special tokens and the headers of the plain template."""


def word_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer of `vocabulary` ids in which ``w17`` is id 17 and every unknown word one token."""
    special = ["<unk>", "<s>", "</s>", "<pad>"]
    words = {f"w{index}": index for index in range(WORDS_FROM, vocabulary)}
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(special)} | words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def random_model(shape: str, device: str, dtype: torch.dtype, seed: int) -> LanguageModel:
    """Return a Llama of random weights, created on the device where it runs."""
    torch.manual_seed(seed)
    config = LlamaConfig(**SHAPES[shape], max_position_embeddings=2048, dtype=dtype)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)
    use_blocked_attention(model)
    return LanguageModel(model, f"{shape}-{seed}")


def random_pair(shape: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Pair:
    """Return a checked pair of random models of one shape; the compressed one is the original plus noise."""
    original, compressed = (random_model(shape, device, dtype, seed=0) for _ in range(2))
    generator = torch.Generator(device).manual_seed(1)
    with torch.no_grad():
        for weight in compressed.model.parameters():
            noise = torch.randn(weight.shape, generator=generator, device=weight.device, dtype=weight.dtype)
            weight.add_(noise, alpha=0.2 * float(weight.float().std(correction=0)))
    return make_pair(original, compressed, word_tokenizer(SHAPES[shape]["vocab_size"]))


def conversations(
    prompts: NDArray[np.int64], responses: NDArray[np.int64], vocabulary: int, seed: int = 0
) -> pa.RecordBatch:
    """Return one exchange of random words for each pair of lengths, in tokens."""
    rng = np.random.default_rng(seed)

    def words(count: int) -> str:
        return " ".join(f"w{index}" for index in rng.integers(WORDS_FROM, vocabulary, count))

    messages = [
        [{"role": role, "content": words(int(count)), "tool_call": False}
         for role, count in (("user", prompt), ("assistant", response))]
        for prompt, response in zip(prompts, responses, strict=True)
    ]  # fmt: skip
    ids = [f"{row:020x}" for row in range(len(messages))]
    return pa.RecordBatch.from_arrays([pa.array(ids), pa.array(messages, MESSAGES)], ["example_id", "messages"])


def real_rows(path: str, rows: int) -> pa.RecordBatch:
    """Return the first `rows` conversations of a Parquet file with ``instruction``, ``input`` and ``output``."""
    import pyarrow.parquet as pq

    table = pq.read_table(path).slice(0, rows).to_pylist()
    messages = [
        [{"role": "user", "content": f"{row['instruction']}\n{row['input'] or ''}".strip(), "tool_call": False},
         {"role": "assistant", "content": row["output"], "tool_call": False}]
        for row in table
    ]  # fmt: skip
    ids = [f"{number:020x}" for number in range(len(messages))]
    return pa.RecordBatch.from_arrays([pa.array(ids), pa.array(messages, MESSAGES)], ["example_id", "messages"])
