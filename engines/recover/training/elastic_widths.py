"""Training a sorted model at several widths: every step keeps the first channels of each MLP, as many as it draws.

A step draws a width with a probability proportional to exp(−0.1 · rank), the narrowest having rank 0. Channels beyond
it are zeroed at the input of the projection out of the MLP, so that the masked model computes what the narrower one
computes, and the weights of the other channels get no gradient from the step.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from torch.nn import functional

from curate.engines.compress.width.channels import mlp_channels
from curate.engines.compress.width.elastic import read_elastic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from curate.engines.recover.prepare import LoadedSetup
    from curate.schemas.recovery import RecoveryRequest

MULTIPLE = 8
"""Channels kept are a multiple of it, as those of ``curate compress --method truncate`` are by default."""
DECAY = 0.1
_DRAWS = 0x57494454
"""Keeps the draws of widths apart from those of dropout, which follow from seed and step, too."""


class ElasticWidths:
    """The widths that a model is trained at.

    Parameters
    ----------
    outputs : sequence of str
        Names of the projections out of the MLPs.
    count : int
        Channels of each MLP.
    shares : sequence of float
        Shares of the channels, in (0, 1].
    seed : int
        Of the draws.
    """

    def __init__(self, outputs: Sequence[str], count: int, shares: Sequence[float], seed: int) -> None:
        self.outputs, self.count, self.seed = tuple(outputs), count, seed
        self.widths = {share: _kept(count, share) for share in sorted(shares)}
        self._kept: int | None = None

    def of_step(self, step: int) -> int:
        """Return the channels that step `step`, counted from 0, keeps: the same in every process and after a resume."""
        widths = list(self.widths.values())
        odds = np.exp(-DECAY * np.arange(len(widths)))
        rng = np.random.default_rng([self.seed, step, _DRAWS])
        return widths[int(rng.choice(len(widths), p=odds / odds.sum()))]

    @contextmanager
    def at(self, kept: int) -> Iterator[None]:
        """Let a hooked model keep `kept` channels within the block; outside of it, it keeps all."""
        self._kept = kept
        try:
            yield
        finally:
            self._kept = None

    @contextmanager
    def hooked(self, model: nn.Module) -> Iterator[None]:
        """Let `at` act on a model within the block.

        An adapter has to be attached before: it calls no hook of the layer that it replaces.
        """
        hooks = [model.get_submodule(name).register_forward_pre_hook(self._cut) for name in self.outputs]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _cut(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self._kept is None or self._kept == self.count:
            return None
        return (functional.pad(inputs[0][..., : self._kept], (0, self.count - self._kept)), *inputs[1:])


def elastic_widths(loaded: LoadedSetup, request: RecoveryRequest) -> ElasticWidths | None:
    """Return the widths that the request asks for, None for the whole width only.

    Raises
    ------
    InputError
        If the model is not sorted: its folder has no ``elastic.json``, or that of another model.
    """
    if not request.elastic:
        return None
    channels = mlp_channels(loaded.model)
    count = channels[0].count
    read_elastic(loaded.source, len(channels), count)
    return ElasticWidths([mlp.out.name for mlp in channels], count, request.elastic, request.seed)


def _kept(count: int, share: float) -> int:
    return count if share == 1 else min(count, max(MULTIPLE, round(share * count / MULTIPLE) * MULTIPLE))
