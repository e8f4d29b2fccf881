"""The settings of a compression, validated when they are created.

What depends on the model, such as the number of its layers, is checked once the model is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from curate.engines.compress.experts.removal import EXPERT_ORDERS, ExpertOrder
from curate.engines.compress.layer_orders import LAYER_ORDERS, LayerOrder
from curate.engines.compress.layer_path import parse_path
from curate.engines.compress.magnitude import Scope
from curate.engines.compress.masks import check_sparsity, parse_pattern
from curate.engines.compress.quantise import BITS
from curate.engines.compress.width.importance import ORDERS, Order, needs_activations
from curate.schemas.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from curate.engines.tokens.templates import TemplateKind

CompressionMethod = Literal["magnitude", "wanda", "blocks", "width", "sort", "truncate", "experts", "heads", "quantise"]
COMPRESSION_METHODS: tuple[CompressionMethod, ...] = get_args(CompressionMethod)


@dataclass(frozen=True, slots=True)
class CompressionRequest:
    """What is removed from a model, and how the removal is calibrated.

    Raises
    ------
    UsageError
        If the values contradict each other or one is out of range.
    """

    method: CompressionMethod
    sparsity: float | None = None
    """Share to remove, in (0, 1): of the weights for magnitude and wanda, unless `pattern` is given; of the channels of
    every MLP for width and truncate."""
    pattern: str | None = None
    """``"N:M"``: N of every M consecutive inputs of a row are kept; for magnitude and wanda."""
    scope: Scope | None = None
    """Magnitude with a sparsity only: ``"layer"`` (default), the same share of every projection, or ``"global"``, one
    ranking of all; see `curate.engines.compress.magnitude.prune_magnitude`."""
    n_blocks: int | None = None
    """Number of decoder layers to remove; for blocks."""
    by: LayerOrder = "influence"
    """Which layers go, for blocks; see `curate.engines.compress.layer_orders`."""
    path: str | None = None
    """The layers that stay, for blocks, instead of `n_blocks`: ``"0-7,9-29"``."""
    n_experts: int | None = None
    """Number of experts to remove from each layer, for experts, instead of the share `sparsity`."""
    experts_by: ExpertOrder = "usage"
    """Which experts go, for experts; see `curate.engines.diagnose.expert_usage`."""
    n_groups: int | None = None
    """Number of groups of attention heads to remove from each layer, for heads; a group is one key-value head
    and its query heads."""
    order: Order = "wanda"
    """Importance of MLP channels, for width and sort; see `curate.engines.compress.width.importance`."""
    multiple: int = 8
    """The number of channels kept is a multiple of it, for width and truncate; ≥ 1."""
    compensate: bool = False
    """Fit the weights out of the kept channels to the output of all, for width."""
    bits: int = BITS
    """Bits of a weight, for quantise; see `curate.engines.compress.quantise`."""
    calibration_rows: int = 128
    """Conversations that calibrating methods are calibrated on, drawn at random; ≥ 1."""
    max_length: int = 512
    """Longest calibration conversation in tokens, capped by the model's context."""
    template: TemplateKind = "auto"
    """Layout of the calibration conversations: ``"auto"``, ``"chat"`` or ``"plain"``."""
    seed: int = 0
    """Decides which conversations are drawn."""
    device: str = "auto"
    """Where the calibration runs."""
    dtype: str = "auto"
    """Number format of the calibration; the weights written keep the source's."""

    def __post_init__(self) -> None:
        """Reject values that are out of range or contradict each other."""
        if self.method not in COMPRESSION_METHODS:
            raise UsageError(f"method {self.method!r} is not known{did_you_mean(self.method, COMPRESSION_METHODS)}")
        for name, number in (("experts", self.n_experts), ("heads", self.n_groups)):
            if number is not None and self.method != name:
                raise UsageError(f"method {self.method!r} removes no {name} ({number}); use method {name!r}")
        if self.path is not None and self.method != "blocks":
            raise UsageError(f"method {self.method!r} takes no path of layers ({self.path!r}); use method 'blocks'")
        {
            "experts": self._check_experts,
            "heads": self._check_heads,
            "blocks": self._check_blocks,
            "magnitude": self._check_pruning,
            "wanda": self._check_pruning,
            "quantise": self._check_quantise,
        }.get(self.method, self._check_width)()
        if self.calibration_rows < 1:
            raise UsageError(f"calibration rows {self.calibration_rows} is not positive; give a number such as 128")

    @property
    def needs_calibration(self) -> bool:
        """Whether the method runs calibration rows through the model."""
        if self.method in ("width", "sort"):
            return self.compensate or needs_activations(self.order)
        return self.method in ("wanda", "experts", "heads") or (self.method == "blocks" and self.path is None)

    def _check_blocks(self) -> None:
        for name, value in (("sparsity", self.sparsity), ("pattern", self.pattern), ("scope", self.scope)):
            if value is not None:
                raise UsageError(f"method 'blocks' takes no {name} ({value!r}); give the number of blocks to remove")
        if self.path is not None:
            if self.n_blocks is not None:
                raise UsageError(
                    f"path {self.path!r} and a number of blocks ({self.n_blocks}) both say what to remove; give one"
                )
            if self.by != "influence":
                raise UsageError(f"path {self.path!r} says which layers go, not {self.by!r}; leave one of them out")
            parse_path(self.path)
        elif self.n_blocks is None or self.n_blocks < 1:
            raise UsageError(f"number of blocks {self.n_blocks} is not positive; give how many layers to remove")
        if self.by not in LAYER_ORDERS:
            raise UsageError(f"layers by {self.by!r} is not known{did_you_mean(self.by, LAYER_ORDERS)}")

    def _check_heads(self) -> None:
        for name, value in (("sparsity", self.sparsity), ("pattern", self.pattern), ("scope", self.scope)):
            if value is not None:
                raise UsageError(f"method 'heads' takes no {name} ({value!r}); give the number of groups to remove")
        if self.n_groups is None or self.n_groups < 1:
            raise UsageError(
                f"number of groups {self.n_groups} is not positive; give how many groups of heads to remove"
            )

    def _check_pruning(self) -> None:
        if self.n_blocks is not None:
            raise UsageError(f"method {self.method!r} removes no blocks ({self.n_blocks}); use method 'blocks'")
        if (self.sparsity is None) == (self.pattern is None):
            raise UsageError(f"method {self.method!r} needs a sparsity such as 0.5, or a pattern such as 2:4, not both")
        if self.scope is not None and (self.method != "magnitude" or self.pattern is not None):
            raise UsageError(f"scope {self.scope!r} applies to magnitude pruning with a sparsity only; leave it out")
        if self.scope is not None and self.scope not in get_args(Scope):
            raise UsageError(f"scope {self.scope!r} is not known{did_you_mean(self.scope, get_args(Scope))}")
        if self.sparsity is not None:
            check_sparsity(self.sparsity)
        if self.pattern is not None:
            parse_pattern(self.pattern)

    def _check_width(self) -> None:
        for name, value in (("pattern", self.pattern), ("scope", self.scope), ("number of blocks", self.n_blocks)):
            if value is not None:
                raise UsageError(f"method {self.method!r} takes no {name} ({value!r}); give the share of the channels")
        if self.order not in ORDERS:
            raise UsageError(f"order {self.order!r} is not known{did_you_mean(self.order, ORDERS)}")
        if self.multiple < 1:
            raise UsageError(f"multiple {self.multiple} is not positive; give a number such as 8")
        if self.compensate and self.method != "width":
            raise UsageError(
                f"method {self.method!r} cannot compensate, which depends on how many channels are kept; use width"
            )
        if self.method == "sort":
            if self.sparsity is not None:
                raise UsageError(f"method 'sort' removes nothing ({self.sparsity:g}); truncate the sorted model")
        elif self.sparsity is None:
            raise UsageError(f"method {self.method!r} needs the share of the channels to remove, such as 0.25")
        else:
            check_sparsity(self.sparsity)

    def _check_quantise(self) -> None:
        removals = {"sparsity": self.sparsity, "pattern": self.pattern, "scope": self.scope, "blocks": self.n_blocks}
        for name, value in removals.items():
            if value is not None:
                raise UsageError(f"method 'quantise' takes no {name} ({value!r}), as it removes nothing; leave it out")
        if self.bits != BITS:
            raise UsageError(f"method 'quantise' cannot store weights in {self.bits} bits; give {BITS}")

    def _check_experts(self) -> None:
        if (self.sparsity is None) == (self.n_experts is None):
            raise UsageError(
                "method 'experts' needs the number of experts to remove, such as 2, or a share such as 0.25"
            )
        if self.n_experts is not None and self.n_experts < 1:
            raise UsageError(f"number of experts {self.n_experts} is not positive; give how many to remove")
        if self.sparsity is not None:
            check_sparsity(self.sparsity)
        if self.experts_by not in EXPERT_ORDERS:
            raise UsageError(
                f"experts by {self.experts_by!r} is not known{did_you_mean(self.experts_by, EXPERT_ORDERS)}"
            )
