"""Wanda pruning: a weight's importance is its magnitude times the norm of its input (arXiv 2306.11695, Eq. 1).

S_ij = |W_ij| · ‖X_j‖₂ with X_j the j-th input feature over all calibration tokens; the lowest S of each output row
are removed (§3, "comparison group"). Layers are pruned in order, and layer l is calibrated on the outputs of the pruned
layers before it. Departs from the authors' code by calibrating on whole conversations of their own length instead of
2,048-token windows.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.compress.magnitude import check_width
from curate.engines.compress.masks import NMPattern, drop_per_group, drop_per_row
from curate.engines.models.layerwise import LayerInputs, record_layer_inputs, working_copy
from curate.engines.models.projections import Projection, decoder_layers, layer_projections, prunable_projections
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from transformers import PreTrainedModel


@torch.no_grad()
def prune_wanda(
    model: PreTrainedModel,
    rows: Sequence[torch.Tensor],
    *,
    sparsity: float | None = None,
    pattern: NMPattern | None = None,
    device: torch.device,
    dtype: torch.dtype,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Set the least important weights of every output row to zero, in place.

    Parameters
    ----------
    model : PreTrainedModel
        Changed in place; its dtype and device stay.
    rows : sequence of torch.Tensor
        Calibration conversations as token ids, each (1, T) int64.
    sparsity : float, optional
        Share of each output row to remove, in (0, 1): exactly ``round(sparsity * n)`` of its n inputs.
    pattern : NMPattern, optional
        Instead of `sparsity`: the N most important of every M consecutive inputs are kept.
    device, dtype
        Where and in which number format the calibration runs; the weights that are kept are not rounded.
    progress : callable, optional
        Called with (layers done, layers in all).

    Raises
    ------
    InputError
        When the model cannot be pruned, a row is not divisible by M, or the calibration gives non-finite numbers.
    """
    projections = prunable_projections(model)
    if pattern is not None:
        check_width(projections, pattern)
    path, layers = decoder_layers(model)
    inputs = record_layer_inputs(model, rows)
    for index, layer in enumerate(layers):
        copied = working_copy(layer, device, dtype)
        working = layer_projections(copied, f"{path}.{index}", index)
        # All norms of a layer are measured before any of its projections is pruned, as in the authors' code.
        norms = _input_norms(copied, working, inputs, device, dtype)
        targets = [projection for projection in projections if projection.layer == index]
        for norm, work, target in zip(norms, working, targets, strict=True):
            scores = work.matrix.abs().to(torch.float32) * norm
            share = round((sparsity or 0.0) * scores.shape[1])
            mask = drop_per_group(scores, pattern) if pattern else drop_per_row(scores, share)
            # The copy is pruned too: its outputs are the next layer's calibration inputs.
            for projection in (work, target):
                projection.matrix.masked_fill_(~mask.to(projection.matrix.device), 0.0)
        inputs.hidden = [after.cpu() for _, after in inputs.run_layer(copied, index, device, dtype)]
        if progress is not None:
            progress(index + 1, len(layers))


def _input_norms(
    layer: torch.nn.Module, working: Sequence[Projection], inputs: LayerInputs, device: torch.device, dtype: torch.dtype
) -> list[torch.Tensor]:
    """Return for each projection ‖X_j‖₂ of its inputs over all tokens, shape (inputs,), float32."""
    with _squared_inputs(working) as totals:
        for _ in inputs.run_layer(layer, working[0].layer, device, dtype):
            pass
    for projection, total in zip(working, totals, strict=True):
        if not bool(torch.isfinite(total).all()) or not bool(total.any()):
            raise InputError(
                f"calibration gives {projection.name} no usable input (non-finite, or zero throughout); "
                "try --dtype float32, or other calibration rows"
            )
    return [total.sqrt().to(torch.float32) for total in totals]


@contextmanager
def _squared_inputs(working: Sequence[Projection]) -> Iterator[list[torch.Tensor]]:
    """Yield one tensor per projection that accumulates its squared inputs while the context is open."""
    # In float64: a sum over many thousand tokens would stop growing in float32.
    totals = [torch.zeros(p.matrix.shape[1], dtype=torch.float64, device=p.matrix.device) for p in working]

    def adder(total: torch.Tensor) -> Callable[[torch.nn.Module, tuple[Any, ...]], None]:
        def add(_: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
            total.add_(inputs[0].flatten(0, -2).to(torch.float32).square().sum(0, dtype=torch.float64))

        return add

    hooks = [p.module.register_forward_pre_hook(adder(total)) for p, total in zip(working, totals, strict=True)]
    try:
        yield totals
    finally:
        for hook in hooks:
            hook.remove()
