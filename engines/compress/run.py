"""Makes a compressed model from a model folder: checks the request, compresses, writes, reports.

Knows nothing of the warehouse or of the command line.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.engines.compress.calibration import Calibration, calibration_rows
from curate.engines.compress.layer_removal import block_influence, least_influential, remove_blocks
from curate.engines.compress.magnitude import Scope, prune_magnitude
from curate.engines.compress.masks import parse_pattern
from curate.engines.compress.request import Method, Request
from curate.engines.compress.wanda import prune_wanda
from curate.engines.models.checkpoints import resolve_model
from curate.engines.models.devices import resolve_device, resolve_dtype
from curate.engines.models.folder import open_model, refuse_existing, write_model
from curate.engines.models.loading import LanguageModel
from curate.engines.models.projections import decoder_layers, find_projections
from curate.engines.models.tokenizers import load_tokenizer
from curate.engines.tokens.templates import Template, TemplateKind
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Progress = Callable[[int, int], None]


def compress(
    model: str | Path,
    out: str | Path,
    *,
    method: Method,
    sparsity: float | None = None,
    pattern: str | None = None,
    scope: Scope | None = None,
    n_blocks: int | None = None,
    calibration: Calibration | None = None,
    calibration_rows: int = 128,
    max_length: int = 512,
    template: TemplateKind = "auto",
    seed: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a compressed copy of the model folder `model` to the new folder `out`.

    Parameters
    ----------
    model : str or Path
        A Hugging Face folder, or a hub name (the network is touched for that only).
    out : str or Path
        Must not exist, or be an empty folder. It appears whole or not at all; equal inputs give equal bytes.
    method : {"magnitude", "wanda", "blocks"}
    sparsity : float, optional
        Share of the weights to remove, in (0, 1); for magnitude and wanda, unless `pattern` is given.
    pattern : str, optional
        ``"N:M"``: N of every M consecutive inputs of a row are kept; for magnitude and wanda.
    scope : {"layer", "global"}, optional
        Magnitude with a sparsity only: the same share of every projection (the default), or one ranking of all.
    n_blocks : int, optional
        Number of decoder layers to remove; for blocks.
    calibration : sequence of RecordBatch, or of turn sequences, optional
        What wanda and blocks look at; batches carry a ``messages`` column. Magnitude needs none.
    calibration_rows : int
        Conversations to calibrate on, drawn at random.
    max_length : int
        Longest calibration conversation in tokens, capped by the model's context.
    template : {"auto", "chat", "plain"}
        Layout of the calibration conversations.
    seed : int
        Decides which conversations are drawn.
    device, dtype : str
        Where and in which number format the calibration runs; the weights written keep the source's format.
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
    request = Request(
        method, sparsity, pattern, scope, n_blocks, calibration_rows, max_length, template, seed, device, dtype
    )
    if request.needs_calibration and calibration is None:
        raise UsageError(f"method {method!r} needs calibration rows; give a corpus, or use method 'magnitude'")
    target = Path(out)
    refuse_existing(target)
    source = resolve_model(str(model))
    network = open_model(source, trust_remote_code)
    before = _facts(network)
    rows = []
    if calibration is not None and request.needs_calibration:
        tokenizer = load_tokenizer(source, trust_remote_code=trust_remote_code)
        rows = _rows(network, tokenizer, calibration, request)
    details = _apply(network, rows, request, progress)
    write_model(network, source, target)
    after = _facts(network)
    return {
        "method": request.method,
        "sparsity": after["sparsity"],
        "sparsity_before": before["sparsity"],
        **{f"{key}_before": before[key] for key in ("parameters", "nonzero", "layers")},
        **{f"{key}_after": after[key] for key in ("parameters", "nonzero", "layers")},
        **details,
        "projections": after["projections"],
        "calibration_rows": len(rows),
        "calibration_tokens": sum(row.shape[1] for row in rows),
        "dtype": str(network.dtype).removeprefix("torch."),
        "seconds": time.perf_counter() - start,
    }


def _rows(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, calibration: Calibration, request: Request
) -> list[torch.Tensor]:
    context = LanguageModel(model, "").context
    length = min(request.max_length, context or request.max_length)
    template = Template(tokenizer, request.template, length)
    return calibration_rows(calibration, template, request.calibration_rows, request.seed)


def _apply(
    model: PreTrainedModel,
    rows: list[torch.Tensor],
    request: Request,
    progress: Progress | None,
) -> dict[str, Any]:
    """Compress `model` in place and return which layers went."""
    groups = parse_pattern(request.pattern) if request.pattern is not None else None
    device = resolve_device(request.device)
    dtype = resolve_dtype(request.dtype, device) or model.dtype
    if request.method == "magnitude":
        prune_magnitude(model, sparsity=request.sparsity, pattern=groups, scope=request.scope or "layer")
    elif request.method == "wanda":
        prune_wanda(
            model, rows, sparsity=request.sparsity, pattern=groups, device=device, dtype=dtype, progress=progress
        )
    else:
        n_blocks = request.n_blocks or 0
        least_influential([0.0] * len(decoder_layers(model)[1]), n_blocks)  # too many: say so before the long part
        influence = block_influence(model, rows, device=device, dtype=dtype, progress=progress)
        removed = least_influential(influence, n_blocks)
        remove_blocks(model, removed)
        return {"layers_removed": removed, "block_influence": influence}
    return {"layers_removed": [], "block_influence": []}


def _facts(model: PreTrainedModel) -> dict[str, Any]:
    entries: list[dict[str, Any]] = []
    for projection in find_projections(model):
        weights, zeros = projection.matrix.numel(), int((projection.matrix == 0).sum())
        entry = {"name": projection.name, "layer": projection.layer, "weights": weights, "zeros": zeros}
        entries.append({**entry, "sparsity": zeros / weights})
    weights = sum(entry["weights"] for entry in entries)
    return {
        "sparsity": sum(entry["zeros"] for entry in entries) / weights if weights else 0.0,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "nonzero": sum(int(parameter.count_nonzero()) for parameter in model.parameters()),
        "layers": len(decoder_layers(model)[1]),
        "projections": entries,
    }
