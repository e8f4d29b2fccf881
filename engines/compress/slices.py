"""Slices of linear layers: keeps some of their outputs or inputs, for the methods that make a model narrower."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from transformers.pytorch_utils import Conv1D

from curate.engines.models.projections import find_projections
from curate.engines.models.zero_patterns import describe_matrix, pattern_of
from curate.schemas.errors import GateError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def take(module: nn.Module, index: torch.Tensor, *, of: str) -> None:
    """Keep the outputs or inputs `index`, int64, of a linear layer, in place and in that order.

    Parameters
    ----------
    module : Linear or Conv1D
    of : {"outputs", "inputs"}
    """
    transposed = isinstance(module, Conv1D)
    axis = 0 if (of == "outputs") != transposed else 1
    weight = module.get_parameter("weight").data
    module.weight = nn.Parameter(weight.index_select(axis, index).contiguous(), requires_grad=False)
    bias = getattr(module, "bias", None)
    if of == "outputs" and bias is not None:
        module.bias = nn.Parameter(bias.data.index_select(0, index), requires_grad=False)
    size = {"outputs": "nf" if transposed else "out_features", "inputs": "nx" if transposed else "in_features"}[of]
    setattr(module, size, len(index))


def refuse_pattern(model: PreTrainedModel, what: str) -> None:
    """Raise GateError if the model's zeros follow an N:M pattern, which removing or moving inputs would break.

    Parameters
    ----------
    model : PreTrainedModel
    what : str
        What would be removed or moved, in the plural, for the message.
    """
    matrices = (describe_matrix(p.name, p.layer, p.matrix) for p in find_projections(model))
    if pattern := pattern_of(matrices):
        raise GateError(
            f"the model is {pattern} sparse, and removing or reordering {what} would break that pattern; "
            f"change the {what} of the dense model and prune the result"
        )
