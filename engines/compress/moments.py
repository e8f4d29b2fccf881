"""Second moments of the inputs of one projection of every layer over the calibration rows, from the unchanged model."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.models.layerwise import record_layer_inputs, working_copy
from curate.engines.models.projections import decoder_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from transformers import PreTrainedModel

    from curate.engines.models.projections import Projection


@torch.no_grad()
def second_moments(
    model: PreTrainedModel,
    projections: Sequence[Projection],
    rows: Sequence[torch.Tensor],
    *,
    full: bool,
    device: torch.device,
    dtype: torch.dtype,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[torch.Tensor]:
    """Yield Σ_t a_t a_tᵀ of the inputs a_t of each projection, in layer order, float64 on `device`.

    A layer may be changed once its matrix was yielded: every layer runs as it was, on outputs of unchanged layers, so
    that an order of inputs does not depend on how many are removed.

    Parameters
    ----------
    projections : sequence of Projection
        One of every decoder layer, in layer order.
    full : bool
        The whole matrix, shape (inputs, inputs), or else its diagonal, shape (inputs,).
    rows : sequence of torch.Tensor
        Calibration conversations as token ids, each (1, T) int64.
    device, dtype
        Where and in which number format the layers run.
    progress : callable, optional
        Called with (layers done, layers in all).
    """
    path, layers = decoder_layers(model)
    inputs = record_layer_inputs(model, rows)
    for index, (layer, projection) in enumerate(zip(layers, projections, strict=True)):
        copied = working_copy(layer, device, dtype)
        module = copied.get_submodule(projection.name.removeprefix(f"{path}.{index}."))
        with _accumulated(module, projection.matrix.shape[1], full, device) as total:
            inputs.hidden = [after.cpu() for _, after in inputs.run_layer(copied, index, device, dtype)]
        if progress is not None:
            progress(index + 1, len(layers))
        yield total


@contextmanager
def _accumulated(module: torch.nn.Module, count: int, full: bool, device: torch.device) -> Iterator[torch.Tensor]:
    """Yield a tensor to which the second moments of the inputs of `module` are added while the context is open."""
    total = torch.zeros((count, count) if full else (count,), dtype=torch.float64, device=device)

    def add(_: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        activations = inputs[0].flatten(0, -2).float()
        # Products of one row in float32, sums over rows in float64: thousands of tokens would stop growing in float32.
        total.add_(activations.T @ activations if full else activations.square().sum(0, dtype=torch.float64))

    hook = module.register_forward_pre_hook(add)
    try:
        yield total
    finally:
        hook.remove()
