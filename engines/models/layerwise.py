"""Layer-by-layer execution: runs calibration rows through a model one decoder layer at a time.

The model stays on its device; only the current layer is copied to the working device, so that a model larger than that
device's memory can be calibrated. Rows run one by one without padding, so that every token counted is a real one.
Assumes, as decoder models do, that the other arguments of a layer (masks, positions) do not depend on earlier layers.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from curate.engines.models.projections import decoder_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from transformers import PreTrainedModel


@dataclass(slots=True)
class LayerInputs:
    """The inputs of the next decoder layer for every calibration row."""

    hidden: list[torch.Tensor]
    """Hidden states entering the next layer: one tensor (1, T, d) per row, on the CPU."""
    calls: list[list[tuple[tuple[Any, ...], dict[str, Any]]]]
    """For each layer and row, the other positional and keyword arguments that the model passes."""

    def run_layer(
        self, layer: nn.Module, index: int, device: torch.device, dtype: torch.dtype
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield input and output of `layer`, which has number `index`, for each row, on `device`."""
        for hidden, (args, kwargs) in zip(self.hidden, self.calls[index], strict=True):
            before = hidden.to(device, dtype)
            result = layer(before, *_to_device(args, device, dtype), **_to_device(kwargs, device, dtype))
            yield before, result[0] if isinstance(result, tuple) else result


def record_layer_inputs(model: PreTrainedModel, rows: Sequence[torch.Tensor]) -> LayerInputs:
    """Return the inputs of the first layer for each row of token ids, shape (1, T), int64.

    The model runs with its layers replaced by recorders, which costs little more than the embedding look-up.
    """
    _, layers = decoder_layers(model)
    hidden: list[torch.Tensor] = []
    # `base_model` leaves out the output head, whose logits would be the largest tensor of the run.
    with _recording(layers, hidden) as calls, torch.inference_mode():
        for row in rows:
            model.base_model(row.to(model.device), use_cache=False)
    return LayerInputs(hidden, calls)


def working_copy(layer: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Return a copy of `layer` on `device`."""
    return copy.deepcopy(layer).to(device, dtype)


@contextmanager
def _recording(layers: nn.ModuleList, hidden: list[torch.Tensor]) -> Iterator[list[list[Any]]]:
    """Make every layer record its arguments and return its input unchanged; the first also appends it to `hidden`."""
    calls: list[list[Any]] = [[] for _ in layers]
    returns_tuple = False

    def recorder(index: int, run: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            nonlocal returns_tuple
            states, *others = args or (kwargs.pop("hidden_states"),)
            # Whether layers return a tuple depends on the architecture; the first real call of the run shows it.
            if index == 0 and not hidden:
                returns_tuple = isinstance(run(states, *others, **kwargs), tuple)
            if index == 0:
                hidden.append(states.cpu())
            calls[index].append((tuple(others), kwargs))
            return (states,) if returns_tuple else states

        return forward

    for index, layer in enumerate(layers):
        layer.forward = recorder(index, layer.forward)
    try:
        yield calls
    finally:
        # Deleting the instance attribute uncovers the method of the class again.
        for layer in layers:
            del layer.forward


def _to_device(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device, dtype) if value.is_floating_point() else value.to(device)
    if isinstance(value, tuple | list):
        return type(value)(_to_device(item, device, dtype) for item in value)
    if isinstance(value, dict):
        return {key: _to_device(item, device, dtype) for key, item in value.items()}
    return value
