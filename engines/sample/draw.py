"""Draws answers in batches: the most likely one, or one at a temperature, by random numbers of its own.

A sample's random numbers depend on the seed, the row and the sample's number, not on the other samples of its batch.
Nothing is cut from the distribution: a model's own top_k, top_p and temperature are not used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.engines.evaluate.generation import before_stop, by_length
from curate.engines.evaluate.shared_prefix import keeps_keys
from curate.engines.sample.batch import SampleBatch
from curate.engines.sample.memory import BATCH_ROWS
from curate.engines.sample.pruning import survivors
from curate.schemas.artefacts import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from curate.engines.sample.batch import Drawing, Request, Trace
    from curate.engines.sample.pruning import Pruning


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
    """Whether the limit cut it off, or it was pruned."""
    state: NDArray[np.float32] | None
    """Final hidden state that its last token was drawn from, shape (width,): that of the token before. None unless
    asked for."""
    pruned: bool = False
    """Whether other samples of its row went on in its place."""


def uniforms_of(seed: int, example_id: str, number: int, count: int) -> NDArray[np.float64]:
    """Return the random numbers of one sample, shape (count,), in [0, 1)."""
    return np.random.default_rng(int(digest([seed, example_id, number]), 16)).random(count)


def draw_samples(
    model: PreTrainedModel, requests: Sequence[Request], how: Drawing, batch_size: int = BATCH_ROWS
) -> list[Sample]:
    """Return one sample for every request, in order; with pruning, the requests of a row are one wave of it."""
    samples: dict[int, Sample] = {}
    shares_prompts = keeps_keys(model)
    for rows in _batches(requests, batch_size, how):
        width = max(len(requests[row].prompt) for row in rows)
        limit = how.max_new_tokens if how.context is None else max(1, min(how.max_new_tokens, how.context - width))
        parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        batches = [SampleBatch(model, [requests[row] for row in part], how, shares_prompts) for part in parts]
        start, pruned = 0, set[int]()
        if how.pruning is not None and how.pruning.at < limit:
            start, pruned = how.pruning.at, _prune(batches, parts, requests, how.pruning)
        for part, batch in zip(parts, batches, strict=True):
            batch.draw(start, limit)
            for row, trace in zip(part, batch.traces, strict=True):
                samples[row] = _sample(trace, how.stops, row in pruned)
    return [samples[row] for row in range(len(requests))]


def _batches(requests: Sequence[Request], batch_size: int, how: Drawing) -> Iterator[list[int]]:
    """Yield places of requests of similar length, longest first; all of a row together if they are compared.

    A batch is larger than `batch_size` only where a row has more requests; it is then drawn in pieces.
    """
    if how.pruning is None:
        yield from by_length([len(one.prompt) for one in requests], batch_size)
        return
    by_row: dict[int, list[int]] = {}
    for place, one in enumerate(requests):
        by_row.setdefault(one.row, []).append(place)
    batch: list[int] = []
    for own in sorted(by_row.values(), key=lambda places: (-len(requests[places[0]].prompt), places[0])):
        if batch and len(batch) + len(own) > batch_size:
            yield batch
            batch = []
        batch = batch + own
    if batch:
        yield batch


def _prune(
    batches: Sequence[SampleBatch], parts: Sequence[Sequence[int]], requests: Sequence[Request], pruning: Pruning
) -> set[int]:
    """Draw all samples until they are compared, and take those out that do not go on; return their places."""
    for batch in batches:
        batch.draw(0, pruning.at, last=False)
    running = [(part[place], batch.traces[place]) for part, batch in zip(parts, batches, strict=True)
               for place in batch.running]  # fmt: skip
    running.sort(key=lambda one: one[0])
    staying = survivors([(requests[row].row, math.fsum(trace.logp)) for row, trace in running], pruning.keep)
    pruned = {row for position, (row, _) in enumerate(running) if position not in staying}
    for part, batch in zip(parts, batches, strict=True):
        batch.running = [place for place in batch.running if part[place] not in pruned]
    return pruned


def _sample(trace: Trace, stops: Sequence[int], pruned: bool) -> Sample:
    kept = before_stop(trace.tokens, stops)
    logp, entropy = float(np.mean(trace.logp)), float(np.mean(trace.entropy))
    cut = len(kept) == len(trace.tokens)
    return Sample(kept, len(trace.tokens), logp, entropy, cut, trace.state, pruned)
