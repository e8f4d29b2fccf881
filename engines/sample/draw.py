"""Draws answers in batches: the most likely one, or one at a temperature, by random numbers of its own.

A sample's random numbers depend on the seed, the row and the sample's number, not on the other samples of its batch.
Nothing is cut from the distribution: a model's own top_k, top_p and temperature are not used.
"""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, LogitsProcessorList

from curate.engines.evaluate.generation import before_stop, by_length, padded_left
from curate.engines.evaluate.shared_prefix import keeps_keys
from curate.engines.sample.memory import BATCH_ROWS
from curate.schemas.artefacts import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Request:
    """One sample to draw."""

    prompt: NDArray[np.int64]
    """Token ids, shape (n_prompt,), at least one."""
    uniforms: NDArray[np.float64] | None
    """A number in [0, 1) for each token of the longest answer; None for the most likely answer."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One drawn sample as token ids."""

    ids: list[int]
    """Without the token that ended it."""
    n_tokens: int
    """Tokens drawn, that one included."""
    mean_logp: float
    """Mean of log p of all tokens drawn, at temperature 1, nats."""
    mean_entropy: float
    """Mean of the entropy of the predictions of these tokens, at temperature 1, nats."""
    stopped_early: bool
    """Whether the limit cut it off."""
    state: NDArray[np.float32] | None
    """Final hidden state that its last token was drawn from, shape (width,): that of the token before. None unless
    asked for."""


def uniforms_of(seed: int, example_id: str, number: int, count: int) -> NDArray[np.float64]:
    """Return the random numbers of one sample, shape (count,), in [0, 1)."""
    return np.random.default_rng(int(digest([seed, example_id, number]), 16)).random(count)


def draw_samples(
    model: PreTrainedModel,
    requests: Sequence[Request],
    stops: Sequence[int],
    max_new_tokens: int,
    *,
    temperature: float,
    context: int | None = None,
    batch_size: int = BATCH_ROWS,
    with_states: bool = False,
) -> list[Sample]:
    """Return one sample for every request, in order.

    Parameters
    ----------
    requests : sequence of Request
    stops : sequence of int
        Tokens that end an answer.
    max_new_tokens : int
        Longest answer in tokens, the end token included; fewer where a prompt leaves less room in `context`.
    temperature : float
        Of the requests with random numbers, > 0.
    with_states : bool
        Whether to keep hidden states.
    """
    samples: dict[int, Sample] = {}
    shares_prompts = keeps_keys(model)
    for rows in by_length([len(one.prompt) for one in requests], batch_size):
        chosen = [requests[row] for row in rows]
        width = max(len(one.prompt) for one in chosen)
        limit = max_new_tokens if context is None else max(1, min(max_new_tokens, context - width))
        chooser = _Chooser([one.uniforms for one in chosen], temperature)
        with _kept_states(model, with_states) as states:
            new = _generate(model, [one.prompt for one in chosen], stops, limit, chooser, shares_prompts)
        figures = torch.stack([torch.stack(chooser.logp, dim=1), torch.stack(chooser.entropy, dim=1)], dim=1).numpy()
        for place, row in enumerate(rows):
            samples[row] = _sample(new[place], figures[place], stops, [step[place] for step in states])
    return [samples[row] for row in range(len(requests))]


def _generate(
    model: PreTrainedModel,
    prompts: Sequence[NDArray[np.int64]],
    stops: Sequence[int],
    limit: int,
    chooser: _Chooser,
    shares_prompts: bool,
) -> list[list[int]]:
    """Return the tokens drawn for each prompt, padded with a stop token behind the end."""
    pad = stops[0] if stops else 0
    # Without sampling by `generate` no default of the model cuts the distribution; `_Chooser` draws.
    generation = GenerationConfig(
        max_new_tokens=limit, do_sample=False, eos_token_id=list(stops) or None, pad_token_id=pad
    )
    with torch.inference_mode():
        batch = padded_left(model, prompts, pad)
        cache = _shared_prompts(model, batch) if shares_prompts else {}
        produced = model.generate(
            **batch, **cache, generation_config=generation, logits_processor=LogitsProcessorList([chooser])
        )
    tokens: list[list[int]] = produced[:, batch["input_ids"].shape[1] :].tolist()
    return tokens


def _shared_prompts(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> dict[str, DynamicCache]:
    """Return the keys and values of all tokens of the prompts but the last, computed once for equal prompts.

    Empty where all prompts differ: then `generate` does as well.
    """
    ids, mask = batch["input_ids"], batch["attention_mask"]
    distinct, which = torch.unique(torch.cat([mask, ids], dim=1), dim=0, return_inverse=True)
    if len(distinct) == len(ids) or ids.shape[1] == 1:
        return {}
    mask, ids = distinct.chunk(2, dim=1)
    # Positions count from the first token that is no padding, as in `generate`.
    positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
    known = inspect.signature(model.base_model.forward).parameters
    own = {"position_ids": positions[:, :-1]} if "position_ids" in known else {}
    cache = DynamicCache(config=model.config)
    model.base_model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1], past_key_values=cache, use_cache=True, **own)
    cache.batch_select_indices(which)
    return {"past_key_values": cache}


@contextmanager
def _kept_states(model: PreTrainedModel, wanted: bool) -> Iterator[list[NDArray[np.float32]]]:
    """Yield a list that gets, for each token drawn, the states that the output head reads, shape (rows, width)."""
    steps: list[NDArray[np.float32]] = []
    if not wanted:
        yield steps
        return

    def keep(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        steps.append(inputs[0][:, -1].float().cpu().numpy())

    handle = model.get_output_embeddings().register_forward_pre_hook(keep)
    try:
        yield steps
    finally:
        handle.remove()


def _sample(
    ids: list[int], figures: NDArray[np.float64], stops: Sequence[int], states: list[NDArray[np.float32]]
) -> Sample:
    kept = before_stop(ids, stops)
    ended = len(kept) < len(ids)
    n_tokens = len(kept) + ended
    logp, entropy = figures[:, :n_tokens].mean(axis=1).tolist()
    return Sample(kept, n_tokens, logp, entropy, not ended, states[n_tokens - 1] if states else None)


class _Chooser(LogitsProcessor):  # type: ignore[misc]
    """Chooses the next token of every row, leaves no other possible, and keeps its log p and the entropy."""

    def __init__(self, uniforms: Sequence[NDArray[np.float64] | None], temperature: float) -> None:
        self._uniforms, self._temperature = uniforms, temperature
        self.logp: list[torch.Tensor] = []
        self.entropy: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        step = len(self.logp)
        logits = scores.double()
        token = logits.argmax(dim=-1)
        drawn = [row for row, numbers in enumerate(self._uniforms) if numbers is not None]
        if drawn:
            uniforms = torch.tensor([numbers[step] for numbers in self._uniforms if numbers is not None])
            token[drawn] = _inverse(logits[drawn] / self._temperature, uniforms.to(logits))
        log_p = torch.log_softmax(logits, dim=-1)
        self.logp.append(log_p.gather(1, token[:, None])[:, 0].cpu())
        # xlogy: a token of probability 0 adds nothing, where 0 · log 0 would be NaN.
        p = log_p.exp()
        self.entropy.append(-torch.xlogy(p, p).sum(dim=-1).cpu())
        return torch.full_like(scores, -torch.inf).scatter_(1, token[:, None], 0.0)


def _inverse(logits: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Return the token at which the cumulative distribution of each row passes its random number."""
    # In float64, so that a device that sums in another order all but never finds another token.
    cumulative = torch.softmax(logits, dim=-1).cumsum(dim=-1)
    targets = (uniforms * cumulative[:, -1])[:, None]
    return torch.searchsorted(cumulative, targets, right=True)[:, 0].clamp_(max=logits.shape[1] - 1)
