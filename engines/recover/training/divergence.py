"""Stopping rules of the training: non-finite values, a diverging loss, tensors that get no gradient."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from curate.schemas.errors import CurateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.engines.recover.methods.attach import Adaptation
    from curate.engines.recover.training.checkpoints import Checkpoints

WINDOW = 10
"""Steps over which the loss is averaged to detect divergence."""

DIVERGED_FACTOR, DIVERGED_NATS = 2.0, 0.5
"""A loss diverges when its mean over the last `WINDOW` steps exceeds that of the first by this factor and this many
nats. Both, since a small loss doubles by chance and a large one moves by half a nat."""

FIRST_FACTOR = re.compile(r"\.(a|lora_A\.\w+\.weight)$")


def divergence(losses: Sequence[float]) -> float | None:
    """Return how far the loss is on its way to diverging, ≥ 0, diverged from 1; None before there are two windows."""
    if len(losses) < 2 * WINDOW:
        return None
    first, last = _window_means(losses)
    limit = max(DIVERGED_FACTOR * first, first + DIVERGED_NATS)
    return max(0.0, (last - first) / (limit - first))


def check_divergence(losses: Sequence[float], checkpoints: Checkpoints | None) -> float | None:
    """Return `divergence`, below 1.

    Raises
    ------
    CurateError
        When the loss diverged.
    """
    value = divergence(losses)
    if value is not None and value >= 1:
        first, last = _window_means(losses)
        raise CurateError(
            f"training diverged: at step {len(losses)} the loss of the last {WINDOW} steps is {last:.3g} nats a token "
            f"after {first:.3g} at the start; lower --learning-rate{_last_checkpoint(checkpoints)}"
        )
    return value


def _window_means(losses: Sequence[float]) -> tuple[float, float]:
    return sum(losses[:WINDOW]) / WINDOW, sum(losses[-WINDOW:]) / WINDOW


def check_finite(loss: float, norm: float, step: int, checkpoints: Checkpoints | None) -> None:
    """Raise CurateError if the loss or the gradient norm of step `step`, counted from 0, is not finite."""
    if math.isfinite(loss) and math.isfinite(norm):
        return
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient norm is {norm}"
    raise CurateError(
        f"training stopped: {what} at step {step + 1}; lower --learning-rate, or use --dtype float32"
        f"{_last_checkpoint(checkpoints)}"
    )


def _last_checkpoint(checkpoints: Checkpoints | None) -> str:
    latest = None if checkpoints is None else checkpoints.latest()
    return "" if latest is None else f"; the last good checkpoint is {latest}"


def tensors_without_gradient(adaptation: Adaptation) -> list[str]:
    """Return the trained tensors that the first step gives no gradient: training them has no effect.

    The first factor of a low-rank pair is left out: as long as the second is zero, the first has a zero gradient.

    Raises
    ------
    CurateError
        When no tensor gets a gradient.
    """
    reached = {name for name, p in adaptation.trainable.items() if p.grad is not None and bool(p.grad.any())}
    if not reached:
        raise CurateError("no trained tensor gets a gradient from these rows; try another --method")
    return sorted(name for name in adaptation.trainable.keys() - reached if not FIRST_FACTOR.search(name))
