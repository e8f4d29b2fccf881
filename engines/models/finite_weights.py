"""Refuses a model whose weights are not numbers, before anything is computed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from curate.engines.models.quantised import plain_weight
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from torch import nn

CHECKED = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
"""Types that can hold NaN and that torch finds the extremes of."""


@torch.no_grad()
def require_finite(model: nn.Module, name: str) -> None:
    """Check that no weight of the model holds NaN or an infinite value.

    Parameters
    ----------
    model : Module
    name : str
        The folder or hub name, for the message.

    Raises
    ------
    InputError
        Names the model and the first such weight.
    """
    for weight, parameter in model.named_parameters():
        if parameter.dtype not in CHECKED or not parameter.numel():
            continue
        # The extremes are NaN if any value is, and take no memory of the weight's size.
        if not all(bool(extreme.isfinite()) for extreme in torch.aminmax(plain_weight(parameter))):
            raise InputError(
                f"model {name!r} cannot be used: its weight {weight} holds NaN or infinite values; "
                "repair it, or download the model again"
            )
