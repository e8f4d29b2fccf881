"""Compresses a model folder into a new model folder and returns a report.

Does not access the warehouse or the command line.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.engines.compress.calibration import Calibration, draw_calibration_rows
from curate.engines.compress.layer_removal import block_influence, least_influential, remove_blocks
from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.compress.masks import parse_pattern
from curate.engines.compress.wanda import prune_wanda
from curate.engines.models.checkpoints import resolve_model
from curate.engines.models.devices import resolve_device, resolve_dtype
from curate.engines.models.folder import open_model, refuse_existing, write_model
from curate.engines.models.loading import LanguageModel
from curate.engines.models.projections import decoder_layers, find_projections
from curate.engines.models.tokenizers import load_tokenizer
from curate.engines.tokens.templates import Template
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from curate.engines.compress.request import CompressionRequest

LayerProgress = Callable[[int, int], None]


def compress(
    model: str | Path,
    out: str | Path,
    request: CompressionRequest,
    *,
    calibration: Calibration | None = None,
    trust_remote_code: bool = False,
    progress: LayerProgress | None = None,
) -> dict[str, Any]:
    """Write a compressed copy of the model folder `model` to the new folder `out`.

    Parameters
    ----------
    model : str or Path
        A Hugging Face folder, or a hub name (the network is touched for that only).
    out : str or Path
        Must not exist, or be an empty folder. It appears whole or not at all; equal inputs give equal bytes.
    request : CompressionRequest
        Method, amount and calibration settings.
    calibration : sequence of RecordBatch, or of turn sequences, optional
        The conversations that wanda and blocks calibrate on; batches carry a ``messages`` column. Magnitude needs none.
    trust_remote_code : bool
        Run code that comes with the model.
    progress : callable, optional
        Called with (layers done, layers in all) during calibration.

    Returns
    -------
    dict, JSON-able
        ``method``; ``sparsity``, share of zeros in the decoder's projections; ``sparsity_before``, the same of the
        source; ``projections``, one entry each with ``name``, ``layer``, ``weights``, ``zeros``, ``sparsity``;
        ``parameters_before`` and ``parameters_after``; ``nonzero_before`` and ``nonzero_after``;
        ``layers_before``, ``layers_after``, ``layers_removed`` (indices in the source) and ``block_influence``;
        ``calibration_rows`` and ``calibration_tokens``; ``dtype`` of the weights written; ``seconds``.

    Raises
    ------
    UsageError
        When `out` is not free, the calibration is missing, or there are not enough layers.
    InputError
        When the model or the calibration cannot be used.
    WarehouseError
        When `out` cannot be written.
    """
    start = time.perf_counter()
    if request.needs_calibration and calibration is None:
        raise UsageError(f"method {request.method!r} needs calibration rows; give a corpus, or use method 'magnitude'")
    target = Path(out)
    refuse_existing(target)
    source = resolve_model(str(model))
    network = open_model(source, trust_remote_code)
    before = _statistics(network)
    rows = []
    if calibration is not None and request.needs_calibration:
        tokenizer = load_tokenizer(source, trust_remote_code=trust_remote_code)
        rows = _encode_calibration(network, tokenizer, calibration, request)
    removal = _apply(network, rows, request, progress)
    write_model(network, source, target)
    return {
        "method": request.method,
        **_comparison(before, _statistics(network)),
        **removal,
        "calibration_rows": len(rows),
        "calibration_tokens": sum(row.shape[1] for row in rows),
        "dtype": str(network.dtype).removeprefix("torch."),
        "seconds": time.perf_counter() - start,
    }


def _encode_calibration(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    calibration: Calibration,
    request: CompressionRequest,
) -> list[torch.Tensor]:
    context = LanguageModel(model, "").context
    length = min(request.max_length, context or request.max_length)
    template = Template(tokenizer, request.template, length)
    return draw_calibration_rows(calibration, template, request.calibration_rows, request.seed)


def _apply(
    model: PreTrainedModel,
    rows: list[torch.Tensor],
    request: CompressionRequest,
    progress: LayerProgress | None,
) -> dict[str, Any]:
    """Compress `model` in place; return the removed layers and their measured influence."""
    pattern = parse_pattern(request.pattern) if request.pattern is not None else None
    device = resolve_device(request.device)
    dtype = resolve_dtype(request.dtype, device) or model.dtype
    if request.method == "magnitude":
        prune_magnitude(model, sparsity=request.sparsity, pattern=pattern, scope=request.scope or "layer")
    elif request.method == "wanda":
        prune_wanda(
            model, rows, sparsity=request.sparsity, pattern=pattern, device=device, dtype=dtype, progress=progress
        )
    else:
        n_blocks = request.n_blocks or 0
        # Called for its check alone: an impossible number of layers must fail before the long measurement.
        least_influential([0.0] * len(decoder_layers(model)[1]), n_blocks)
        influence = block_influence(model, rows, device=device, dtype=dtype, progress=progress)
        removed = least_influential(influence, n_blocks)
        remove_blocks(model, removed)
        return {"layers_removed": removed, "block_influence": influence}
    return {"layers_removed": [], "block_influence": []}


def _statistics(model: PreTrainedModel) -> dict[str, Any]:
    """Return sizes and zeros of a model; embeddings, norms and the output head do not count for the sparsity."""
    projections: list[dict[str, Any]] = []
    for projection in find_projections(model):
        weights, zeros = projection.matrix.numel(), int((projection.matrix == 0).sum())
        entry = {"name": projection.name, "layer": projection.layer, "weights": weights, "zeros": zeros}
        projections.append({**entry, "sparsity": zeros / weights})
    weights = sum(entry["weights"] for entry in projections)
    return {
        "sparsity": sum(entry["zeros"] for entry in projections) / weights if weights else 0.0,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "nonzero": sum(int(parameter.count_nonzero()) for parameter in model.parameters()),
        "layers": len(decoder_layers(model)[1]),
        "projections": projections,
    }


def _comparison(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    counts = ("parameters", "nonzero", "layers")
    return {
        "sparsity": after["sparsity"],
        "sparsity_before": before["sparsity"],
        **{f"{name}_before": before[name] for name in counts},
        **{f"{name}_after": after[name] for name in counts},
        "projections": after["projections"],
    }
