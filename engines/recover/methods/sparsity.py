"""Sparsity preservation: records a model's zeros, keeps training from changing them, and verifies the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from curate.engines.models.quantised import plain_weight
from curate.engines.models.zero_patterns import SPARSE_FROM
from curate.schemas.errors import GateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor
    from torch.utils.hooks import RemovableHandle
    from transformers import PreTrainedModel

NonzeroMasks = dict[str, torch.Tensor]
"""For each linear weight that has zeros, by name: True where it is not zero, bool, of the weight's shape."""


def linear_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights of the linear layers, output head included, under the names of ``named_parameters``.

    A weight that several modules share has one name, that of the first: a tied head is `model.embed_tokens.weight`,
    and a name made of the module's, `lm_head.weight`, is none of the model's parameters.
    """
    linear = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear | Conv1D)}
    return {name: one for name, one in model.named_parameters() if id(one) in linear}


def nonzero_masks(model: PreTrainedModel) -> NonzeroMasks:
    """Return masks of the linear layers' weights, output head included; weights without a zero are left out.

    Empty for a model with fewer zeros than `SPARSE_FROM`: those are chance, not pruning.
    """
    masks: NonzeroMasks = {}
    if share_of_zeros(model) < SPARSE_FROM:
        return masks
    for name, weight in linear_weights(model).items():
        nonzero = weight.detach() != 0
        if not bool(nonzero.all()):
            masks[name] = nonzero
    return masks


def share_of_zeros(model: PreTrainedModel) -> float:
    """Return the share of zeros in the linear layers other than the output head, in [0, 1]."""
    head = model.get_output_embeddings().weight
    # A quantised layer packs several weights into one integer, of which a zero means nothing.
    weights = [one for one in linear_weights(model).values() if one is not head and one.is_floating_point()]
    zeros = sum(one.numel() - int(plain_weight(one).count_nonzero()) for one in weights)
    return zeros / max(1, sum(one.numel() for one in weights))


def freeze_zeros_if_sparse(model: PreTrainedModel, trainable: Mapping[str, nn.Parameter]) -> list[RemovableHandle]:
    """Apply `freeze_zeros` to a pruned model; chance zeros of a dense one are trained."""
    return freeze_zeros(model, trainable) if share_of_zeros(model) >= SPARSE_FROM else []


def freeze_zeros(model: nn.Module, trainable: Mapping[str, nn.Parameter]) -> list[RemovableHandle]:
    """Zero the gradient of every linear weight that is zero now, so that an optimiser never moves it; return the hooks.

    This holds for AdamW without weight decay: its moments of such a weight stay zero too.
    """
    hooks = []
    # By identity: a tied head is trained under the name of the embeddings.
    linear = {id(weight) for weight in linear_weights(model).values()}
    for parameter in trainable.values():
        nonzero = parameter.detach() != 0
        if id(parameter) in linear and not bool(nonzero.all()):
            hooks.append(parameter.register_hook(_masking(nonzero)))
    return hooks


def _masking(nonzero: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda gradient: gradient * nonzero


@torch.no_grad()
def restore_nonzeros(model: PreTrainedModel, masks: NonzeroMasks) -> None:
    """Set weights that rounding to the model's dtype made zero to the smallest normal value of that dtype.

    Training can bring a weight that close to zero; the result would then have a zero more than the source.
    """
    parameters = dict(model.named_parameters())
    for name, nonzero in masks.items():
        weight = parameters[name]
        lost = nonzero & (weight == 0)
        if bool(lost.any()):
            weight[lost] = torch.finfo(weight.dtype).tiny


def verify_zeros(model: PreTrainedModel, masks: NonzeroMasks) -> None:
    """Check that the zeros of `model` are exactly those of `masks`.

    Raises
    ------
    GateError
        Names the first weight with filled or new zeros, and how many.
    """
    now = nonzero_masks(model)
    for name, before in masks.items():
        after = now.get(name, torch.ones_like(before))
        filled, lost = int((~before & after).sum()), int((before & ~after).sum())
        if filled or lost:
            raise GateError(
                f"merging would change the zeros of {name}: {filled} filled and {lost} new; "
                "the model was not written; use --method mask_lora, or --no-merge to keep the adapter separate"
            )
