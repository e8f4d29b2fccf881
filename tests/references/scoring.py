"""Reference signals as the papers define them: one row at a time, float64, autograd."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def divergence_loop(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the Jensen–Shannon divergence of two rows of logits, in nats, term by term."""
    p, q = (torch.softmax(row.double(), dim=0).tolist() for row in (one, other))
    total = 0.0
    for a, b in zip(p, q, strict=True):
        m = (a + b) / 2
        total += (0.5 * a * math.log(a / m) if a > 0 else 0.0) + (0.5 * b * math.log(b / m) if b > 0 else 0.0)
    return total


def signals_loop(
    original: PreTrainedModel, compressed: PreTrainedModel, ids: list[int], mask: list[bool], rate: float
) -> dict[str, float]:
    """Return every signal of one example from two whole models in float64; W is the compressed model's output head."""
    row = torch.tensor([ids])
    places = [t for t in range(1, len(ids)) if mask[t]]
    with torch.no_grad():
        teacher = original(input_ids=row).logits[0]
        hidden = compressed.model(input_ids=row).last_hidden_state[0]
    head = compressed.get_output_embeddings()
    weight = head.weight.detach().clone().requires_grad_()
    bias = None if head.bias is None else head.bias.detach()
    student = torch.nn.functional.linear(hidden, weight, bias)
    targets = torch.tensor([ids[t] for t in places])
    chosen = student[[t - 1 for t in places]]
    loss = torch.nn.functional.cross_entropy(chosen, targets)
    (gradient,) = torch.autograd.grad(loss, weight)
    after = (weight.detach() - rate * gradient).norm()
    probabilities = torch.softmax(chosen.detach(), dim=1)
    errors = probabilities - torch.nn.functional.one_hot(targets, chosen.shape[1])
    nll = [torch.nn.functional.cross_entropy(z[[t - 1 for t in places]], targets, reduction="none").tolist()
           for z in (student.detach(), teacher)]  # fmt: skip
    divergences = [divergence_loop(teacher[t - 1], student.detach()[t - 1]) for t in places]
    return {
        "cds": sum(divergences) / len(divergences),
        "don": float(after - weight.detach().norm()),
        "nod": float(rate * gradient.norm()),
        "nll_compressed": float(loss.detach()),
        "nll_original": float(torch.nn.functional.cross_entropy(teacher[[t - 1 for t in places]], targets)),
        "positive_excess": sum(max(c - o, 0.0) for c, o in zip(*nll, strict=True)) / len(places),
        "unlikely_share": sum(o > 4.0 for o in nll[1]) / len(places),
        "entropy": float(-(probabilities * probabilities.log()).sum(1).mean()),
        "el2n": float(errors.norm(dim=1).mean()),
    }


def all_layers_loop(model: PreTrainedModel, ids: list[int], mask: list[bool], rate: float) -> dict[str, float]:
    """Return don and nod of one example summed over every linear layer, each from its own autograd gradient.

    `model` is in float64 with its embeddings untied; ``Conv1D`` weights are layers like any other.
    """
    row, places = torch.tensor([ids]), [t for t in range(1, len(ids)) if mask[t]]
    logits = model(input_ids=row).logits[0]
    targets = torch.tensor([ids[t] for t in places])
    loss = torch.nn.functional.cross_entropy(logits[[t - 1 for t in places]], targets)
    kinds = ("Linear", "Conv1D")
    weights = [module.weight for module in model.modules() if type(module).__name__ in kinds]
    don = nod = 0.0
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        before, after = weight.detach(), weight.detach() - rate * gradient
        don += float(after.norm() - before.norm())
        nod += float(rate * gradient.norm())
    return {"don": don, "nod": nod}
