"""Compresses a model folder into a new model folder and returns a report.

Does not access the warehouse or the command line.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.engines.compress.calibration import Calibrated, Calibration, draw_calibration_rows
from curate.engines.compress.methods import METHODS
from curate.engines.models.checkpoints import resolve_model
from curate.engines.models.devices import resolve_device, resolve_dtype
from curate.engines.models.folder import open_model, refuse_existing, write_model
from curate.engines.models.loading import LanguageModel
from curate.engines.models.projections import decoder_layers, find_projections
from curate.engines.models.quantised import plain_weight
from curate.engines.models.tokenizers import load_tokenizer
from curate.engines.tokens.templates import Template
from curate.schemas.artefacts import digest
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from curate.engines.compress.request import CompressionRequest

LayerProgress = Callable[[int, int], None]

RECORD = "compression.json"
"""File of a compressed model that says how it was made: the settings, the report without its seconds, and digests of
the source and of the calibration tokens."""


def compress(
    model: str | Path,
    out: str | Path,
    request: CompressionRequest,
    *,
    calibration: Calibration | None = None,
    trust_remote_code: bool = False,
    progress: LayerProgress | None = None,
    source_digest: str | None = None,
) -> dict[str, Any]:
    """Write a compressed copy of the model folder `model` to the new folder `out`.

    Parameters
    ----------
    model : str or Path
        A Hugging Face folder, or a hub name (the network is touched for that only).
    out : str or Path
        Must not exist, or be an empty folder. It appears whole or not at all; equal inputs give equal bytes. Its
        `RECORD` holds the settings and the report.
    request : CompressionRequest
        Method, amount and calibration settings.
    calibration : sequence of RecordBatch, or of turn sequences, optional
        The conversations to calibrate on, where the method needs any; batches carry a ``messages`` column.
    trust_remote_code : bool
        Run code that comes with the model.
    progress : callable, optional
        Called with (layers done, layers in all) during calibration.
    source_digest : str, optional
        Digest of the source's files, for the record.

    Returns
    -------
    dict, JSON-able
        ``method``; ``sparsity``, share of zeros in the decoder's projections; ``sparsity_before``, the same of the
        source; ``projections``, one entry each with ``name``, ``layer``, ``weights``, ``zeros``, ``sparsity``;
        ``parameters_before`` and ``parameters_after``; ``nonzero_before`` and ``nonzero_after``;
        ``layers_before``, ``layers_after``, ``layers_removed`` (indices in the source) and ``block_influence``;
        for width, sort and truncate ``widths_before``, ``widths_after``, ``order``, ``kept_energy`` of each layer and,
        for width, ``compensated``; for experts, heads and quantise what `METHODS` reports;
        ``calibration_rows`` and ``calibration_tokens``; ``dtype`` of the weights written; ``seconds``.

    Raises
    ------
    UsageError
        When `out` is not free, the calibration is missing, or there are not enough layers.
    InputError
        When the model or the calibration cannot be used.
    GateError
        When the width of an N:M sparse model would change, or there are too few calibration tokens for the method.
    WarehouseError
        When `out` cannot be written.
    """
    start = time.perf_counter()
    if request.needs_calibration and calibration is None:
        raise UsageError(f"method {request.method!r} needs calibration rows; give a corpus, or use another method")
    target = Path(out)
    refuse_existing(target)
    source = resolve_model(str(model))
    network = open_model(source, trust_remote_code)
    before = _statistics(network)
    rows = []
    if calibration is not None and request.needs_calibration:
        tokenizer = load_tokenizer(source, trust_remote_code=trust_remote_code)
        rows = _encode_calibration(network, tokenizer, calibration, request)
    device = resolve_device(request.device)
    calibrated = Calibrated(rows, device, resolve_dtype(request.dtype, device) or network.dtype, progress)
    change = METHODS[request.method](network, source, calibrated, request)
    changed = change.model or network
    report = {
        "method": request.method,
        **_comparison(before, _statistics(changed)),
        **{"layers_removed": [], "block_influence": [], **change.report},
        "calibration_rows": len(rows),
        "calibration_tokens": calibrated.tokens,
        "dtype": str(network.dtype).removeprefix("torch."),
    }
    # Without times and names of folders: equal inputs give equal bytes.
    calibrated_on = digest([row.tolist() for row in rows]) if rows else None
    digests = {"model": source_digest, "calibration_tokens": calibrated_on}
    record = {"request": asdict(request), **report, "digests": digests}
    write_model(changed, source, target, {**change.files, RECORD: json.dumps(record, indent=2) + "\n"})
    return {**report, "seconds": time.perf_counter() - start}


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


def _statistics(model: PreTrainedModel) -> dict[str, Any]:
    """Return sizes and zeros of a model; embeddings, norms and the output head do not count for the sparsity."""
    projections: list[dict[str, Any]] = []
    for projection in find_projections(model):
        weights, zeros = projection.matrix.numel(), int((plain_weight(projection.matrix) == 0).sum())
        entry = {"name": projection.name, "layer": projection.layer, "weights": weights, "zeros": zeros}
        projections.append({**entry, "sparsity": zeros / weights})
    weights = sum(entry["weights"] for entry in projections)
    return {
        "sparsity": sum(entry["zeros"] for entry in projections) / weights if weights else 0.0,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "nonzero": sum(int(plain_weight(one).count_nonzero()) for one in model.parameters()),
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
