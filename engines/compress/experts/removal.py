"""Expert removal: drops the least used experts, the same number in every layer; at least top-k stay.

Where gates are renormalised, tokens that never chose a dropped expert are computed as before. Where they are not (OLMoE
and Qwen3-MoE by default), gates are probabilities over all experts, and removing some inflates the rest for every
token: new gate = gate / (1 − lost), lost = the probability of the dropped experts. The output matrices of the kept
experts are scaled by the mean of 1 − lost, which leaves the differences between tokens, ``residual``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from curate.engines.compress.experts.slices import keep_experts, write_count
from curate.engines.compress.rebuild import check_config
from curate.engines.diagnose.expert_usage import BlockUsage, expert_usage
from curate.engines.models.expert_blocks import ExpertBlock, expert_blocks
from curate.schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from curate.engines.compress.calibration import Calibrated

ExpertOrder = Literal["usage", "weight", "random"]
EXPERT_ORDERS: tuple[ExpertOrder, ...] = get_args(ExpertOrder)

RESIDUAL_WARNING = 0.02
"""Relative spread of a token's gates around the correction from which a warning is given."""


@torch.no_grad()
def remove_experts(
    model: PreTrainedModel, calibrated: Calibrated, *, amount: float, order: ExpertOrder = "usage", seed: int = 0
) -> dict[str, Any]:
    """Remove experts of every block, in place, configuration included.

    Parameters
    ----------
    amount : float
        Number of experts to remove from each block, ≥ 1, or their share, below 1.
    order : {"usage", "weight", "random"}
        What the experts that go have least of.
    seed : int
        Of ``random``.

    Returns
    -------
    dict
        ``experts_before``, ``experts_after``, ``experts_by``; ``expert_usage``, one list per block; ``effective``, the
        effective number of experts of each block; ``experts_removed``, per block, ascending; ``residual``, per block, 0
        where gates are renormalised; ``warnings``.

    Raises
    ------
    GateError
        If the model is dense.
    InputError
        If its routers are of an unknown class, or its layers differ in their number of experts.
    UsageError
        If fewer than top-k experts would be left, or `order` is ``weight`` and experts cannot be run one by one.
    """
    blocks = _alike(expert_blocks(model), order)
    count, least = blocks[0].count, max(block.top_k for block in blocks)
    n_experts = int(amount) if amount >= 1 else round(amount * count)
    if not 1 <= n_experts <= count - least:
        raise UsageError(
            f"cannot remove {n_experts} of {count} experts: each token uses {least}, so at most {count - least} can go"
        )
    usages = expert_usage(
        model, calibrated.rows, calibrated.device, calibrated.dtype,
        outputs=order == "weight", probabilities=True, progress=calibrated.progress,
    )  # fmt: skip
    removed, residuals = [], []
    for number, (block, usage) in enumerate(zip(blocks, usages, strict=True)):
        drop = _lowest(_scores(order, usage, seed + 65_537 * number), n_experts)
        removed.append(drop.tolist())
        residuals.append(_correct(block, usage, drop))
        kept = torch.ones(count, dtype=torch.bool)
        kept[drop] = False
        keep_experts(block, kept.nonzero().flatten())
    write_count(model, count - n_experts)
    cannot = f"experts of a {model.config.model_type!r} model cannot be removed: "
    check_config(
        model, cannot + "its configuration rejects the new number", cannot + "its configuration builds other tensors"
    )
    return {
        "experts_before": count,
        "experts_after": count - n_experts,
        "experts_by": order,
        "expert_usage": [usage.usage.tolist() for usage in usages],
        "effective": [usage.effective for usage in usages],
        "experts_removed": removed,
        "residual": residuals,
        "warnings": _warnings(residuals),
    }


def _alike(blocks: list[ExpertBlock], order: ExpertOrder) -> list[ExpertBlock]:
    """Return the blocks, if experts of these can be removed by `order`."""
    if len({block.count for block in blocks}) > 1:
        raise InputError("layers of this model differ in their number of experts; experts cannot be removed from it")
    if order == "weight" and any(block.experts is None for block in blocks):
        raise UsageError("--experts-by weight cannot run the experts of this model one by one; use usage or random")
    return blocks


def _scores(order: ExpertOrder, usage: BlockUsage, seed: int) -> torch.Tensor:
    if order == "random":
        return torch.rand(len(usage.choices), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return usage.weight if order == "weight" else usage.choices


def _lowest(scores: torch.Tensor, n: int) -> torch.Tensor:
    """Return the indices of the `n` lowest scores, ascending; ties go to the lower index."""
    return torch.argsort(scores, stable=True)[:n].sort().values


def _correct(block: ExpertBlock, usage: BlockUsage, drop: torch.Tensor) -> float:
    """Scale the output matrices by the mean of 1 − lost; return the relative spread of 1 − lost around its mean."""
    if block.renormalised:
        return 0.0
    left = 1.0 - torch.cat(usage.probabilities)[:, drop].double().sum(1)
    mean = float(left.mean())
    block.expert_tensors()[-1].data.mul_(mean)
    return float(left.std(correction=0)) / mean


def _warnings(residuals: list[float]) -> list[str]:
    worst = max(residuals)
    if worst <= RESIDUAL_WARNING:
        return []
    return [
        "the router does not renormalise its gates, so that removing experts changes every token; after the mean "
        f"correction the gates of a token still differ by {worst:.1%} in the worst layer; recover the model"
    ]
