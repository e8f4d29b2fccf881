"""Use of the experts of a model folder by rows, all together or by group. Does not access the warehouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.engines.diagnose.expert_usage import row_usages, total
from curate.engines.models.expert_blocks import expert_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from curate.engines.diagnose.expert_usage import BlockUsage
    from curate.engines.diagnose.request import DiagnosisRequest
    from curate.schemas.corpus import Turn


@dataclass(frozen=True, slots=True)
class ExpertMeasures:
    """What one group of rows used of the experts behind one router."""

    layer: int
    name: str
    """Path of the block inside the decoder layer."""
    top_k: int
    shared: bool
    """Whether every token also uses a shared expert, which is not among the measured ones."""
    group: int | None
    tokens: int
    effective: float
    """exp of the entropy of `usage`, from 1 to the number of experts."""
    usage: list[float]
    """Share of the choices of each expert, over tokens and the top-k slots; adds up to 1."""
    gate_mass: list[float]
    """Mean gate of each expert over all tokens, 0 for those that did not choose it."""
    output_norm: list[float | None]
    """Mean norm of the expert's output over the tokens that chose it; None without such a token, and for JetMoE."""


def diagnose_experts(
    model: Path,
    conversations: Sequence[Sequence[Turn]],
    request: DiagnosisRequest,
    *,
    groups: Sequence[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[ExpertMeasures]:
    """Return the measures of every router, in the order of the layers, and for each of every group of rows.

    Parameters
    ----------
    model : Path
        Model folder.
    conversations : sequence of sequences of Turn
        All their tokens count, prompts included.
    groups : sequence of int, optional
        Number of the group of each conversation; without it all are one.
    progress : callable, optional
        Called with (layers done, layers in all).

    Raises
    ------
    GateError
        If the model is dense.
    InputError
        If the model or the rows cannot be used, or a router is of an unknown class.
    """
    rows = request.encode(model, conversations)
    loaded = request.load(model)
    blocks = expert_blocks(loaded)
    used = [place for place, row in enumerate(rows) if row.shape[1]]
    usages = row_usages(
        loaded, [rows[place] for place in used], loaded.device, loaded.dtype, outputs=True, progress=progress
    )
    of_row = [None if groups is None else groups[place] for place in used]
    return [
        _measures(
            total([usage for usage, group in zip(by_row, of_row, strict=True) if group == one]),
            (block.layer, block.name, block.top_k, block.shared, one),
            weighed=block.experts is not None,
        )
        for block, by_row in zip(blocks, usages, strict=True)
        for one in sorted(set(of_row), key=lambda group: group or 0)
    ]


def _measures(usage: BlockUsage, about: tuple[int, str, int, bool, int | None], *, weighed: bool) -> ExpertMeasures:
    norms = [
        float(norm / count) if weighed and count else None
        for norm, count in zip(usage.norms, usage.choices, strict=True)
    ]
    gates = (usage.gates / usage.tokens).tolist()
    return ExpertMeasures(*about, usage.tokens, usage.effective, usage.usage.tolist(), gates, norms)
