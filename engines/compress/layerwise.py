"""Runs calibration rows through a model one decoder layer at a time.

The model stays where it is; only the layer at work is copied to the device, so that a model larger than the device's
memory can be calibrated. Rows run one by one without padding: every token counted is a real one. Assumes, as decoder
models do, that what a layer gets beside the hidden states (masks, positions) does not depend on earlier layers.
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
class Stream:
    """The hidden states of the calibration rows, on their way through the layers."""

    hidden: list[torch.Tensor]
    """One tensor (1, T, d) a row, on the CPU: what goes into the next layer."""
    calls: list[list[tuple[tuple[Any, ...], dict[str, Any]]]]
    """For each layer and row, the other arguments that the model gives the layer."""

    def outputs(
        self, layer: nn.Module, index: int, device: torch.device, dtype: torch.dtype
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield for each row what goes into layer `index`, run as `layer`, and what comes out, on `device`."""
        for hidden, (args, kwargs) in zip(self.hidden, self.calls[index], strict=True):
            before = hidden.to(device, dtype)
            result = layer(before, *_moved(args, device, dtype), **_moved(kwargs, device, dtype))
            yield before, result[0] if isinstance(result, tuple) else result


def start_stream(model: PreTrainedModel, rows: Sequence[torch.Tensor]) -> Stream:
    """Return what enters the first layer for each row of token ids, shape (1, T), int64.

    The model runs with its layers replaced by recorders, which costs little more than looking up embeddings.
    """
    _, layers = decoder_layers(model)
    hidden: list[torch.Tensor] = []
    with _recorded(layers, hidden) as calls, torch.inference_mode():
        for row in rows:
            model.base_model(row.to(model.device), use_cache=False)
    return Stream(hidden, calls)


def working_copy(layer: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Return a copy of `layer` on `device`."""
    return copy.deepcopy(layer).to(device, dtype)


@contextmanager
def _recorded(layers: nn.ModuleList, hidden: list[torch.Tensor]) -> Iterator[list[list[Any]]]:
    """Make every layer record its arguments and hand its input on; the first also appends it to `hidden`."""
    calls: list[list[Any]] = [[] for _ in layers]
    returns_tuple = False

    def recorder(index: int, run: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            nonlocal returns_tuple
            states, *rest = args or (kwargs.pop("hidden_states"),)
            if index == 0 and not hidden:
                returns_tuple = isinstance(run(states, *rest, **kwargs), tuple)
            if index == 0:
                hidden.append(states.cpu())
            calls[index].append((tuple(rest), kwargs))
            return (states,) if returns_tuple else states

        return forward

    for index, layer in enumerate(layers):
        layer.forward = recorder(index, layer.forward)
    try:
        yield calls
    finally:
        for layer in layers:
            del layer.forward


def _moved(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device, dtype) if value.is_floating_point() else value.to(device)
    if isinstance(value, tuple | list):
        return type(value)(_moved(item, device, dtype) for item in value)
    if isinstance(value, dict):
        return {key: _moved(item, device, dtype) for key, item in value.items()}
    return value
