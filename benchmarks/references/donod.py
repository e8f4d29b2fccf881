"""DONOD (arXiv 2504.14810) taken at its word: for each row a training step on a copy, and the norms on either side.

The norms are subtracted in the model's own number format, as a program written from the paper does. In float64 this is
the truth that the exact form is held against; in float32 the difference of two norms of 100 drowns in their rounding.
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
    places = torch.from_numpy(row.supervised.nonzero()[0]).to(model.device)
    logits = model.model(input_ids=ids, use_cache=False).logits[0]
    return functional.cross_entropy(logits[places - 1], ids[0, places])


def literal_scores(model: LanguageModel, row: Encoded, rate: float, every_layer: bool = False) -> tuple[float, float]:
    """Return don and nod of one row: backward, a copy of the layers, one step on it, two norms.

    Parameters
    ----------
    model : LanguageModel
    row : Encoded
    rate : float
        η of the step.
    every_layer : bool
        Compute the gradient of every weight, as training does, and not of the output layer alone; the norms are the
        output layer's either way.
    """
    head = model.model.get_output_embeddings()
    for weight in model.model.parameters():
        weight.requires_grad_(every_layer)
        weight.grad = None
    tied = head.weight is model.model.get_input_embeddings().weight
    own = head.weight
    if tied:  # the gradient of the output role alone (METHODS §1)
        head.weight = torch.nn.Parameter(own.detach().clone())
    head.weight.requires_grad_(True)
    try:
        mean_loss(model, row).backward()
        stepped = copy.deepcopy(head.weight.detach())
        stepped -= rate * head.weight.grad
        don = stepped.norm() - head.weight.detach().norm()
        nod = (stepped - head.weight.detach()).norm()
    finally:
        head.weight = own
        for weight in model.model.parameters():
            weight.requires_grad_(False)
            weight.grad = None
    return float(don), float(nod)
