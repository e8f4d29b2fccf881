"""Dropout before LoRA's first factor, drawn again in the backward pass instead of stored.

PEFT keeps the dropped input of every adapter, and the mask, until the backward pass: more than the layer itself keeps.
The input is shared by the adapters of a layer and in memory anyhow, and drawing and multiplying again costs a rank's
share of the layer. The random numbers are the same, so that training is too, bit for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def redraw_dropout(model: nn.Module) -> None:
    """Move the dropout of every adapter of a PEFT model into its first factor, which draws it twice."""
    from peft.tuners.lora.layer import LoraLayer

    for layer in model.modules():
        if not isinstance(layer, LoraLayer):
            continue
        for name, dropout in layer.lora_dropout.items():
            if isinstance(dropout, nn.Dropout) and name in layer.lora_A:
                first = layer.lora_A[name]
                first.forward = _dropped(first, first.forward, dropout.p)
                layer.lora_dropout[name] = nn.Identity()


def _dropped(first: nn.Module, product: Callable[[Tensor], Tensor], share: float) -> Callable[[Tensor], Tensor]:
    def drop_and_multiply(x: Tensor) -> Tensor:
        return product(functional.dropout(x, share))

    def forward(x: Tensor) -> Tensor:
        if not first.training:
            return product(x)
        out: Tensor = checkpoint(drop_and_multiply, x, use_reentrant=False)
        return out

    return forward
