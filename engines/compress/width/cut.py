"""Width pruning: removes the least important channels of every MLP, the same number in every layer.

The result is an ordinary model whose configuration has a smaller width; it is smaller on disk and faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from curate.engines.compress.moments import second_moments
from curate.engines.compress.rebuild import check_config
from curate.engines.compress.slices import refuse_pattern
from curate.engines.compress.width.channels import Channels, mlp_channels, write_width
from curate.engines.compress.width.compensation import check_tokens, compensated
from curate.engines.compress.width.importance import Order, by_importance, importance, needs_activations
from curate.schemas.errors import GateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transformers import PreTrainedModel

    from curate.engines.compress.calibration import Calibrated


def kept_channels(count: int, sparsity: float, multiple: int) -> int:
    """Return how many of `count` channels to keep: the nearest multiple of `multiple`, at least one of them.

    Raises
    ------
    UsageError
        If none would be removed.
    """
    kept = max(multiple, round((1 - sparsity) * count / multiple) * multiple)
    if kept >= count:
        raise UsageError(
            f"removing {sparsity:g} of {count:,} channels in multiples of {multiple} removes none; "
            "give a larger --sparsity or a smaller --multiple"
        )
    return kept


@torch.no_grad()
def narrow(
    model: PreTrainedModel,
    calibrated: Calibrated,
    *,
    sparsity: float,
    order: Order = "wanda",
    multiple: int = 8,
    compensate: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Remove channels of every MLP, in place, configuration included.

    Parameters
    ----------
    model : PreTrainedModel
        Keeps its dtype and device.
    sparsity : float
        Share of the channels to remove, in (0, 1).
    multiple : int
        The number of channels kept is a multiple of it.
    compensate : bool
        Fit the weights out of the kept channels to the output of all channels.
    seed : int
        Of the order ``random``.

    Returns
    -------
    dict
        ``widths_before``, ``widths_after``, ``order``, ``compensated``, and per layer ``kept_energy``, the kept share
        of the squared importance.

    Raises
    ------
    InputError
        If the MLPs have an unknown layout or the configuration cannot describe narrower ones.
    GateError
        If the model has an N:M pattern, or there are too few calibration tokens.
    """
    channels = mlp_channels(model)
    refuse_pattern(model, "channels")
    before = channels[0].count
    kept = kept_channels(before, sparsity, multiple)
    if compensate:
        check_tokens(calibrated.tokens, kept)
    energy = []
    for mlp, scores, second in ranked_channels(model, channels, calibrated, order, compensate, seed):
        best = by_importance(scores)[:kept]
        energy.append(kept_energy(scores, best))
        # In ascending order, so that a channel keeps its neighbours.
        index = best.sort().values.to(mlp.out.matrix.device)
        weights = compensated(mlp.out.matrix, second, best.sort().values) if compensate and second is not None else None
        mlp.keep(index)
        if weights is not None:
            mlp.out.matrix.copy_(weights)
    write_width(model, before, kept)
    check_width_config(model)
    return {
        "widths_before": before,
        "widths_after": kept,
        "order": order,
        "compensated": compensate,
        "kept_energy": energy,
    }


def ranked_channels(
    model: PreTrainedModel,
    channels: Sequence[Channels],
    calibrated: Calibrated,
    order: Order,
    compensate: bool,
    seed: int,
) -> Iterator[tuple[Channels, torch.Tensor, torch.Tensor | None]]:
    """Yield for each layer its channels, their importance and, where one was measured, their second moment."""
    if order == "ridge" and calibrated.tokens <= channels[0].count:
        raise GateError(
            f"--order ridge needs more calibration tokens than the {channels[0].count:,} channels of a layer, not "
            f"{calibrated.tokens:,}; give more --calibration-rows, or --order wanda"
        )
    if not (needs_activations(order) or compensate):
        for mlp in channels:
            yield mlp, importance(order, mlp, None, seed), None
        return
    moments = second_moments(
        model, [mlp.out for mlp in channels], calibrated.rows, full=compensate or order == "ridge",
        device=calibrated.device, dtype=calibrated.dtype, progress=calibrated.progress,
    )  # fmt: skip
    for mlp, second in zip(channels, moments, strict=True):
        yield mlp, importance(order, mlp, second, seed), second


def kept_energy(scores: torch.Tensor, kept: torch.Tensor) -> float:
    """Return the kept share of the squared importance, in [0, 1]; 1 where all importances are zero."""
    total = float(scores.square().sum())
    # Sums in another order may differ in the last digit.
    return min(1.0, float(scores[kept].square().sum()) / total) if total else 1.0


def check_width_config(model: PreTrainedModel) -> None:
    """Raise InputError if the configuration does not build the narrower model."""
    cannot = f"the width of a {model.config.model_type!r} model cannot be changed: "
    check_config(
        model, cannot + "its configuration rejects the new one", cannot + "its configuration builds other tensors"
    )
