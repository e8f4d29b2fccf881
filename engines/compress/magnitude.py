"""Magnitude pruning: sets the weights with the smallest magnitude to zero (Han et al. 2015, arXiv 1506.02626, §3).

Needs no calibration data. Embeddings, norms and the output head are never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from curate.engines.compress.masks import NMPattern, drop_overall, drop_per_group
from curate.engines.models.projections import Projection, prunable_projections
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import torch
    from transformers import PreTrainedModel

Scope = Literal["layer", "global"]


def prune_magnitude(
    model: PreTrainedModel, *, sparsity: float | None = None, pattern: NMPattern | None = None, scope: Scope = "layer"
) -> None:
    """Set the smallest weights of the decoder's linear projections to zero, in place.

    Parameters
    ----------
    model : PreTrainedModel
        Changed in place; its dtype and device stay.
    sparsity : float, optional
        Share of the weights to remove, in (0, 1): exactly ``round(sparsity * n)`` of the n weights in scope.
    pattern : NMPattern, optional
        Instead of `sparsity`: N of every M consecutive inputs of each row are kept; `scope` is ignored.
    scope : {"layer", "global"}
        ``"layer"`` removes the same share of every projection, the form that published comparisons call magnitude
        pruning (Wanda, arXiv 2306.11695, §4). ``"global"`` compares all projections of the decoder with each other:
        the same total, unevenly spread, so that layers with small weights lose most.

    Raises
    ------
    InputError
        When the model cannot be pruned, or a row is not divisible by M.
    """
    projections = prunable_projections(model)
    for projection, mask in zip(projections, _masks(projections, sparsity, pattern, scope), strict=True):
        projection.matrix.masked_fill_(~mask, 0.0)


def check_width(projections: Sequence[Projection], pattern: NMPattern) -> None:
    """Check that a pattern divides the inputs of every projection.

    Raises
    ------
    InputError
        Names the first projection that it does not fit.
    """
    for projection in projections:
        width = projection.matrix.shape[1]
        if width % pattern.group:
            raise InputError(
                f"pattern {pattern} does not fit {projection.name}: its {width} inputs are not divisible by "
                f"{pattern.group}; choose another pattern, or --sparsity"
            )


def _masks(
    projections: Sequence[Projection], sparsity: float | None, pattern: NMPattern | None, scope: Scope
) -> Iterable[torch.Tensor]:
    if pattern is not None:
        check_width(projections, pattern)
        return (drop_per_group(projection.matrix.abs(), pattern) for projection in projections)
    share = sparsity or 0.0
    # Functions rather than tensors: the magnitudes of all projections together would double the memory.
    magnitudes = [_magnitude_of(projection) for projection in projections]
    if scope == "global":
        return drop_overall(magnitudes, round(share * sum(p.matrix.numel() for p in projections)))
    return (
        next(iter(drop_overall([score], round(share * p.matrix.numel()))))
        for p, score in zip(projections, magnitudes, strict=True)
    )


def _magnitude_of(projection: Projection) -> Callable[[], torch.Tensor]:
    return lambda: projection.matrix.abs()
