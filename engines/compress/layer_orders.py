"""Which decoder layers to remove: five orders.

``influence`` and ``change`` remove the layers with the lowest value, ``leave-one-out`` those whose removal alone raises
the loss least. These are measured on the whole model, and single effects do not add up. ``greedy`` measures the loss
again after each removal. ``contiguous`` removes the run of layers that turns the hidden state least.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from curate.engines.diagnose.layer_metrics import angle, change, loss_without

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from curate.engines.diagnose.layer_paths import LayerPaths

    Progress = Callable[[int, int], None]

LayerOrder = Literal["influence", "change", "leave-one-out", "greedy", "contiguous"]
LAYER_ORDERS: tuple[LayerOrder, ...] = get_args(LayerOrder)


@dataclass(frozen=True)
class LayerChoice:
    """The layers to remove, and what they were chosen by."""

    removed: list[int]
    """Ascending."""
    values: list[float] = field(default_factory=list)
    """The value of every layer, or of every first layer for ``contiguous``; for ``greedy`` the rise of the loss, in
    nats per token, after each removal."""


def choose_layers(order: LayerOrder, paths: LayerPaths, n_blocks: int, progress: Progress | None = None) -> LayerChoice:
    """Return the `n_blocks` layers to remove by an order other than ``influence``.

    Parameters
    ----------
    order : {"change", "leave-one-out", "greedy", "contiguous"}
    paths : LayerPaths
        The model on the calibration rows.
    n_blocks : int
        1 ≤ `n_blocks` < number of layers.
    progress : callable, optional
        Called with (steps done, steps in all).
    """
    if order == "contiguous":
        angles = angle(paths, n_blocks)
        start = min(range(len(angles)), key=lambda index: (angles[index], index))
        return LayerChoice(list(range(start, start + n_blocks)), angles)
    if order == "greedy":
        return _greedy(paths, n_blocks, progress)
    values = change(paths) if order == "change" else loss_without(paths, progress)
    return LayerChoice(lowest(values, n_blocks), values)


def lowest(values: Sequence[float], n: int) -> list[int]:
    """Return the indices of the `n` lowest values, ascending; ties go to the lower index."""
    return sorted(sorted(range(len(values)), key=lambda index: (values[index], index))[:n])


def _greedy(paths: LayerPaths, n_blocks: int, progress: Progress | None) -> LayerChoice:
    whole, removed, rises = paths.loss(), set[int](), []
    steps = sum(paths.n_layers - step for step in range(n_blocks))
    done = 0
    for _ in range(n_blocks):
        losses: dict[int, float] = {}
        for index in range(paths.n_layers):
            if index in removed:
                continue
            losses[index] = paths.loss(removed | {index})
            done += 1
            if progress is not None:
                progress(done, steps)
        best = min(losses, key=lambda index: (losses[index], index))
        removed.add(best)
        rises.append(losses[best] - whole)
    return LayerChoice(sorted(removed), rises)
