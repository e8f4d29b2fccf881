"""The zeros of a model: which there are, that training leaves them alone, and that a result has exactly the same.

Knows nothing of methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from curate.engines.recover.methods.detection import SPARSE_FROM
from curate.schemas.errors import GateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor
    from torch.utils.hooks import RemovableHandle
    from transformers import PreTrainedModel

Pattern = dict[str, torch.Tensor]
"""Name of each linear weight that has zeros, to where it is not zero: bool, of the weight's shape."""


def zero_pattern(model: PreTrainedModel) -> Pattern:
    """Return where the linear layers' weights, output head included, are not zero; those without a zero are left out.

    Empty for a model with fewer zeros than `SPARSE_FROM`: those are chance, not pruning.
    """
    found: Pattern = {}
    if share_of_zeros(model) < SPARSE_FROM:
        return found
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D):
            full = module.weight.detach() != 0
            if not bool(full.all()):
                found[f"{name}.weight"] = full
    return found


def share_of_zeros(model: PreTrainedModel) -> float:
    """Return the share of zeros in the linear layers but the output head, in [0, 1]."""
    head = model.get_output_embeddings()
    found = [m.weight for m in model.modules() if isinstance(m, nn.Linear | Conv1D) and m is not head]
    found = [one for one in found if one.is_floating_point()]  # what a quantised layer packs is no weight
    zeros = sum(one.numel() - int(one.count_nonzero()) for one in found)
    return zeros / max(1, sum(one.numel() for one in found))


def hold_pattern(model: PreTrainedModel, trainable: Mapping[str, nn.Parameter]) -> None:
    """Zero the gradient of every trainable weight of a pruned `model` that is zero now: an optimiser never moves it."""
    if share_of_zeros(model) >= SPARSE_FROM:
        hold_zeros(model, trainable)


def hold_zeros(model: nn.Module, trainable: Mapping[str, nn.Parameter]) -> list[RemovableHandle]:
    """Zero the gradient of what is zero now in the linear layers' weights; return the hooks."""
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and (parameter := trainable.get(f"{name}.weight")) is not None:
            full = parameter.detach() != 0
            if not bool(full.all()):
                hooks.append(parameter.register_hook(_masking(full)))
    return hooks


def _masking(full: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda gradient: gradient * full


@torch.no_grad()
def restore_pattern(model: PreTrainedModel, pattern: Pattern) -> None:
    """Give weights that rounding to the model's number format made zero the format's smallest normal value.

    A weight may come that near to zero in training; without this the pattern would lose it.
    """
    modules = dict(model.named_parameters())
    for name, full in pattern.items():
        weight = modules[name]
        lost = full & (weight == 0)
        if bool(lost.any()):
            weight[lost] = torch.finfo(weight.dtype).tiny


def verify_pattern(model: PreTrainedModel, pattern: Pattern) -> None:
    """Check that the zeros of `model` are exactly those of `pattern`.

    Raises
    ------
    GateError
        Naming the first weight where a zero was filled, or one was lost, and how many.
    """
    now = zero_pattern(model)
    for name, before in pattern.items():
        after = now.get(name, torch.ones_like(before))
        filled, lost = int((~before & after).sum()), int((before & ~after).sum())
        if filled or lost:
            raise GateError(
                f"merging would change the zeros of {name}: {filled} filled and {lost} new; "
                "the model was not written; use --method mask_lora, or --no-merge to keep the adapter separate"
            )
