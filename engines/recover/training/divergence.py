"""When training must stop, and why: numbers that are none, a loss that runs away, a method that reaches nothing.

Knows nothing of rows and optimisers.
"""

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
"""Steps over which the loss is averaged to tell whether it diverges."""

DIVERGED = (2.0, 0.5)
"""A loss diverges when its mean over the last `WINDOW` steps is this many times that of the first, and this many nats
above it."""

FIRST_FACTOR = re.compile(r"\.(a|lora_A\.\w+\.weight)$")


def divergence(losses: Sequence[float]) -> float | None:
    """Return how far the loss is on its way to diverging, 1 where it does; None before there are two windows."""
    if len(losses) < 2 * WINDOW:
        return None
    first, last = sum(losses[:WINDOW]) / WINDOW, sum(losses[-WINDOW:]) / WINDOW
    limit = max(DIVERGED[0] * first, first + DIVERGED[1])
    return max(0.0, (last - first) / (limit - first))


def check_drift(losses: Sequence[float], checkpoints: Checkpoints | None) -> float | None:
    """Return `divergence`, below 1.

    Raises
    ------
    CurateError
        When the loss diverged.
    """
    drift = divergence(losses)
    if drift is not None and drift >= 1:
        first, last = sum(losses[:WINDOW]) / WINDOW, sum(losses[-WINDOW:]) / WINDOW
        raise CurateError(
            f"training diverged: at step {len(losses)} the loss of the last {WINDOW} steps is {last:.3g} nats a token "
            f"after {first:.3g} at the start; lower --learning-rate{_last_good(checkpoints)}"
        )
    return drift


def check_finite(value: float, norm: float, step: int, checkpoints: Checkpoints | None) -> None:
    """Raise CurateError where the loss or the gradient's norm of step `step`, counted from 0, is not a number."""
    if math.isfinite(value) and math.isfinite(norm):
        return
    what = f"the loss is {value}" if not math.isfinite(value) else f"the gradient's norm is {norm}"
    raise CurateError(
        f"training stopped: {what} at step {step + 1}; lower --learning-rate, or use --dtype float32"
        f"{_last_good(checkpoints)}"
    )


def _last_good(checkpoints: Checkpoints | None) -> str:
    found = None if checkpoints is None else checkpoints.latest()
    return "" if found is None else f"; the last good checkpoint is {found}"


def unreached(adaptation: Adaptation) -> list[str]:
    """Return the trained tensors that the first step gives no gradient: training them would have no effect.

    The first factor of a low-rank pair is left out: while the second is zero, its gradient is.

    Raises
    ------
    CurateError
        When no tensor gets any.
    """
    reached = {name for name, p in adaptation.trainable.items() if p.grad is not None and bool(p.grad.any())}
    if not reached:
        raise CurateError("no trained tensor gets a gradient from these rows; another --method may reach the loss")
    return sorted(name for name in adaptation.trainable.keys() - reached if not FIRST_FACTOR.search(name))
