"""Top-k predictions never overstate the divergence, and bound how much they understate it."""

from __future__ import annotations

import pytest
import torch
from references.scoring import divergence_loop

from curate.engines.models.output_head import OutputHead
from curate.engines.score.signals import token_signals
from curate.engines.score.top_k import divergence, top_k_predictions

ROWS, WIDTH, VOCABULARY = 9, 6, 50


def pair(scale: float) -> tuple[OutputHead, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return an output head, states, logits of another model, and targets."""
    draw = torch.Generator().manual_seed(3)
    head = OutputHead(torch.randn(VOCABULARY, WIDTH, generator=draw) * scale)
    hidden = torch.randn(ROWS, WIDTH, generator=draw)
    other = head.logits(hidden) + torch.randn(ROWS, VOCABULARY, generator=draw)
    return head, hidden, other, torch.randint(0, VOCABULARY, (ROWS,), generator=draw)


@pytest.mark.parametrize("scale", [0.3, 3.0])
@pytest.mark.parametrize("k", [1, 4, 20, VOCABULARY, 1000])
def test_the_divergence_lies_between_its_bounds(k: int, scale: float) -> None:
    head, hidden, other, targets = pair(scale)
    reference = top_k_predictions(head, hidden, targets, k, chunk_tokens=4)
    own = token_signals(other, targets)
    lower_bound, shortfall = divergence(own.delta, own.nll, targets, reference)
    exact = torch.tensor([divergence_loop(one, two) for one, two in zip(head.logits(hidden), other, strict=True)])
    assert (lower_bound <= exact + 1e-6).all()
    assert (exact <= lower_bound + shortfall + 1e-6).all()
    if k >= VOCABULARY:
        assert torch.allclose(lower_bound, exact.float(), atol=1e-6)
        assert (shortfall < 1e-6).all()


def test_more_tokens_never_lower_the_bound() -> None:
    head, hidden, other, targets = pair(0.5)
    own = token_signals(other, targets)
    bounds = [
        divergence(own.delta, own.nll, targets, top_k_predictions(head, hidden, targets, k, 4))[0]
        for k in (1, 2, 8, 32, 50)
    ]
    for less, more in zip(bounds, bounds[1:], strict=False):
        assert (less <= more + 1e-6).all()


def test_the_targets_likelihood_is_exact() -> None:
    head, hidden, _, targets = pair(1.0)
    reference = top_k_predictions(head, hidden, targets, 2, chunk_tokens=4)
    expected = torch.nn.functional.cross_entropy(head.logits(hidden), targets, reduction="none")
    assert torch.allclose(reference.nll, expected, atol=1e-6)
    assert torch.allclose(reference.log_p.exp().sum(-1) + reference.tail, torch.ones(ROWS), atol=1e-6)
