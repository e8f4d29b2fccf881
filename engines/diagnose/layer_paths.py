"""Runs a model along a path of its decoder layers: any subset of them, in order.

Hidden states of the whole path are kept, so that a path starts at the first layer where it differs.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from curate.engines.models.layerwise import record_layer_inputs
from curate.engines.models.projections import decoder_layers
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from transformers import PreTrainedModel


class LayerPaths:
    """A model whose layers can be left out of its forward passes over a fixed set of rows.

    Parameters
    ----------
    model : PreTrainedModel
        Not changed. Runs where it is and in its own dtype; all hidden states of the rows are kept on the CPU.
    rows : sequence of torch.Tensor
        Conversations as token ids, each (1, T) int64.

    Raises
    ------
    InputError
        If no row has two tokens, or a layer gives NaN.
    """

    def __init__(self, model: PreTrainedModel, rows: Sequence[torch.Tensor]) -> None:
        self._model = model
        self._rows = [row for row in rows if row.shape[1] > 1]
        if not self._rows:
            raise InputError("none of the rows has two tokens, so no next token can be predicted; give longer rows")
        self._path, self._layers = decoder_layers(model)
        self._inputs = record_layer_inputs(model, self._rows)
        self.states: list[list[torch.Tensor]] = [self._inputs.hidden]
        """For each layer the hidden states that enter it, one tensor (1, T, d) per row; last, those that leave all."""
        for index in range(len(self._layers)):
            self.states.append(self._run(index, self.states[-1]))

        self._returns_tuple = self._first_returns_tuple()

    @property
    def n_layers(self) -> int:
        """Number of decoder layers."""
        return len(self._layers)

    def loss(self, removed: Collection[int] = ()) -> float:
        """Return the mean negative log-likelihood per token, in nats, of the path without the layers `removed`."""
        losses = self.token_losses(removed)
        return sum(float(one.sum()) for one in losses) / sum(len(one) for one in losses)

    def token_losses(self, removed: Collection[int] = ()) -> list[torch.Tensor]:
        """Return −log p of every token but the first of each row, (T − 1,) float32, without the layers `removed`."""
        first = min(removed, default=self.n_layers)
        states = self.states[first]
        for index in range(first, self.n_layers):
            if index not in removed:
                states = self._run(index, states)
        return [self._row_losses(row, state) for row, state in zip(self._rows, states, strict=True)]

    @torch.no_grad()
    def _run(self, index: int, states: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the hidden states after one layer."""
        self._inputs.hidden = states
        device, dtype = self._model.device, self._model.dtype
        outputs = [after.cpu() for _, after in self._inputs.run_layer(self._layers[index], index, device, dtype)]
        if any(bool(output.isnan().any()) for output in outputs):
            raise InputError(f"decoder layer {self._path}.{index} gives NaN on these rows; try --dtype float32")
        return outputs

    @torch.no_grad()
    def _first_returns_tuple(self) -> bool:
        """Return whether layers return a tuple, which depends on the architecture and is not what annotations say."""
        others, keywords = self._inputs.calls[0][0]
        return isinstance(self._layers[0](self.states[0][0].to(self._model.device), *others, **keywords), tuple)

    @torch.no_grad()
    def _row_losses(self, row: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Return the losses of one row whose hidden states after the last layer are `state`, on the CPU."""
        # The model's own forward pass adds what follows the layers: the last norm, a projection, capped logits.
        passed = state.to(self._model.device)
        with _passing(self._layers, (passed,) if self._returns_tuple else passed):
            logits = self._model(row.to(self._model.device), use_cache=False).logits
        targets = row[0, 1:].to(logits.device)
        return nn.functional.cross_entropy(logits[0, :-1].float(), targets, reduction="none").cpu()


@contextmanager
def _passing(layers: nn.ModuleList, result: Any) -> Iterator[None]:
    """Make every layer return `result` while the context is open."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        return result

    for layer in layers:
        layer.forward = forward
    try:
        yield
    finally:
        # Deleting the instance attribute uncovers the method of the class again.
        for layer in layers:
            del layer.forward
