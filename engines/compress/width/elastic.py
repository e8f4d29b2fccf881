"""Sorted models: channels in order of importance, so that a narrower model is a slice of the weights.

`sort_channels` reorders the channels once, on calibration data; the model computes the same function. `truncate` then
keeps the first channels, for any width, without data. ``elastic.json`` beside the weights describes the order.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.compress.slices import refuse_pattern
from curate.engines.compress.width.channels import mlp_channels, write_width
from curate.engines.compress.width.cut import check_width_config, kept_channels, ranked_channels
from curate.engines.compress.width.importance import Order, by_importance
from curate.engines.models.json_files import read_object
from curate.schemas.artefacts import digest
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

    from curate.engines.compress.calibration import Calibrated

ELASTIC = "elastic.json"
"""File of a sorted model folder: order and importance of the channels of every layer."""

SHARES = tuple(round(1 - 0.05 * step, 2) for step in range(11))
"""Shares of the channels for which the kept energy is listed: 1.0 to 0.5."""


@torch.no_grad()
def sort_channels(
    model: PreTrainedModel, calibrated: Calibrated, *, order: Order = "wanda", seed: int = 0
) -> tuple[dict[str, Any], str]:
    """Sort the channels of every MLP from the most to the least important, in place.

    Returns
    -------
    report : dict
        ``widths_before``, ``widths_after``, ``order``, and per layer ``kept_energy`` at half the channels.
    elastic : str
        Content of ``elastic.json``.

    Raises
    ------
    InputError
        If the MLPs have an unknown layout.
    GateError
        If the model has an N:M pattern, or there are too few calibration tokens.
    """
    channels = mlp_channels(model)
    refuse_pattern(model, "channels")
    layers = []
    for mlp, scores, _ in ranked_channels(model, channels, calibrated, order, False, seed):
        ranking = by_importance(scores)
        mlp.keep(ranking.to(mlp.out.matrix.device))
        sorted_scores = scores[ranking]
        layers.append({"order_digest": digest(ranking.tolist()), "importance": sorted_scores.float().tolist()})
    width = channels[0].count
    report = {
        "widths_before": width,
        "widths_after": width,
        "order": order,
        "kept_energy": [_kept_energy(layer["importance"], width // 2) for layer in layers],
    }
    return report, _content(order, calibrated.tokens, layers)


@torch.no_grad()
def truncate(model: PreTrainedModel, source: Path, *, sparsity: float, multiple: int = 8) -> tuple[dict[str, Any], str]:
    """Keep the first channels of every MLP of a sorted model, in place, configuration included.

    Parameters
    ----------
    model : PreTrainedModel
        The model of the folder `source`.
    source : Path
        Folder with the ``elastic.json`` of `sort_channels`.

    Returns
    -------
    report, elastic
        As of `sort_channels`; ``kept_energy`` at the new width.

    Raises
    ------
    InputError
        If the folder has no ``elastic.json``, or it describes another model.
    """
    channels = mlp_channels(model)
    before = channels[0].count
    described = read_elastic(source, len(channels), before)
    kept = kept_channels(before, sparsity, multiple)
    for mlp in channels:
        mlp.keep(torch.arange(kept, device=mlp.out.matrix.device))
    write_width(model, before, kept)
    check_width_config(model)
    importances = [layer["importance"] for layer in described["layers"]]
    report = {
        "widths_before": before,
        "widths_after": kept,
        "order": described["order"],
        "kept_energy": [_kept_energy(scores, kept) for scores in importances],
    }
    layers = [{**layer, "importance": layer["importance"][:kept]} for layer in described["layers"]]
    return report, _content(described["order"], described["calibration_tokens"], layers)


def _kept_energy(importance: Sequence[float], kept: int) -> float:
    """Return the share of the squared importance in the first `kept` channels, in [0, 1]."""
    squares = torch.tensor(importance, dtype=torch.float64).square()
    total = float(squares.sum())
    return float(squares[:kept].sum()) / total if total else 1.0


def _content(order: str, tokens: int, layers: list[dict[str, Any]]) -> str:
    described = [
        {
            **layer,
            "kept_energy": {
                str(share): _kept_energy(layer["importance"], round(share * len(layer["importance"])))
                for share in SHARES
            },
        }
        for layer in layers
    ]
    return json.dumps({"order": order, "calibration_tokens": tokens, "layers": described}) + "\n"


def read_elastic(source: Path, n_layers: int, width: int) -> dict[str, Any]:
    """Return the content of ``elastic.json`` of a sorted model of `n_layers` layers of `width` channels.

    Raises
    ------
    InputError
        If the folder has none, or it describes another model.
    """
    if not (source / ELASTIC).is_file():
        raise InputError(
            f"model folder {str(source)!r} has no {ELASTIC}, so its channels are not sorted; "
            "make a sorted one with `curate compress --method sort`"
        )
    described = read_object(source / ELASTIC)
    widths = {len(layer["importance"]) for layer in described.get("layers", []) if isinstance(layer, dict)}
    if len(described.get("layers", [])) != n_layers or widths != {width}:
        raise InputError(
            f"{str(source / ELASTIC)!r} describes another model than the one beside it, which has {n_layers} layers of "
            f"{width:,} channels; sort this model again with `curate compress --method sort`"
        )
    return described
