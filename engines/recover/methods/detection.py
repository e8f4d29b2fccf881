"""What was done to a model: zeros and their pattern, ragged widths, missing layers, quantisation, an adapter.

Detected from the weights, never declared, one tensor in memory at a time and without building the model, so that a
folder that no stock class can load is recognised too. Knows nothing of training.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch

SPARSE_FROM = 0.01
"""Share of zeros from which a matrix counts as pruned: rounding to 16 bits leaves far fewer by chance."""

GROUPS = (2, 4, 8, 16, 32)
"""Group sizes M that an N:M pattern is looked for in."""

PATTERN_SLACK = 0.02
"""How far the share of zeros may lie from 1 − N/M: at high sparsity some N:M bounds hold by chance, but loosely."""

_LAYER = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Matrix:
    """One weight matrix of a decoder layer."""

    name: str
    layer: int
    shape: tuple[int, ...]
    zeros: int
    most: tuple[tuple[int, ...], tuple[int, ...]]
    """Most non-zero weights in any group of each size of `GROUPS`, along the last axis and along the one before; the
    group size itself where the axis is not divisible by it."""

    @property
    def weights(self) -> int:
        """Number of weights."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def sparsity(self) -> float:
        """Share of zeros, in [0, 1]."""
        return self.zeros / max(1, self.weights)


@dataclass(frozen=True, slots=True)
class Findings:
    """What was detected. Several may hold at once: a model can lose layers and weights."""

    sparsity: float
    """Share of zeros in the decoder layers' matrices, in [0, 1]."""
    pattern: str | None
    """``"2:4"`` where every pruned matrix keeps that pattern along its inputs."""
    ragged: tuple[str, ...]
    """Matrices whose shape differs between layers, ``*`` for the layer."""
    layers: int
    """Decoder layers that the weights hold."""
    layers_removed: int
    """Layers that the original, the configuration or a gap in the numbering says there were, and are not."""
    quantisation: str | None
    """Method and bits, ``"gptq 4-bit"``."""
    adapter_base: str | None
    """Base model of the adapter that the folder holds."""

    @property
    def sparse(self) -> bool:
        """Whether there are zeros to keep."""
        return self.sparsity >= SPARSE_FROM

    @property
    def kinds(self) -> tuple[str, ...]:
        """What was done, in the words of the command line; ``("dense",)`` where nothing was."""
        found = [
            (self.adapter_base is not None, "adapter"),
            (self.quantisation is not None, "quantised"),
            (self.sparse and self.pattern is not None, "n:m"),
            (self.sparse and self.pattern is None, "unstructured"),
            (bool(self.ragged), "ragged"),
            (self.layers_removed > 0, "blocks-removed"),
        ]
        return tuple(kind for holds, kind in found if holds) or ("dense",)

    def to_json(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        return {"kinds": list(self.kinds), **asdict(self), "ragged": list(self.ragged)}

    def sentence(self) -> str:
        """Return the findings in words."""
        share = f"{100 * self.sparsity:.1f} % of the weights are zero"
        words = {
            "dense": "dense",
            "adapter": f"an adapter over {self.adapter_base}",
            "quantised": f"quantised ({self.quantisation})",
            "n:m": f"{self.pattern} sparse ({share})",
            "unstructured": f"unstructured sparse ({share})",
            "ragged": f"layers of different widths ({', '.join(self.ragged[:2])})",
            "blocks-removed": f"{self.layers_removed} of {self.layers + self.layers_removed} layers removed",
        }
        return "; ".join(words[kind] for kind in self.kinds)


def detect(
    weights: Iterable[tuple[str, torch.Tensor]],
    config: Mapping[str, Any],
    *,
    original_layers: int | None = None,
    adapter_base: str | None = None,
) -> Findings:
    """Return what was done to a model.

    Parameters
    ----------
    weights : iterable of (str, Tensor)
        Every named tensor of the model, in any order; what belongs to no numbered layer is passed over.
    config : mapping
        The content of ``config.json``.
    original_layers : int, optional
        Decoder layers of the model before compression. A folder saved with fewer layers throughout cannot tell.
    adapter_base : str, optional
        Base of the adapter, where the folder holds one; then `weights` are the base's.
    """
    matrices: list[Matrix] = []
    layers: set[int] = set()
    for name, tensor in weights:
        match = _LAYER.search(name)
        if match is None:
            continue
        layers.add(int(match[1]))
        if tensor.ndim >= 2 and tensor.is_floating_point():
            matrices.append(describe_matrix(name, int(match[1]), tensor))
    told = layers_of(config)
    expected = max([original_layers or 0, told or 0, *(index + 1 for index in layers)])
    total = sum(matrix.weights for matrix in matrices)
    quantisation = quantisation_of(config)
    return Findings(
        sparsity=sum(matrix.zeros for matrix in matrices) / total if total and quantisation is None else 0.0,
        pattern=pattern_of(matrices),
        ragged=ragged_roles(matrices),
        layers=len(layers),
        layers_removed=max(0, expected - len(layers)) if layers else 0,
        quantisation=quantisation,
        adapter_base=adapter_base,
    )


def describe_matrix(name: str, layer: int, tensor: torch.Tensor) -> Matrix:
    """Return what `detect` needs to know of one matrix."""
    full = tensor != 0
    zeros = full.numel() - int(full.count_nonzero())
    axes = (full, full.transpose(-1, -2)) if zeros >= SPARSE_FROM * full.numel() else ()
    most = tuple(tuple(_most(axis, group) for group in GROUPS) for axis in axes)
    return Matrix(name, layer, tuple(tensor.shape), zeros, most if len(most) == 2 else (GROUPS, GROUPS))


def _most(full: torch.Tensor, group: int) -> int:
    """Return the most non-zero entries that `group` consecutive ones along the last axis hold."""
    if full.shape[-1] % group:
        return group
    return int(full.reshape(-1, group).sum(1).max())


def pattern_of(matrices: Iterable[Matrix]) -> str | None:
    """Return the tightest ``N:M`` that every pruned matrix keeps along one axis, None where there is none.

    Linear layers have their inputs on the last axis; GPT-2's have them on the first.
    """
    pruned = [matrix for matrix in matrices if matrix.sparsity >= SPARSE_FROM]
    if not pruned:
        return None
    sparsity = sum(matrix.zeros for matrix in pruned) / sum(matrix.weights for matrix in pruned)
    for axis in (0, 1):
        bounds = [(max(m.most[axis][i] for m in pruned) / group, group) for i, group in enumerate(GROUPS)]
        density, group = min(bounds)
        if density < 1 and abs(sparsity - (1 - density)) <= PATTERN_SLACK:
            return f"{round(density * group)}:{group}"
    return None


def ragged_roles(matrices: Iterable[Matrix]) -> tuple[str, ...]:
    """Return the matrices whose shape differs between layers, sorted, ``*`` in place of the layer's number."""
    shapes: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    for matrix in matrices:
        shapes[_LAYER.sub(".*.", matrix.name, count=1)].add(matrix.shape)
    return tuple(sorted(role for role, found in shapes.items() if len(found) > 1))


def quantisation_of(config: Mapping[str, Any]) -> str | None:
    """Return method and bits of a quantised model as its configuration states them, None for an ordinary one."""
    stated = config.get("quantization_config")
    if not stated:
        return None
    method = str(stated.get("quant_method", "unknown method"))
    bits = stated.get("bits")
    if bits is None and "load_in_4bit" in stated:
        bits = 4 if stated["load_in_4bit"] else 8 if stated.get("load_in_8bit") else None
    if bits is None:
        digits = re.search(r"(?:fp|int|uint)(\d+)", str(stated))
        bits = int(digits[1]) if digits else None
    return f"{method} {bits}-bit" if bits is not None else method


def layers_of(config: Mapping[str, Any]) -> int | None:
    """Return the number of decoder layers that a configuration states, None where it states none."""
    for section in (config, config.get("text_config") or {}):
        for key in ("num_hidden_layers", "n_layer", "num_layers"):
            if isinstance(section.get(key), int):
                return int(section[key])
    return None
