"""What each decoder layer contributes, by several measures; larger = matters more.

With h_l the hidden state that enters layer l and h_{l+1} the one that leaves it, means over all tokens:
``influence`` 1 − cos(h_l, h_{l+1}) (ShortGPT, arXiv 2403.03853); ``change`` ‖h_{l+1} − h_l‖ / ‖h_l‖;
``angle`` arccos(cos(h_l, h_{l+n})) / π (arXiv 2403.17887) of n consecutive layers; ``loss_without`` the rise of the
mean negative log-likelihood when layer l is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.engines.diagnose.layer_paths import LayerPaths


def influence(paths: LayerPaths) -> list[float]:
    """Return 1 − mean cosine of each layer's input and output, in [0, 2]."""
    return [1.0 - value for value in _means(paths, _cosine)]


def change(paths: LayerPaths) -> list[float]:
    """Return the mean relative change of the hidden state in each layer, ≥ 0; also sees changes of its length."""
    return _means(paths, lambda before, after: (after - before).norm(dim=-1) / before.norm(dim=-1))


def angle(paths: LayerPaths, n_layers: int = 1) -> list[float]:
    """Return the mean angle, as a share of π in [0, 1], that layers l … l + n − 1 turn the hidden state by.

    Returns
    -------
    list of float
        One value for each first layer l, so `n_layers` − 1 fewer than there are layers.
    """
    return _means(paths, lambda before, after: _cosine(before, after).clamp(-1, 1).arccos() / torch.pi, n_layers)


def loss_without(paths: LayerPaths, progress: Callable[[int, int], None] | None = None) -> list[float]:
    """Return the rise of the loss in nats per token without each layer; about L/2 forward passes for L layers."""
    whole, rises = paths.loss(), []
    for index in range(paths.n_layers):
        rises.append(paths.loss({index}) - whole)
        if progress is not None:
            progress(index + 1, paths.n_layers)
    return rises


def _cosine(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    return nn.functional.cosine_similarity(before, after, dim=-1)


def _means(
    paths: LayerPaths, measure: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], n_layers: int = 1
) -> list[float]:
    """Return the mean of `measure` over all tokens, for each first layer."""
    means = []
    for start in range(paths.n_layers - n_layers + 1):
        # In float64: 1 − cos of nearly parallel vectors would lose most of its digits in float32.
        pairs = zip(paths.states[start], paths.states[start + n_layers], strict=True)
        values = [measure(before.double(), after.double()).flatten() for before, after in pairs]
        means.append(float(torch.cat(values).mean()))
    return means
