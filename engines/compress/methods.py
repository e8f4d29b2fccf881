"""One table of the compression methods: each changes a model in place or returns another, and reports it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.engines.compress.experts.removal import remove_experts
from curate.engines.compress.heads.removal import remove_heads
from curate.engines.compress.layer_orders import LayerChoice, LayerOrder, choose_layers
from curate.engines.compress.layer_path import removed_by_path
from curate.engines.compress.layer_removal import block_influence, least_influential, remove_blocks
from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.compress.masks import parse_pattern
from curate.engines.compress.quantise import quantise
from curate.engines.compress.wanda import prune_wanda
from curate.engines.compress.width.cut import narrow
from curate.engines.compress.width.elastic import ELASTIC, sort_channels, truncate
from curate.engines.diagnose.layer_paths import LayerPaths
from curate.engines.models.projections import decoder_layers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformers import PreTrainedModel

    from curate.engines.compress.calibration import Calibrated
    from curate.engines.compress.request import CompressionRequest


@dataclass(frozen=True)
class Change:
    """What a method did to a model."""

    report: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """Text files to write beside the weights, by name."""
    model: PreTrainedModel | None = None
    """The model to write, where it is another than the one given."""


def _magnitude(model: PreTrainedModel, source: Path, calibrated: Calibrated, request: CompressionRequest) -> Change:
    pattern = parse_pattern(request.pattern) if request.pattern is not None else None
    prune_magnitude(model, sparsity=request.sparsity, pattern=pattern, scope=request.scope or "layer")
    return Change()


def _wanda(model: PreTrainedModel, source: Path, calibrated: Calibrated, request: CompressionRequest) -> Change:
    prune_wanda(
        model,
        calibrated.rows,
        sparsity=request.sparsity,
        pattern=parse_pattern(request.pattern) if request.pattern is not None else None,
        device=calibrated.device,
        dtype=calibrated.dtype,
        progress=calibrated.progress,
    )
    return Change()


def _blocks(model: PreTrainedModel, source: Path, calibrated: Calibrated, request: CompressionRequest) -> Change:
    n_layers, n_blocks = len(decoder_layers(model)[1]), request.n_blocks or 0
    if request.path is not None:
        removed = removed_by_path(request.path, n_layers)
        remove_blocks(model, removed)
        return Change({"layers_removed": removed, "by": "path"})
    # Called for its check alone: an impossible number of layers must fail before the long measurement.
    least_influential([0.0] * n_layers, n_blocks)
    if request.by != "influence":
        choice = _layer_choice(model, calibrated, request.by, n_blocks)
        remove_blocks(model, choice.removed)
        return Change({"layers_removed": choice.removed, "by": request.by, "layer_values": choice.values})
    influence = block_influence(
        model, calibrated.rows, device=calibrated.device, dtype=calibrated.dtype, progress=calibrated.progress
    )
    removed = least_influential(influence, n_blocks)
    remove_blocks(model, removed)
    return Change({"layers_removed": removed, "block_influence": influence})


def _layer_choice(model: PreTrainedModel, calibrated: Calibrated, by: LayerOrder, n_blocks: int) -> LayerChoice:
    """Choose layers by running paths through the whole model, in the calibration's device and number format."""
    working = model
    if (model.device.type, model.dtype) != (calibrated.device.type, calibrated.dtype):
        # A copy: weights converted to a shorter format and back would be rounded.
        working = copy.deepcopy(model).to(device=calibrated.device, dtype=calibrated.dtype)
    return choose_layers(by, LayerPaths(working, calibrated.rows), n_blocks, calibrated.progress)


def _width(model: PreTrainedModel, source: Path, calibrated: Calibrated, request: CompressionRequest) -> Change:
    assert request.sparsity is not None
    return Change(
        narrow(
            model,
            calibrated,
            sparsity=request.sparsity,
            order=request.order,
            multiple=request.multiple,
            compensate=request.compensate,
            seed=request.seed,
        )
    )


def _sort(model: PreTrainedModel, source: Path, calibrated: Calibrated, request: CompressionRequest) -> Change:
    report, elastic = sort_channels(model, calibrated, order=request.order, seed=request.seed)
    return Change(report, {ELASTIC: elastic})


def _truncate(model: PreTrainedModel, source: Path, calibrated: Calibrated, request: CompressionRequest) -> Change:
    assert request.sparsity is not None
    report, elastic = truncate(model, source, sparsity=request.sparsity, multiple=request.multiple)
    return Change(report, {ELASTIC: elastic})


def _experts(model: PreTrainedModel, source: Path, calibrated: Calibrated, request: CompressionRequest) -> Change:
    amount = request.n_experts or request.sparsity
    assert amount is not None
    return Change(remove_experts(model, calibrated, amount=amount, order=request.experts_by, seed=request.seed))


def _heads(model: PreTrainedModel, source: Path, calibrated: Calibrated, request: CompressionRequest) -> Change:
    return Change(remove_heads(model, calibrated, n_groups=request.n_groups or 0))


def _quantise(model: PreTrainedModel, source: Path, calibrated: Calibrated, request: CompressionRequest) -> Change:
    quantised, report = quantise(model, source)
    return Change(report, model=quantised)


METHODS: dict[str, Callable[[PreTrainedModel, Path, Calibrated, CompressionRequest], Change]] = {
    "magnitude": _magnitude,
    "wanda": _wanda,
    "blocks": _blocks,
    "width": _width,
    "sort": _sort,
    "truncate": _truncate,
    "experts": _experts,
    "heads": _heads,
    "quantise": _quantise,
}
"""Function of each method; it receives the model, its folder, the calibration and the request."""
