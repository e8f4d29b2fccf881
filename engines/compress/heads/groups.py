"""Groups of attention heads: which rows of which matrices make a group, and how to keep some of them.

A group is one key-value head and the query heads that read it: with h query and k key-value heads, group g holds the
query heads g·h/k … (g + 1)·h/k − 1. Its rows of the query, key and value projections and its columns of the output
projection go together. Rotary tables, the scale of the logits and norms within a head depend on the width of a head
only, which stays.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from curate.engines.compress.rebuild import REJECTIONS, reason, reread
from curate.engines.compress.slices import take
from curate.engines.models.projections import Projection, decoder_layers, find_projections
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PretrainedConfig, PreTrainedModel

SEPARATE = ("q_proj", "k_proj", "v_proj")
FUSED = ("qkv_proj",)
"""Names of the projections into the heads: one each, or all rows of the queries, then of the keys, then the values."""

OUTPUTS = ("o_proj", "dense", "out_proj")
"""Names of the projection out of the heads."""


@dataclass(frozen=True, slots=True)
class HeadGroups:
    """The attention of one decoder layer."""

    layer: int
    into: tuple[Projection, ...]
    """Projections into the heads: three, or one that holds all three."""
    out: Projection
    norms: tuple[tuple[nn.Module, int], ...]
    """Norms with a weight for each head, shape (heads, width), and how many of these heads a group has."""
    count: int
    """Number of groups."""
    queries: int
    """Query heads of a group."""
    width: int
    """Outputs of a head."""

    def keep(self, groups: torch.Tensor) -> None:
        """Keep the groups `groups`, int64, in that order; all others are removed."""
        sections = [_rows(groups, heads * self.width) for heads in (self.queries, 1, 1)]
        if len(self.into) == 1:
            queries, keys = self.count * self.queries * self.width, self.count * self.width
            starts = (0, queries, queries + keys)
            sections = [torch.cat([rows + start for rows, start in zip(sections, starts, strict=True)])]
        for projection, rows in zip(self.into, sections, strict=True):
            take(projection.module, rows, of="outputs")
        take(self.out.module, _rows(groups, self.queries * self.width), of="inputs")
        for norm, n in self.norms:
            weight = norm.get_parameter("weight").data
            norm.weight = nn.Parameter(weight.index_select(0, _rows(groups, n)), requires_grad=False)


def head_groups(model: PreTrainedModel) -> list[HeadGroups]:
    """Return the groups of heads of every decoder layer.

    Raises
    ------
    InputError
        If the attention of a layer has an unknown layout, or a norm that spans several heads.
    """
    by_layer: dict[int, list[Projection]] = {}
    for projection in find_projections(model):
        by_layer.setdefault(projection.layer, []).append(projection)
    config = model.config.get_text_config(decoder=True)
    # Layers that read the keys of another layer would read those of other groups.
    shares = bool(getattr(config, "num_kv_shared_layers", 0))
    layers = range(len(decoder_layers(model)[1]))
    per_layer = [None if shares else _groups(model, config, by_layer.get(layer, [])) for layer in layers]
    if None in per_layer:
        raise InputError(
            f"the attention of layer {per_layer.index(None)} of a {model.config.model_type!r} model has a layout that "
            "--method heads does not know; use --method width, blocks or wanda"
        )
    return [groups for groups in per_layer if groups is not None]


def write_heads(model: PreTrainedModel, before: HeadGroups, kept: int) -> None:
    """Write the numbers of heads into the configuration, with the width of a head, which would follow from them."""
    numbers = _write(model.config, before, kept)
    for module in decoder_layers(model)[1].modules():
        # Some classes read the configuration in every pass, some keep copies of the numbers.
        for name, value in {**numbers, "num_heads": kept * before.queries}.items():
            if hasattr(module, name):
                setattr(module, name, value)


def possible_removals(model: PreTrainedModel, before: HeadGroups) -> tuple[list[int], str]:
    """Return the numbers of groups that can be removed, ascending, and why one of the others cannot; empty if all can.

    Some configurations accept only numbers of heads that divide the hidden size, though the class needs no such thing.
    """
    possible, why = [], ""
    for removed in range(1, before.count):
        config = copy.deepcopy(model.config)
        _write(config, before, before.count - removed)
        try:
            reread(config)
        except REJECTIONS as error:
            why = why or reason(error)
        else:
            possible.append(removed)
    return possible, why


def _write(config: PretrainedConfig, before: HeadGroups, kept: int) -> dict[str, int]:
    # Without head_dim a head would be hidden_size / num_attention_heads wide, now a larger number.
    numbers = {"num_attention_heads": kept * before.queries, "num_key_value_heads": kept, "head_dim": before.width}
    for key, value in numbers.items():
        setattr(config.get_text_config(decoder=True), key, value)
    return numbers


def _groups(model: PreTrainedModel, config: Any, projections: Sequence[Projection]) -> HeadGroups | None:
    """Return the groups of one layer from its projections; None if the layout is unknown."""
    heads = getattr(config, "num_attention_heads", None)
    count = getattr(config, "num_key_value_heads", None) or heads
    if not isinstance(heads, int) or not isinstance(count, int) or heads % count:
        return None
    ends = _ends(projections)
    if ends is None:
        return None
    into, out = ends
    width, rest = divmod(out.matrix.shape[1], heads)
    rows = [heads * width, count * width, count * width]
    if rest or [p.matrix.shape[0] for p in into] != (rows if len(into) == 3 else [sum(rows)]):
        return None
    attention = model.get_submodule(out.name.rpartition(".")[0])
    norms = _norms(attention, [*into, out], heads=heads, count=count, width=width)
    return None if norms is None else HeadGroups(out.layer, into, out, norms, count, heads // count, width)


def _ends(projections: Sequence[Projection]) -> tuple[tuple[Projection, ...], Projection] | None:
    """Return the projections into and out of the heads; None if no layout fits, or one fits twice."""
    for names in (SEPARATE, FUSED):
        into = [p for name in names for p in projections if p.name.rpartition(".")[2] == name]
        parents = {p.name.rpartition(".")[0] for p in into}
        out = [
            p for p in projections if tuple(p.name.rpartition(".")[::2]) in {(m, n) for m in parents for n in OUTPUTS}
        ]
        if len(into) == len(names) and len(parents) == 1 and len(out) == 1:
            return tuple(into), out[0]
    return None


def _norms(
    attention: nn.Module, projections: Sequence[Projection], *, heads: int, count: int, width: int
) -> tuple[tuple[nn.Module, int], ...] | None:
    """Return the norms with a weight for each head; None if the attention has other parameters that span heads."""
    known = {id(parameter) for projection in projections for parameter in projection.module.parameters()}
    norms = []
    for name, module in attention.named_modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) in known or (parameter.shape == (width,) and "norm" in name):
                continue
            side = {"q": heads, "k": count}.get(name.rpartition(".")[2][:1])
            if side is None or parameter.shape != (side, width):
                return None
            norms.append((module, side // count))
    return tuple(norms)


def _rows(groups: torch.Tensor, size: int) -> torch.Tensor:
    """Return the indices of the rows of `groups` where each group has `size` consecutive rows."""
    return (groups[:, None] * size + torch.arange(size, device=groups.device)).flatten()
