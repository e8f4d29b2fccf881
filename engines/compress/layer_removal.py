"""Layer removal: drops the decoder layers that change the hidden states least (ShortGPT, arXiv 2403.03853, Eq. 1).

BI_l = 1 − E_t[cos(h_l,t , h_l+1,t)], one minus the mean cosine, over all calibration tokens, between the input and
the output of layer l. The influence is measured once, on the dense model, and the layers with the lowest go. The
configuration is rewritten, so that the result is an ordinary model with fewer layers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from curate.engines.compress.layer_orders import lowest
from curate.engines.compress.rebuild import check_config
from curate.engines.models.layerwise import record_layer_inputs, working_copy
from curate.engines.models.projections import decoder_layers
from curate.schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from transformers import PreTrainedModel

LAYER_INDEX_LISTS = ("mlp_only_layers",)
"""Configuration entries that list layer numbers. Lists with one entry per layer are recognised by length and name."""


@torch.no_grad()
def block_influence(
    model: PreTrainedModel,
    rows: Sequence[torch.Tensor],
    *,
    device: torch.device,
    dtype: torch.dtype,
    progress: Callable[[int, int], None] | None = None,
) -> list[float]:
    """Return the influence of each decoder layer, in [0, 2]; larger = changes the hidden states more.

    Parameters
    ----------
    model : PreTrainedModel
        Not changed.
    rows : sequence of torch.Tensor
        Calibration conversations as token ids, each (1, T) int64.
    device, dtype
        Where and in which number format the layers run; cosines are taken in float64.
    progress : callable, optional
        Called with (layers done, layers in all).

    Raises
    ------
    InputError
        When the model has no decoder layers or a layer gives non-finite numbers.
    """
    path, layers = decoder_layers(model)
    inputs = record_layer_inputs(model, rows)
    n_tokens = sum(row.shape[1] for row in rows)
    influence = []
    for index, layer in enumerate(layers):
        copied = working_copy(layer, device, dtype)
        total, outputs = 0.0, []
        for before, after in inputs.run_layer(copied, index, device, dtype):
            # In float64: 1 − cos of nearly parallel vectors would lose most of its digits in float32.
            total += float(nn.functional.cosine_similarity(before.double(), after.double(), dim=-1).sum())
            outputs.append(after.cpu())
        if math.isnan(total):
            raise InputError(f"decoder layer {path}.{index} gives NaN on the calibration rows; try --dtype float32")
        inputs.hidden = outputs
        influence.append(1.0 - total / n_tokens)
        if progress is not None:
            progress(index + 1, len(layers))
    return influence


def least_influential(influence: Sequence[float], n_blocks: int) -> list[int]:
    """Return the indices of the `n_blocks` layers with the lowest influence, ascending; ties go to the lower index.

    Raises
    ------
    UsageError
        Unless 1 ≤ `n_blocks` < number of layers.
    """
    if not 1 <= n_blocks < len(influence):
        raise UsageError(
            f"number of blocks {n_blocks} is not between 1 and {len(influence) - 1}: the model has "
            f"{len(influence)} decoder layers and at least one must remain"
        )
    return lowest(influence, n_blocks)


def remove_blocks(model: PreTrainedModel, removed: Collection[int]) -> None:
    """Remove the decoder layers with the indices `removed` from `model`, in place, configuration included.

    Raises
    ------
    InputError
        When the configuration cannot describe the shorter model.
    """
    path, layers = decoder_layers(model)
    kept = [index for index in range(len(layers)) if index not in removed]
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, nn.ModuleList(layers[index] for index in kept))
    # Layers address the key-value cache by `layer_idx`, so it must follow the new numbering.
    for new, old in enumerate(kept):
        for module in layers[old].modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = new  # type: ignore[assignment]
    _shorten(model.config.get_text_config(decoder=True), len(layers), kept)
    cannot = f"layers of a {model.config.model_type!r} model cannot be removed: "
    check_config(model, cannot + "its configuration rejects them", cannot + "their kinds depend on their number")


def _shorten(config: Any, n_layers: int, kept: Sequence[int]) -> None:
    """Rewrite the number of layers and every entry that holds one value per layer."""
    new_index = {old: new for new, old in enumerate(kept)}
    changes: dict[str, Any] = {}
    for key, value in vars(config).items():
        if not isinstance(value, list | tuple):
            continue
        if key in LAYER_INDEX_LISTS:
            changes[key] = [new_index[index] for index in value if index in new_index]
        elif len(value) == n_layers and ("layer" in key or "block" in key):
            changes[key] = [value[index] for index in kept]
    for key, value in {**changes, "num_hidden_layers": len(kept)}.items():
        setattr(config, key, value)
