"""PASER's capability degradation (arXiv 2502.12594) as its public code computes it: row by row, every row twice.

Both models process the full row, the softmax at all positions is kept, and the divergence is summed over positions.
Rows are scored once for the budgets of the clusters and once more for the ranking inside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.engines.models.loading import Pair
    from curate.engines.tokens.templates import Encoded

PASSES = 2


@torch.inference_mode()
def divergences(pair: Pair, row: Encoded) -> torch.Tensor:
    """Return the Jensen–Shannon divergence at every position of one row, (T,), in the models' precision or float32."""
    assert pair.original is not None
    ids = torch.from_numpy(row.ids).to(pair.compressed.device).unsqueeze(0)
    precision = torch.promote_types(pair.compressed.head.weight.dtype, torch.float32)
    p, q = (
        torch.softmax(model.model(input_ids=ids, use_cache=False).logits[0].to(precision), dim=-1)
        for model in (pair.original, pair.compressed)
    )
    mixture = 0.5 * (p + q)
    left = (p * (p.log() - mixture.log())).sum(-1)
    right = (q * (q.log() - mixture.log())).sum(-1)
    return 0.5 * (left + right)


def public_scores(pair: Pair, rows: Sequence[Encoded]) -> list[float]:
    """Return the degradation of every row, computed `PASSES` times as in the public code."""
    scores: list[float] = []
    for _ in range(PASSES):
        scores = [float(divergences(pair, row).sum()) for row in rows]
    return scores
