"""A mixture trained on two domains: its experts specialise, and those that a domain does not use can go."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

from curate.engines.compress.calibration import Calibrated
from curate.engines.compress.experts.removal import remove_experts
from curate.engines.diagnose.expert_usage import expert_usage

if TYPE_CHECKING:
    from curate.engines.compress.experts.removal import ExpertOrder

TOKENS, LENGTH = 24, 24
RULES = ((5, 3, 1), (7, 11, 2))
"""Of each domain: the next token is a · last + b · last but one + c in nine of ten cases, else any of the domain."""
SHIFT = 0.2
"""Tokens of a domain begin with embeddings that share a direction, the other domain's with its opposite."""


def rows(domain: int, count: int, seed: int) -> torch.Tensor:
    """Return token ids of a domain, shape (count, LENGTH); the domains share no token."""
    generator = torch.Generator().manual_seed(2 * seed + domain)
    drawn = torch.randint(0, TOKENS, (count, LENGTH), generator=generator)
    follows = torch.rand(drawn.shape, generator=generator) < 0.9
    a, b, c = RULES[domain]
    for place in range(2, LENGTH):
        following = (a * drawn[:, place - 1] + b * drawn[:, place - 2] + c) % TOKENS
        drawn[:, place] = torch.where(follows[:, place], following, drawn[:, place])
    return 4 + TOKENS * domain + drawn


@pytest.fixture(scope="module")
def trained() -> Any:
    """Return a Mixtral of two layers with eight experts, trained on both domains with the balancing loss."""
    torch.manual_seed(0)
    config = transformers.MixtralConfig(
        vocab_size=4 + 2 * TOKENS, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=LENGTH, num_local_experts=8, num_experts_per_tok=2,
        output_router_logits=True, router_aux_loss_coef=0.02,
    )  # fmt: skip
    model = transformers.MixtralForCausalLM(config)
    direction = SHIFT * torch.randn(32)
    model.model.embed_tokens.weight.data[4 : 4 + TOKENS] += direction
    model.model.embed_tokens.weight.data[4 + TOKENS :] -= direction
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=500, pct_start=0.1)
    for step in range(500):
        batch = torch.cat([rows(domain, 16, 1_000 + step) for domain in (0, 1)])
        model(batch, labels=batch).loss.backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    model.config.output_router_logits = False
    return model.eval()


@torch.no_grad()
def perplexity(model: Any, domain: int) -> float:
    heldout = rows(domain, 64, 999)
    logits = model(heldout).logits[:, :-1].flatten(0, 1)
    return math.exp(cross_entropy(logits, heldout[:, 1:].flatten()))


def calibrated(domain: int) -> Calibrated:
    return Calibrated(list(rows(domain, 32, 5)[:, None]), torch.device("cpu"), torch.float32)


@pytest.mark.slow
def test_experts_of_the_other_domain_can_go(trained: Any) -> None:
    on_a = calibrated(0)
    for usage in expert_usage(trained, on_a.rows, on_a.device, on_a.dtype):
        assert usage.effective < 6.5  # Otherwise the routers did not specialise, and the model is at fault.
        assert int((usage.usage > 0.05).sum()) <= 5

    def rise(order: ExpertOrder, seed: int = 0) -> list[float]:
        model = copy.deepcopy(trained)
        remove_experts(model, on_a, amount=4, order=order, seed=seed)
        return [perplexity(model, domain) / perplexity(trained, domain) - 1 for domain in (0, 1)]

    by_usage = rise("usage")
    assert by_usage[0] < 0.05
    assert by_usage[1] > 0.30
    assert min(rise("random", seed)[0] for seed in range(5)) >= 3 * max(by_usage[0], 0.01)


@pytest.mark.slow
def test_each_domain_uses_other_experts(trained: Any) -> None:
    usages = [expert_usage(trained, one.rows, one.device, one.dtype) for one in (calibrated(0), calibrated(1))]
    for a, b in zip(*usages, strict=True):
        assert float((a.usage - b.usage).abs().sum()) / 2 > 0.5  # Distance in total variation.
