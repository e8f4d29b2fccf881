"""Second moments of MLP activations over the calibration rows, layer by layer, from the unchanged model."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.models.layerwise import record_layer_inputs, working_copy
from curate.engines.models.projections import decoder_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from transformers import PreTrainedModel

    from curate.engines.compress.width.channels import Channels


@torch.no_grad()
def second_moments(
    model: PreTrainedModel,
    channels: Sequence[Channels],
    rows: Sequence[torch.Tensor],
    *,
    full: bool,
    device: torch.device,
    dtype: torch.dtype,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[torch.Tensor]:
    """Yield Σ_t a_t a_tᵀ of each layer's MLP activations a_t, in layer order, float64 on `device`.

    A layer may be changed once its matrix was yielded: every layer runs as it was, on outputs of unchanged layers, so
    that an order of channels does not depend on how many are removed.

    Parameters
    ----------
    full : bool
        The whole matrix, shape (channels, channels), or else its diagonal, shape (channels,).
    rows : sequence of torch.Tensor
        Calibration conversations as token ids, each (1, T) int64.
    device, dtype
        Where and in which number format the layers run.
    progress : callable, optional
        Called with (layers done, layers in all).
    """
    path, layers = decoder_layers(model)
    inputs = record_layer_inputs(model, rows)
    for index, (layer, mlp) in enumerate(zip(layers, channels, strict=True)):
        copied = working_copy(layer, device, dtype)
        out = copied.get_submodule(mlp.out.name.removeprefix(f"{path}.{index}."))
        with _accumulated(out, mlp.count, full, device) as total:
            inputs.hidden = [after.cpu() for _, after in inputs.run_layer(copied, index, device, dtype)]
        if progress is not None:
            progress(index + 1, len(layers))
        yield total


@contextmanager
def _accumulated(out: torch.nn.Module, count: int, full: bool, device: torch.device) -> Iterator[torch.Tensor]:
    """Yield a tensor to which the second moments of the inputs of `out` are added while the context is open."""
    total = torch.zeros((count, count) if full else (count,), dtype=torch.float64, device=device)

    def add(_: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        activations = inputs[0].flatten(0, -2).float()
        # Products of one row in float32, sums over rows in float64: thousands of tokens would stop growing in float32.
        total.add_(activations.T @ activations if full else activations.square().sum(0, dtype=torch.float64))

    hook = out.register_forward_pre_hook(add)
    try:
        yield total
    finally:
        hook.remove()
