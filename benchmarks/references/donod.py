"""Literal implementation of DONOD (arXiv 2504.14810): one training step on a copy for each row, norms before and after.

The norms are subtracted in the model's own number format, as a direct implementation of the paper does. In float64 this
is the reference for the closed form; in float32 the difference of two norms near 100 is lost in rounding.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from curate.engines.models.loading import LanguageModel
    from curate.engines.tokens.templates import Encoded


def mean_loss(model: LanguageModel, row: Encoded) -> torch.Tensor:
    """Return the mean cross-entropy of the supervised tokens of one row, from the whole model."""
    ids = torch.from_numpy(row.ids).to(model.device).unsqueeze(0)
    positions = torch.from_numpy(row.supervised.nonzero()[0]).to(model.device)
    logits = model.model(input_ids=ids, use_cache=False).logits[0]
    return functional.cross_entropy(logits[positions - 1], ids[0, positions])


def literal_scores(model: LanguageModel, row: Encoded, rate: float, all_layers: bool = False) -> tuple[float, float]:
    """Return don and nod of one row: backward pass, one step on a copy of the output head, two norms.

    Parameters
    ----------
    model : LanguageModel
    row : Encoded
    rate : float
        η of the step.
    all_layers : bool
        Compute the gradient of every weight, as training does, instead of the output head's only. The norms are the
        output head's in both cases.
    """
    head = model.model.get_output_embeddings()
    for weight in model.model.parameters():
        weight.requires_grad_(all_layers)
        weight.grad = None
    tied = head.weight is model.model.get_input_embeddings().weight
    original_weight = head.weight
    # A copy, because the gradient of a tied weight would include its use as the input embedding.
    if tied:
        head.weight = torch.nn.Parameter(original_weight.detach().clone())
    head.weight.requires_grad_(True)
    try:
        mean_loss(model, row).backward()
        stepped = copy.deepcopy(head.weight.detach())
        stepped -= rate * head.weight.grad
        don = stepped.norm() - head.weight.detach().norm()
        nod = (stepped - head.weight.detach()).norm()
    finally:
        head.weight = original_weight
        for weight in model.model.parameters():
            weight.requires_grad_(False)
            weight.grad = None
    return float(don), float(nod)
