"""Training settings of a recovery, with defaults and validation.

A plain dataclass without heavy imports: it is sent as JSON to processes that have torch and little else, and the
command line takes its defaults from here.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from curate.schemas.errors import UsageError, did_you_mean
from curate.schemas.layer_choice import ALL, LAYERS_PATTERN
from curate.schemas.learning_rates import BY_WIDTH, default_rate

RecoveryMethod = Literal["lora", "mask_lora", "scale_lora", "perp", "full"]
RECOVERY_METHODS: tuple[RecoveryMethod, ...] = get_args(RecoveryMethod)
AUTO = "auto"

PERP_PARTS = ("biases", "norms", "head")
SCHEDULES = ("cosine", "linear")
SAVE_DTYPES = ("auto", "float32", "bfloat16", "float16")

TEACHER_WEIGHT = 1.0
"""Weight of the divergence from the original wherever it is known and nothing else was said: the default recipe
(docs/decisions/0019). The original's whole predictions are kept, unless ``--teacher-cache`` says otherwise."""
NAMED_TEACHER_WEIGHT = 0.5
"""Weight where ``--teacher original`` is given without one, as before there was a default: such recoveries keep their
ids."""

STEPS, STEP_ROWS = 100, (8, 64)
"""Steps that a recovery has by default, if the rows of one are between these two; 64 are the published recipe's."""
RATES_BY_WIDTH = "rates_by_width"
"""Key of the JSON values where the rate is the present default: another artefact than with the default before."""


@dataclass(frozen=True, slots=True)
class RecoveryRequest:
    """Training settings of a recovery (docs/recovery.md), validated on creation; errors are `UsageError`.

    The defaults are the published LLM-Pruner recipe, but for the loss and the learning rate.
    """

    method: str = AUTO
    """``auto`` (by the compression), ``lora``, ``mask_lora``, ``scale_lora``, ``perp`` or ``full``."""
    learning_rate: float | None = None
    """Peak learning rate, > 0; None for that of the method and the model's width, `default_rate`."""
    epochs: float = 2.0
    """Passes over the rows, > 0 (≥ 0 with `reconstruct`); a fraction stops within a pass."""
    batch: int | None = None
    """Rows of one optimiser step, ≥ 1, in as many forward passes as needed; None for `step_rows`."""
    schedule: str = "cosine"
    """Decay of the learning rate to zero after the warm-up: ``cosine`` or ``linear``."""
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises, in [0, 1)."""
    rank: int = 8
    """Rank of the low-rank methods, ≥ 1."""
    alpha: float = 16.0
    """Scale of lora and mask_lora is alpha / rank, > 0."""
    dropout: float = 0.05
    """Dropout of lora, in [0, 1); the masked methods have none, as the merged weights could not reproduce it."""
    parts: tuple[str, ...] = PERP_PARTS
    """Parameters that perp trains, any of ``biases``, ``norms``, ``head``."""
    merge: bool = True
    """Whether to write a merged model instead of the adapter alone."""
    save_dtype: str = "auto"
    """Number format of the merged weights: ``auto`` as the source's, ``float32``, ``bfloat16`` or ``float16``."""
    reconstruct: bool = False
    """Whether each layer is first fitted to the original's output; with 0 epochs there is no other training."""
    teacher_weight: float = 0.0
    """Weight w of the divergence from the original, in [0, 1]: the loss is (1 − w) · cross-entropy + w · KL."""
    teacher_top: int | None = None
    """Likeliest tokens kept of each prediction of the original, ≥ 1, which makes KL a lower bound; None keeps all."""
    token_share: float = 1.0
    """Share of a step's tokens that is trained on, those furthest from the original, in (0, 1]."""
    prompts: bool = False
    """Whether the tokens of system and user turns and of the layout are trained on, too; perplexities never count
    them."""
    reweigh_steps: int | None = None
    """Steps between two updates of the weights of groups of rows, ≥ 1; None keeps all weights alike."""
    layers: str = ALL
    """Decoder layers to train: ``all``, numbers such as ``3,5-9``, or ``auto:N``, the N furthest from the original."""
    elastic: tuple[float, ...] = ()
    """Shares of the channels of a sorted model that one of is drawn for every step, in (0, 1], 1 among them; none for
    the whole width only."""
    max_length: int = 512
    """Longest conversation in tokens, ≥ 2, capped by the model's context; the same as in scoring."""
    template: str = "auto"
    """Layout of a conversation: ``auto``, ``chat`` or ``plain``; the same as in scoring."""
    seed: int = 0
    """Seed of the adapter's initialisation, the order of rows and dropout."""
    device: str = "auto"
    dtype: str = "auto"
    """Number format of matrix products and frozen weights; ``auto`` is bfloat16 for a model stored in bfloat16 and not
    on a CPU, float32 otherwise. Trained parameters are always float32."""
    batch_tokens: int | None = None
    """Tokens of one forward pass, including padding; None for 16,384, and on a CPU for as many as
    `curate.engines.recover.training.memory` finds the activations of to fit, at most 4,096."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of storing them: less memory, about a third more time."""
    checkpoint_steps: int = 50
    """Steps between two checkpoints, ≥ 1."""
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        known = [AUTO, *RECOVERY_METHODS]
        if self.method not in known:
            raise UsageError(f"recovery method {self.method!r} is not known{did_you_mean(self.method, known)}")
        if self.schedule not in SCHEDULES:
            raise UsageError(f"schedule {self.schedule!r} is not known{did_you_mean(self.schedule, SCHEDULES)}")
        for part in self.parts:
            if part not in PERP_PARTS:
                raise UsageError(f"perp part {part!r} is not known{did_you_mean(part, PERP_PARTS)}")
        if not self.parts:
            raise UsageError(f"perp has nothing to train; give any of {', '.join(PERP_PARTS)}")
        if self.save_dtype not in SAVE_DTYPES:
            hint = did_you_mean(self.save_dtype, SAVE_DTYPES)
            raise UsageError(f"save dtype {self.save_dtype!r} is not known{hint}")
        if self.reconstruct and not self.merge:
            raise UsageError(
                "reconstruction changes the model's own weights, which an adapter alone does not hold; keep merge on"
            )
        if not 0 <= self.teacher_weight <= 1:
            raise UsageError(f"teacher_weight {self.teacher_weight} is not in [0, 1]; give a share such as 0.5")
        if not 0 < self.token_share <= 1:
            raise UsageError(f"token_share {self.token_share} is not in (0, 1]; give a share such as 0.4")
        if self.token_share < 1 and self.reweigh_steps is not None:
            raise UsageError("groups are weighed by the loss of all their tokens; leave out --tokens top, or --reweigh")
        if self.prompts and self.reweigh_steps is not None:
            raise UsageError(
                "groups are weighed by the loss of their responses; leave out --train-on-prompts, or --reweigh"
            )
        if not re.match(LAYERS_PATTERN, self.layers):
            raise UsageError(f"layers {self.layers!r} are neither all, numbers nor auto:N; give 3,5-9 or auto:4")
        if self.reconstruct and self.layers != ALL:
            raise UsageError("reconstruction fits every layer; leave out --layers, or --reconstruct")
        if self.elastic and (not all(0 < share <= 1 for share in self.elastic) or 1 not in self.elastic):
            shares = ",".join(f"{share:g}" for share in self.elastic)
            raise UsageError(
                f"elastic {shares} are not shares in (0, 1] with 1 among them; give 1,0.85,0.7 for example"
            )
        # 0 epochs are valid with a reconstruction only.
        epochs = 1.0 if self.reconstruct and self.epochs == 0 else self.epochs
        for name, value in (("learning_rate", self.learning_rate), ("epochs", epochs), ("alpha", self.alpha)):
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name} {value} is not a positive number; give more than 0")
        for name, count, least in (
            ("batch", self.batch, 1),
            ("rank", self.rank, 1),
            ("teacher_top", self.teacher_top, 1),
            ("reweigh_steps", self.reweigh_steps, 1),
            ("max_length", self.max_length, 2),
            ("batch_tokens", self.batch_tokens, 1),
            ("checkpoint_steps", self.checkpoint_steps, 1),
        ):
            if count is not None and count < least:
                raise UsageError(f"{name} {count} is too small; give at least {least}")
        for name, share in (("warmup", self.warmup), ("dropout", self.dropout)):
            if not 0 <= share < 1:
                raise UsageError(f"{name} {share} is not in [0, 1); give a share such as 0.05")

    @property
    def taught(self) -> bool:
        """Whether the loss contains the original's predictions."""
        return self.teacher_weight > 0 and self.epochs > 0

    @property
    def asks_original(self) -> bool:
        """Whether the training reads the original's predictions: for its loss, or to choose tokens."""
        return self.taught or (self.token_share < 1 and self.epochs > 0)

    @property
    def loss(self) -> str:
        """The loss of the training, in words."""
        divergence = "divergence from the original's predictions (KL)"
        prompts = ", prompts included" if self.prompts else ""
        if not self.taught:
            return f"cross-entropy of the answers{prompts}"
        if self.teacher_weight == 1:
            return divergence + prompts
        return f"{1 - self.teacher_weight:g} × cross-entropy + {self.teacher_weight:g} × {divergence}{prompts}"

    def step_rows(self, rows: int) -> int:
        """Return the rows of one step, given those of the selection.

        By default so many that there are `STEPS` steps, within `STEP_ROWS`: a small selection with 64 rows a step would
        be trained on for a handful of steps.
        """
        if self.batch is not None:
            return self.batch
        least, most = STEP_ROWS
        return min(most, max(least, round(rows * self.epochs / STEPS)))

    def peak(self, method: str, width: int) -> float:
        """Return the peak learning rate of `method` on a model of hidden size `width`."""
        return self.learning_rate if self.learning_rate is not None else default_rate(method, width)

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON values."""
        values = {**asdict(self), "parts": list(self.parts), "elastic": list(self.elastic)}
        # Added later than the other settings: artefacts from before keep their ids.
        for name, default in (
            ("teacher_top", None),
            ("token_share", 1.0),
            ("prompts", False),
            ("reweigh_steps", None),
            ("save_dtype", "auto"),
            ("layers", ALL),
            ("elastic", []),
        ):
            if values[name] == default:
                del values[name]
        if self.learning_rate is None and self.method in (AUTO, *BY_WIDTH):
            values[RATES_BY_WIDTH] = True
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RecoveryRequest:
        """Return the request from the values of `to_json`."""
        lists = {name: tuple(values.get(name, ())) for name in ("parts", "elastic")}
        return cls(**{name: value for name, value in (values | lists).items() if name != RATES_BY_WIDTH})
