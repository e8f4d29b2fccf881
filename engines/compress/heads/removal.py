"""Head removal: drops the groups of attention heads that add least to the hidden states, the same number per layer.

The importance of group g is Σ_{q ∈ g} ‖C_q^½ W_o[:, q]ᵀ‖_F, with C_q = Σ_t a_t a_tᵀ over the outputs a_t of head q for
all calibration tokens: the Frobenius norm of what each head adds, summed over the heads of the group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from curate.engines.compress.heads.groups import HeadGroups, head_groups, possible_removals, write_heads
from curate.engines.compress.moments import second_moments
from curate.engines.compress.rebuild import check_config
from curate.engines.compress.slices import refuse_pattern
from curate.schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from curate.engines.compress.calibration import Calibrated


@torch.no_grad()
def remove_heads(model: PreTrainedModel, calibrated: Calibrated, *, n_groups: int) -> dict[str, Any]:
    """Remove groups of attention heads of every layer, in place, configuration included.

    Parameters
    ----------
    model : PreTrainedModel
        Keeps its dtype and device.
    n_groups : int
        Groups to remove from each layer, ≥ 1: a key-value head and the query heads that read it.

    Returns
    -------
    dict
        ``heads_before``, ``heads_after``; ``key_value_heads_before``, ``key_value_heads_after``; per layer
        ``groups_removed``, ascending, and ``group_importance``.

    Raises
    ------
    InputError
        If the attention has an unknown layout, the configuration cannot describe fewer heads, or the calibration gives
        numbers that are not finite.
    UsageError
        If no group would be left, or the configuration accepts no model with as many heads.
    GateError
        If the model has an N:M pattern.
    """
    layers = head_groups(model)
    count, queries = layers[0].count, layers[0].queries
    _check_number(model, layers[0], n_groups)
    refuse_pattern(model, "heads")
    moments = second_moments(
        model, [layer.out for layer in layers], calibrated.rows, full=True,
        device=calibrated.device, dtype=calibrated.dtype, progress=calibrated.progress,
    )  # fmt: skip
    importances, removed = [], []
    for layer, second in zip(layers, moments, strict=True):
        scores = importance(layer, second)
        # A stable sort: of equal groups the lower ones go.
        drop = torch.argsort(scores, stable=True)[:n_groups].sort().values
        kept = torch.ones(count, dtype=torch.bool, device=drop.device).index_fill(0, drop, False)
        layer.keep(kept.nonzero().flatten().to(layer.out.matrix.device))
        importances.append(scores.tolist())
        removed.append(drop.tolist())
    write_heads(model, layers[0], count - n_groups)
    cannot = f"heads of a {model.config.model_type!r} model cannot be removed: "
    check_config(
        model, cannot + "its configuration rejects the new number", cannot + "its configuration builds other tensors"
    )
    return {
        "heads_before": count * queries,
        "heads_after": (count - n_groups) * queries,
        "key_value_heads_before": count,
        "key_value_heads_after": count - n_groups,
        "groups_removed": removed,
        "group_importance": importances,
    }


def _check_number(model: PreTrainedModel, layer: HeadGroups, n_groups: int) -> None:
    """Raise UsageError, before the calibration, if so many groups cannot be removed."""
    if not 1 <= n_groups < layer.count:
        raise UsageError(
            f"cannot remove {n_groups} of {layer.count} groups of heads: each layer has {layer.count} key-value heads, "
            "and at least one must remain"
        )
    possible, why = possible_removals(model, layer)
    if n_groups not in possible:
        others = f"remove {', '.join(map(str, possible))} instead" if possible else "use --method width or blocks"
        raise UsageError(
            f"cannot remove {n_groups} of {layer.count} groups of heads: the configuration of a "
            f"{model.config.model_type!r} model rejects what is left ({why}); {others}"
        )


def importance(layer: HeadGroups, second: torch.Tensor) -> torch.Tensor:
    """Return the importance of every group of a layer, shape (groups,), float64, ≥ 0; larger is kept.

    Parameters
    ----------
    layer : HeadGroups
    second : Tensor
        Σ_t a_t a_tᵀ of the inputs of the output projection, shape (inputs, inputs), float64.

    Raises
    ------
    InputError
        If `second` is not finite.
    """
    if not bool(torch.isfinite(second).all()):
        raise InputError(
            f"the calibration gives the heads of layer {layer.layer} outputs that are NaN or infinite; "
            "try --dtype float32"
        )
    weights, width = layer.out.matrix.to(second), layer.width
    heads = [slice(start, start + width) for start in range(0, len(second), width)]
    # ‖C^½ Wᵀ‖_F² = tr(W C Wᵀ), which needs no square root of C.
    norms = [(weights[:, head] @ second[head, head] * weights[:, head]).sum().clamp(min=0.0).sqrt() for head in heads]
    return torch.stack(norms).reshape(layer.count, layer.queries).sum(1)
