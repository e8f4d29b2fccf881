"""Measures of the decoder layers of a model folder. Does not access the warehouse or the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from curate.engines.diagnose.layer_metrics import angle, change, influence, loss_without
from curate.engines.diagnose.layer_paths import LayerPaths
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from curate.engines.diagnose.request import DiagnosisRequest
    from curate.schemas.corpus import Turn


def diagnose_layers(
    model: Path,
    conversations: Sequence[Sequence[Turn]],
    request: DiagnosisRequest,
    *,
    original: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, list[float]], int]:
    """Return measures of every decoder layer, and the number of tokens they are means over.

    Parameters
    ----------
    model : Path
        Model folder.
    conversations : sequence of sequences of Turn
        All their tokens count, prompts included.
    original : Path, optional
        The model before compression, with as many layers; adds ``error_from_original``.
    progress : callable, optional
        Called with (layers done, layers in all) while layers are left out.

    Returns
    -------
    metrics : dict of str to list of float
        ``influence``, ``change``, ``angle`` and, if asked for, ``loss_without`` and ``error_from_original``, one value
        per layer; larger = matters more, or is damaged more.
    tokens : int

    Raises
    ------
    InputError
        If a model or the rows cannot be used, or the models differ in layers or width.
    """
    rows = [row for row in request.encode(original or model, conversations) if row.shape[1] > 1]
    paths = LayerPaths(request.load(model), rows)
    metrics = {"influence": influence(paths), "change": change(paths), "angle": angle(paths)}
    if request.leave_one_out:
        metrics["loss_without"] = loss_without(paths, progress)
    if original is not None:
        states = paths.states
        del paths  # its model makes room for the original
        metrics["error_from_original"] = _errors(states, LayerPaths(request.load(original), rows).states)
    return metrics, sum(row.shape[1] for row in rows)


def errors_from_original(
    model: Path, original: Path, rows: Sequence[torch.Tensor], request: DiagnosisRequest
) -> list[float]:
    """Return how far the hidden states after each layer are from the original's, as ``error_from_original``.

    Parameters
    ----------
    rows : sequence of torch.Tensor
        Token ids, each (1, T) int64; only one of the models is in memory at a time.

    Raises
    ------
    InputError
        If a model or the rows cannot be used, or the models differ in layers or width.
    """
    states = LayerPaths(request.load(model), rows).states
    return _errors(states, LayerPaths(request.load(original), rows).states)


def _errors(states: list[list[torch.Tensor]], original: list[list[torch.Tensor]]) -> list[float]:
    """Return the mean relative distance of the hidden states after each layer from the original's."""
    if len(states) != len(original) or states[0][0].shape[-1] != original[0][0].shape[-1]:
        raise InputError(
            f"the original has {len(original) - 1} layers of width {original[0][0].shape[-1]}, the model "
            f"{len(states) - 1} of width {states[0][0].shape[-1]}, so their layers cannot be compared; "
            "leave out --original"
        )
    errors = []
    for ours, theirs in zip(states[1:], original[1:], strict=True):
        pairs = [(one.double(), other.double()) for one, other in zip(ours, theirs, strict=True)]
        distances = [((one - other).norm(dim=-1) / other.norm(dim=-1)).flatten() for one, other in pairs]
        errors.append(float(torch.cat(distances).mean()))
    return errors
