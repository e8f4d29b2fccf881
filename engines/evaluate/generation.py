"""Greedy decoding in batches, exact match, and the likelihood of the reference answer.

A row is a conversation whose last turn is the reference answer. The template of scoring lays it out, so the model gets
exactly the prompt that it was scored with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import GenerationConfig

from curate.engines.models.checkpoints import resolve_model
from curate.engines.models.devices import resolve_device, resolve_dtype
from curate.engines.models.loading import load_model
from curate.engines.models.tokenizers import load_tokenizer
from curate.engines.tokens.templates import Template, TemplateKind
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from curate.schemas.corpus import Turn


@dataclass(frozen=True, slots=True)
class EncodedQuestion:
    """One row as token ids, split into prompt and reference answer."""

    prompt: NDArray[np.int64]
    """Shape (n_prompt,), at least one token."""
    answer: NDArray[np.int64]
    """Shape (n_answer,): the reference, end-of-turn token included; at least one token."""


@dataclass(frozen=True, slots=True)
class Grades:
    """A model's answers and grades, one entry per row, in the order of the rows."""

    answers: list[str]
    """Generated text, without control tokens and outer white space."""
    correct: NDArray[np.bool_]
    """Whether the answer equals the reference, character for character."""
    nll: NDArray[np.float64]
    """Mean over the reference's tokens of −log p, in nats per token, ≥ 0, smaller = better."""


def grade(
    folder: str | Path,
    conversations: Sequence[Sequence[Turn]],
    *,
    template: TemplateKind = "auto",
    max_length: int = 512,
    max_new_tokens: int = 64,
    batch_size: int = 64,
    device: str = "auto",
    dtype: str = "auto",
) -> Grades:
    """Generate an answer to the last question of every conversation and compare it with the last turn.

    Parameters
    ----------
    folder : str or Path
        Hugging Face model folder, an adapter over a base, or a hub name (only then is the network used).
    conversations : sequence of sequences of Turn
        Each ends with the assistant turn that is the reference.
    template, max_length
        As in scoring.
    max_new_tokens : int
        Longest answer in tokens; a longer one is truncated and therefore wrong.
    batch_size : int
        Rows per batch.
    device, dtype : str
        See `curate.engines.models.devices`.

    Raises
    ------
    InputError
        If the model cannot be read, or a conversation, named by its position, has no reference within `max_length`.
    """
    target, source = resolve_device(device), resolve_model(str(folder))
    model, tokenizer = load_model(source, target, resolve_dtype(dtype, target)), load_tokenizer(source)
    questions = encode_questions(Template(tokenizer, template, max_length), conversations)
    stops = stop_tokens(model, tokenizer.eos_token_id)
    produced = greedy_answers(model, [q.prompt for q in questions], stops, max_new_tokens, batch_size)
    answers = [text.strip() for text in tokenizer.batch_decode(produced, skip_special_tokens=True)]
    references = [turns[-1].content.strip() for turns in conversations]
    correct = np.array([one == other for one, other in zip(answers, references, strict=True)], dtype=np.bool_)
    return Grades(answers, correct, reference_nll(model, questions, batch_size))


def encode_questions(template: Template, conversations: Sequence[Sequence[Turn]]) -> list[EncodedQuestion]:
    """Return the last question and its reference of every conversation, as token ids.

    Raises
    ------
    InputError
        If a conversation does not end with a reference that fits the template's length.
    """
    questions = []
    for number, encoded in enumerate(template.encode_many(conversations), 1):
        # The reference is the last run of supervised tokens; earlier assistant turns are part of the prompt.
        start = len(encoded.supervised)
        while start > 0 and encoded.supervised[start - 1]:
            start -= 1
        answer = encoded.ids[start:]
        if encoded.error or encoded.truncated or start == 0 or not len(answer):
            reason = encoded.error or "it is too long, or ends with a question"
            raise InputError(
                f"conversation {number} has no answer to compare with ({reason}); leave it out, or raise the length"
            )
        questions.append(EncodedQuestion(encoded.ids[:start], answer))
    return questions


def stop_tokens(model: PreTrainedModel, end_of_text: int | None) -> list[int]:
    """Return the ids that end an answer: the model's own end tokens and the tokenizer's."""
    own = model.generation_config.eos_token_id if model.generation_config is not None else None
    listed = own if isinstance(own, list) else [own]
    # They often differ: a chat model ends its turn with another token than the end of a text.
    return sorted({token for token in [*listed, end_of_text] if token is not None})


def greedy_answers(
    model: PreTrainedModel,
    prompts: Sequence[NDArray[np.int64]],
    stops: Sequence[int],
    max_new_tokens: int,
    batch_size: int,
) -> list[list[int]]:
    """Return the most likely continuation of every prompt, token by token, without the token that ended it.

    Prompts are padded on the left and the model keeps its key-value cache, so a step costs one token per row.

    Parameters
    ----------
    prompts : sequence of int64 arrays of shape (n_prompt,)
    stops : sequence of int
        Tokens that end an answer; padding uses the first of them, masked out.
    """
    # `generate` also pads rows that end early with this token; `before_stop` removes it again.
    pad = stops[0] if stops else 0
    generation = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=list(stops) or None, pad_token_id=pad
    )
    answers: list[list[int]] = [[] for _ in prompts]
    for rows in by_length([len(prompt) for prompt in prompts], batch_size):
        with torch.inference_mode():
            batch = padded_left(model, [prompts[row] for row in rows], pad)
            produced = model.generate(**batch, generation_config=generation)[:, batch["input_ids"].shape[1] :].tolist()
        for row, ids in zip(rows, produced, strict=True):
            answers[row] = before_stop(ids, stops)
    return answers


def padded_left(model: PreTrainedModel, prompts: Sequence[NDArray[np.int64]], pad: int) -> dict[str, torch.Tensor]:
    """Return ``input_ids`` and ``attention_mask`` of prompts that end at the same place, on the model's device."""
    width = max(map(len, prompts))
    tokens = np.full((len(prompts), width), pad)
    mask = np.zeros((len(prompts), width), dtype=np.int64)
    for i, prompt in enumerate(prompts):
        tokens[i, width - len(prompt) :] = prompt
        mask[i, width - len(prompt) :] = 1
    return {"input_ids": _on(model, tokens), "attention_mask": _on(model, mask)}


def reference_nll(model: PreTrainedModel, questions: Sequence[EncodedQuestion], batch_size: int) -> NDArray[np.float64]:
    """Return the mean negative log-likelihood of every reference, shape (n,), nats per token, accumulated in float32.

    Rows are padded on the right, where causal attention never looks.
    """
    values = np.zeros(len(questions))
    lengths = [len(q.prompt) + len(q.answer) for q in questions]
    for rows in by_length(lengths, batch_size):
        tokens = np.zeros((len(rows), max(lengths[row] for row in rows)), dtype=np.int64)
        mask = np.zeros_like(tokens)
        for i, row in enumerate(rows):
            tokens[i, : lengths[row]] = np.concatenate([questions[row].prompt, questions[row].answer])
            mask[i, : lengths[row]] = 1
        with torch.inference_mode():
            logits = model(input_ids=_on(model, tokens), attention_mask=_on(model, mask)).logits
        for i, row in enumerate(rows):
            first, last = len(questions[row].prompt), lengths[row]
            answer = _on(model, tokens[i, first:last])
            # The logits at position t − 1 predict token t.
            values[row] = torch.nn.functional.cross_entropy(logits[i, first - 1 : last - 1].float(), answer).item()
    return values


def by_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Yield row numbers in batches of similar length, longest first, so that out-of-memory errors appear early."""
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def before_stop(ids: list[int], stops: Sequence[int]) -> list[int]:
    """Return the tokens before the first stop token: rows of a batch that end early are padded after it."""
    stop = next((i for i, token in enumerate(ids) if token in stops), len(ids))
    return ids[:stop]


def _on(model: PreTrainedModel, values: NDArray[np.int64]) -> torch.Tensor:
    return torch.from_numpy(values).to(model.device)
