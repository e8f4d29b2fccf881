"""Detects how a model was compressed: zeros and their pattern, widths, removed layers, quantisation.

Works on the weights themselves, one tensor in memory at a time and without building the model, so that folders that no
class of transformers can load are covered too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from curate.engines.models.zero_patterns import SPARSE_FROM, MatrixStatistics, describe_matrix, pattern_of
from curate.engines.recover.methods.config_sizes import SmallerSize, layers_of, smaller_sizes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch

ROUNDED = "values on a grid"
"""What `Findings.dequantised` says of weights that are rounded by a quantiser nobody names."""

_LAYER = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Findings:
    """The detected compression. Several kinds can hold at once: a model can lose both layers and weights."""

    sparsity: float
    """Share of zeros in the decoder layers' matrices, in [0, 1]."""
    pattern: str | None
    """``"2:4"`` if every pruned matrix has that pattern along its inputs."""
    nonuniform: tuple[str, ...]
    """Matrices whose shape differs between layers, ``*`` for the layer; JSON key ``ragged``."""
    layers: int
    """Decoder layers in the weights."""
    layers_removed: int
    """Layers that are missing compared with the original, the configuration or the numbering."""
    quantisation: str | None
    """Method and bits, ``"gptq 4-bit"``."""
    adapter_base: str | None
    """Base model of the adapter that the folder holds."""
    dequantised: str | None = None
    """Quantised types of the GGUF file that the weights come from, or `ROUNDED` where their values show it; zeros are
    then rounding and no pruning."""

    smaller: tuple[SmallerSize, ...] = ()
    """Sizes that are smaller than the original's, where it is known."""

    @property
    def sparse(self) -> bool:
        """Whether there are zeros to preserve."""
        return self.sparsity >= SPARSE_FROM

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of compression, as the command line prints them; ``("dense",)`` if there is none."""
        kinds = [
            (self.adapter_base is not None, "adapter"),
            (self.quantisation is not None, "quantised"),
            (self.sparse and self.pattern is not None, "n:m"),
            (self.sparse and self.pattern is None, "unstructured"),
            (bool(self.nonuniform), "ragged"),
            (self.layers_removed > 0, "blocks-removed"),
            *((True, f"{size.name}-removed") for size in self.smaller),
        ]
        return tuple(kind for holds, kind in kinds if holds) or ("dense",)

    def to_json(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        # The key "ragged" is older than the field's name; manifests and scripts read it.
        values = {"ragged" if name == "nonuniform" else name: value for name, value in asdict(self).items()}
        if self.dequantised is None:
            del values["dequantised"]
        return {"kinds": list(self.kinds), **values, "ragged": list(self.nonuniform)}

    def sentence(self) -> str:
        """Return the findings as one line of text."""
        share = f"{100 * self.sparsity:.1f} % of the weights are zero"
        words = {
            "dense": "dense",
            "adapter": f"an adapter over {self.adapter_base}",
            "quantised": f"quantised ({self.quantisation})",
            "n:m": f"{self.pattern} sparse ({share})",
            "unstructured": f"unstructured sparse ({share})",
            "ragged": f"layers of different widths ({', '.join(self.nonuniform[:2])})",
            "blocks-removed": f"{self.layers_removed} of {self.layers + self.layers_removed} layers removed",
            **{f"{size.name}-removed": f"{size.now:,} of {size.before:,} {size.name}" for size in self.smaller},
        }
        return "; ".join(words[kind] for kind in self.kinds) + self._origin()

    def _origin(self) -> str:
        """Return what is known of the quantised model that the weights were."""
        if self.dequantised is None:
            return ""
        how = "" if self.dequantised == ROUNDED else f" from GGUF ({self.dequantised})"
        return f"; dequantised{how}, so that its zeros are rounding and no pruning pattern"


def detect(
    weights: Iterable[tuple[str, torch.Tensor]],
    config: Mapping[str, Any],
    *,
    original: Mapping[str, Any] | None = None,
    adapter_base: str | None = None,
) -> Findings:
    """Return how a model was compressed.

    Parameters
    ----------
    weights : iterable of (str, Tensor)
        Every named tensor of the model, in any order; tensors outside numbered layers are ignored.
    config : mapping
        The content of ``config.json``.
    original : mapping, optional
        The content of ``config.json`` of the model before compression. Needed to detect smaller sizes, and layers that
        were renumbered when it was saved.
    adapter_base : str, optional
        Base of the adapter, if the folder holds one; then `weights` are the base's.
    """
    matrices: list[MatrixStatistics] = []
    layers: set[int] = set()
    for name, tensor in weights:
        match = _LAYER.search(name)
        if match is None:
            continue
        layers.add(int(match[1]))
        if tensor.ndim >= 2 and tensor.is_floating_point():
            matrices.append(describe_matrix(name, int(match[1]), tensor))
    configured = layers_of(config)
    # The highest layer number reveals a gap even if the configuration was rewritten.
    expected = max([layers_of(original or {}) or 0, configured or 0, *(index + 1 for index in layers)])
    total = sum(matrix.weights for matrix in matrices)
    pruned = sum(matrix.zeros for matrix in matrices if not matrix.rounded)
    quantisation = quantisation_of(config)
    return Findings(
        sparsity=pruned / total if total and quantisation is None else 0.0,
        pattern=pattern_of(matrices),
        nonuniform=nonuniform_matrices(matrices),
        layers=len(layers),
        layers_removed=max(0, expected - len(layers)) if layers else 0,
        quantisation=quantisation,
        adapter_base=adapter_base,
        dequantised=ROUNDED if quantisation is None and any(matrix.rounded for matrix in matrices) else None,
        smaller=smaller_sizes(config, original or {}),
    )


def nonuniform_matrices(matrices: Iterable[MatrixStatistics]) -> tuple[str, ...]:
    """Return the matrices whose shape differs between layers, sorted, with ``*`` in place of the layer number."""
    shapes: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    for matrix in matrices:
        shapes[_LAYER.sub(".*.", matrix.name, count=1)].add(matrix.shape)
    return tuple(sorted(role for role, distinct in shapes.items() if len(distinct) > 1))


def quantisation_of(config: Mapping[str, Any]) -> str | None:
    """Return method and bits of a quantised model from its configuration, None for an ordinary model."""
    settings = config.get("quantization_config")
    if not settings:
        return None
    method = str(settings.get("quant_method", "unknown method"))
    bits = settings.get("bits")
    # bitsandbytes has two flags instead.
    if bits is None and "load_in_4bit" in settings:
        bits = 4 if settings["load_in_4bit"] else 8 if settings.get("load_in_8bit") else None
    if bits is None:
        # torchao, fp8 and others give the bits only as part of a type's name; activations may have bits of their own.
        named = str(settings).lower()
        digits = re.search(r"int(\d+)weight", named) or re.search(r"(?:fp|int)(\d+)", named)
        bits = int(digits[1]) if digits else None
    return f"{method} {bits}-bit" if bits is not None else method
