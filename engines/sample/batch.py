"""Draws the tokens of several samples at once; samples that leave the batch are no longer computed."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList

from curate.engines.evaluate.generation import before_stop, padded_left
from curate.engines.sample.choice import Chooser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from curate.engines.sample.pruning import Pruning


@dataclass(frozen=True, slots=True)
class Request:
    """One sample to draw."""

    prompt: NDArray[np.int64]
    """Token ids, shape (n_prompt,), at least one."""
    uniforms: NDArray[np.float64] | None
    """A number in [0, 1) for each token of the longest answer; None for the most likely answer."""
    row: int = 0
    """Row that it is a sample of, all with one prompt; only they are compared when some are pruned."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """How samples are drawn."""

    stops: Sequence[int]
    """Tokens that end an answer."""
    max_new_tokens: int
    """Longest answer in tokens, the end token included; fewer where a prompt leaves less room in `context`."""
    temperature: float
    """Of the requests with random numbers, > 0."""
    context: int | None = None
    """Most tokens of prompt and answer."""
    with_states: bool = False
    """Whether to keep hidden states."""
    pruning: Pruning | None = None
    """When partials stop, if ever."""


@dataclass(slots=True)
class Trace:
    """What was drawn of one sample so far, one entry per token, the token that ended it included."""

    tokens: list[int] = field(default_factory=list)
    logp: list[float] = field(default_factory=list)
    """At temperature 1, nats."""
    entropy: list[float] = field(default_factory=list)
    """Of the predictions, at temperature 1, nats."""
    state: NDArray[np.float32] | None = None
    """Final hidden state that the last token was drawn from, shape (width,)."""


class SampleBatch:
    """Samples that are drawn together."""

    def __init__(self, model: PreTrainedModel, requests: Sequence[Request], how: Drawing, keeps_keys: bool) -> None:
        self._model, self._requests, self._how, self._keeps_keys = model, requests, how, keeps_keys
        self._pad = how.stops[0] if how.stops else 0
        self.traces = [Trace() for _ in requests]
        self.running = list(range(len(requests)))
        """Places of the samples that are drawn on."""
        self._rows = list(self.running)
        """Places of the rows of the next two."""
        self._inputs = padded_left(model, [one.prompt for one in requests], self._pad)
        with torch.inference_mode():
            self._cache = _shared_prompts(model, self._inputs) if keeps_keys else None

    def draw(self, start: int, end: int, last: bool = True) -> None:
        """Draw the running samples, which have `start` tokens, until they end or have `end`.

        Parameters
        ----------
        last : bool
            Whether the batch is not drawn from again.
        """
        if not self.running:
            return
        self._leave()
        numbers = [self._requests[place].uniforms for place in self._rows]
        chooser = Chooser(numbers, self._how.temperature, start)
        with _kept_states(self._model, self._how.with_states) as states:
            produced = self._generate(end - start, chooser, last)
        width = self._inputs["input_ids"].shape[1]
        figures = torch.stack([torch.stack(chooser.logp, dim=1), torch.stack(chooser.entropy, dim=1)], dim=1).tolist()
        for row, (place, ids) in enumerate(zip(self._rows, produced[:, width:].tolist(), strict=True)):
            kept = len(before_stop(ids, self._how.stops))
            count = min(kept + 1, len(ids))
            trace = self.traces[place]
            trace.tokens += ids[:count]
            trace.logp += figures[row][0][:count]
            trace.entropy += figures[row][1][:count]
            trace.state = states[count - 1][row] if states else None
            if kept < len(ids):
                self.running.remove(place)
        if not last:
            mask = torch.ones_like(produced)
            mask[:, :width] = self._inputs["attention_mask"]
            self._inputs = {"input_ids": produced, "attention_mask": mask}

    def _leave(self) -> None:
        """Take rows out of the inputs and the cache that are not drawn on."""
        if self.running == self._rows:
            return
        chosen = torch.tensor([self._rows.index(place) for place in self.running], device=self._model.device)
        self._inputs = {name: values[chosen] for name, values in self._inputs.items()}
        if self._cache is not None:
            self._cache.batch_select_indices(chosen)
        self._rows = list(self.running)

    def _generate(self, count: int, chooser: Chooser, last: bool) -> torch.Tensor:
        """Return inputs and new tokens, padded with a stop token behind the end; keep the cache if it is needed."""
        # Without sampling by `generate` no default of the model cuts the distribution; `Chooser` draws.
        generation = GenerationConfig(
            max_new_tokens=count,
            do_sample=False,
            eos_token_id=list(self._how.stops) or None,
            pad_token_id=self._pad,
            return_dict_in_generate=not last,
        )
        cache = {} if self._cache is None else {"past_key_values": self._cache}
        with torch.inference_mode():
            produced: Any = self._model.generate(
                **self._inputs, **cache, generation_config=generation, logits_processor=LogitsProcessorList([chooser])
            )
        # Other kinds of cache cannot lose rows: those that stay are read again.
        self._cache = None if last or not self._keeps_keys else produced.past_key_values
        tokens: torch.Tensor = produced if last else produced.sequences
        return tokens


def _shared_prompts(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> DynamicCache | None:
    """Return the keys and values of all tokens of the prompts but the last, computed once for equal prompts.

    None where all prompts differ: then `generate` does as well.
    """
    ids, mask = batch["input_ids"], batch["attention_mask"]
    distinct, which = torch.unique(torch.cat([mask, ids], dim=1), dim=0, return_inverse=True)
    if len(distinct) == len(ids) or ids.shape[1] == 1:
        return None
    mask, ids = distinct.chunk(2, dim=1)
    # Positions count from the first token that is no padding, as in `generate`.
    positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
    known = inspect.signature(model.base_model.forward).parameters
    own = {"position_ids": positions[:, :-1]} if "position_ids" in known else {}
    cache = DynamicCache(config=model.config)
    model.base_model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1], past_key_values=cache, use_cache=True, **own)
    cache.batch_select_indices(which)
    return cache


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
