"""Pretrains a small Llama and its tokenizer from scratch, on an endless stream of (prompt, answer) pairs.

Used for the demo model; the result is an ordinary Hugging Face folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from pathlib import Path

PAD, BOS, END, UNKNOWN = "<|pad|>", "<|begin|>", "<|end|>", "<|unknown|>"
ROLES = ("system", "user", "assistant", "tool")

# One line, since Jinja keeps line breaks. Each turn is closed by the end token, so that a rendered conversation with
# the generation prompt is a prefix of the conversation with its answer.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

IGNORED = -100
"""Label of tokens without a loss, as in torch."""
Pair = tuple[str, str]
Progress = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """Size and schedule of the demo model. The defaults give 1.4 M parameters."""

    vocabulary: int = 2048
    """Largest number of tokens; fewer if the texts have fewer merges."""
    hidden: int = 128
    """Width of the residual stream."""
    layers: int = 4
    heads: int = 4
    intermediate: int = 384
    """Width inside a feed-forward block."""
    positions: int = 512
    """Context length in tokens."""
    steps: int = 6000
    """Optimiser steps."""
    batch: int = 64
    """Pairs per step."""
    learning_rate: float = 2e-3
    """Peak; linear warm-up over the first 4 % of the steps, then a half cosine to zero."""
    weight_decay: float = 0.05
    seed: int = 0


def train_tokenizer(texts: Iterable[str], vocabulary: int, positions: int = 512) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer with single digits and the chat template above.

    Parameters
    ----------
    texts : iterable of str
        Texts to learn the merges from.
    vocabulary : int
        Largest number of tokens; the 256 bytes and the special tokens are always included, so that decoding
        restores every text exactly.
    positions : int
        Context length in tokens, stored in the tokenizer.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    special = [PAD, BOS, END, UNKNOWN, *(f"<|{role}|>" for role in ROLES)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=END,
        unk_token=UNKNOWN,
        extra_special_tokens=special[4:],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=positions,
    )


def new_model(tokenizer: PreTrainedTokenizerFast, config: PretrainConfig) -> LlamaForCausalLM:
    """Return a randomly initialised Llama with untied embeddings, in float32."""
    torch.manual_seed(config.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden,
            intermediate_size=config.intermediate,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=config.positions,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=False,
        )
    )


def encode_pair(tokenizer: PreTrainedTokenizerFast, pair: Pair) -> tuple[list[int], int]:
    """Return the tokens of prompt and answer, end of turn included, and the number of prompt tokens."""
    turns = [{"role": "user", "content": pair[0]}]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    start = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    # Encoded separately: no token spans the border, so that the prompt is a prefix of the whole.
    answer = tokenizer(pair[1] + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    return start + answer, len(start)


def batches(
    pairs: Iterator[Pair], tokenizer: PreTrainedTokenizerFast, config: PretrainConfig
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (tokens, labels), both int64 of shape (batch, longest), from an endless stream of pairs.

    Sixteen batches at a time are sorted by length and shuffled as batches: less padding, the same rows.
    """
    generator = torch.Generator().manual_seed(config.seed)
    while True:
        chunk = [encode_pair(tokenizer, pair) for pair in islice(pairs, 16 * config.batch)]
        chunk.sort(key=lambda encoded: len(encoded[0]))
        for index in torch.randperm(16, generator=generator).tolist():
            yield _padded(chunk[index * config.batch : (index + 1) * config.batch], tokenizer.pad_token_id)


def _padded(encoded: list[tuple[list[int], int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(tokens) for tokens, _ in encoded)
    tokens = torch.full((len(encoded), longest), pad)
    labels = torch.full((len(encoded), longest), IGNORED)
    for row, (ids, n_prompt) in enumerate(encoded):
        tokens[row, : len(ids)] = torch.tensor(ids)
        labels[row, n_prompt : len(ids)] = torch.tensor(ids[n_prompt:])
    return tokens, labels


def answer_loss(model: LlamaForCausalLM, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy in nats over the answer's tokens; the head runs at those positions only.

    Padding is on the right, so causal attention never sees it and no mask is needed.
    """
    hidden = model.model(tokens, use_cache=False).last_hidden_state[:, :-1]
    # The state at position t - 1 predicts token t.
    supervised = labels[:, 1:] != IGNORED
    logits = model.lm_head(hidden[supervised])
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:][supervised])


def pretrain(
    pairs: Iterator[Pair], texts: Iterable[str], out: Path, config: PretrainConfig, progress: Progress | None = None
) -> dict[str, Any]:
    """Train a tokenizer and a model and write them to `out` as an ordinary Hugging Face folder, weights in float16.

    Parameters
    ----------
    pairs : iterator of (str, str)
        Endless stream of prompt and answer; ``steps * batch`` of them are used.
    texts : iterable of str
        Texts to train the tokenizer on.
    out : Path
        Folder to write.
    config : PretrainConfig
    progress : callable, optional
        Called after each step with its number (from 1) and its loss in nats per token.

    Returns
    -------
    dict
        ``parameters``, ``vocabulary``, ``steps`` and the mean ``loss`` of the last hundred steps.
    """
    tokenizer = train_tokenizer(texts, config.vocabulary, config.positions)
    model = new_model(tokenizer, config)
    optimiser = torch.optim.AdamW(
        model.parameters(), config.learning_rate, (0.9, 0.98), weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, config.steps))
    losses: list[float] = []
    for step, (tokens, labels) in enumerate(islice(batches(pairs, tokenizer, config), config.steps), 1):
        loss = answer_loss(model, tokens, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        losses.append(loss.item())
        if progress is not None:
            progress(step, losses[-1])
    save(model, tokenizer, out)
    last = losses[-100:]
    size = sum(parameter.numel() for parameter in model.parameters())
    return {"parameters": size, "vocabulary": len(tokenizer), "steps": len(losses), "loss": sum(last) / len(last)}


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write model (float16 safetensors), configurations and tokenizer to the folder `out`."""
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out, save_jinja_files=False)


def _rate(step: int, steps: int) -> float:
    """Return the learning rate at a step, as a share of the peak."""
    warm_up = max(1, round(0.04 * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
