"""How a compressed model is trained: the request of a recovery, with its defaults.

A plain dataclass without heavy imports: it travels as JSON to a machine that has torch and little else, and the command
line takes its defaults from here.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from curate.schemas.errors import UsageError, did_you_mean

RecoveryMethod = Literal["lora", "mask_lora", "scale_lora", "perp", "full"]
RECOVERY_METHODS: tuple[RecoveryMethod, ...] = get_args(RecoveryMethod)
AUTO = "auto"

PERP_PARTS = ("biases", "norms", "head")
SCHEDULES = ("cosine", "linear")

LEARNING_RATES: dict[str, float] = {"lora": 1e-4, "mask_lora": 1e-4, "scale_lora": 1e-4, "perp": 1e-4, "full": 2e-5}
"""Peak learning rates where none is given: the published LoRA recipe; a smaller one where every weight moves."""


@dataclass(frozen=True, slots=True)
class RecoveryRequest:
    """How a model is trained back; METHODS §5. Checked when made; errors are `UsageError`.

    The defaults are the published LLM-Pruner recipe, for models of a billion parameters and more.
    """

    method: str = AUTO
    """``auto`` (by what was done to the model), ``lora``, ``mask_lora``, ``scale_lora``, ``perp`` or ``full``."""
    learning_rate: float | None = None
    """Peak, > 0; None takes the method's own."""
    epochs: float = 2.0
    """Passes over the rows, > 0 (≥ 0 with `reconstruct`); a fraction stops in mid-pass."""
    batch: int = 64
    """Rows of one optimiser step, ≥ 1, however many forward passes they take."""
    schedule: str = "cosine"
    """How the learning rate falls to zero after the warm-up: ``cosine`` or ``linear``."""
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises, in [0, 1)."""
    rank: int = 8
    """Rank of the low-rank methods, ≥ 1."""
    alpha: float = 16.0
    """Scale of lora and mask_lora is alpha / rank, > 0."""
    dropout: float = 0.05
    """Of lora only, in [0, 1): a masked product cannot drop inputs and stay what is merged."""
    parts: tuple[str, ...] = PERP_PARTS
    """What perp trains, any of ``biases``, ``norms``, ``head``."""
    merge: bool = True
    """Whether to write a merged model; without, the adapter alone."""
    reconstruct: bool = False
    """Whether each layer first learns the original's output; with 0 epochs that is all that is done."""
    teacher_weight: float = 0.0
    """Weight w of the divergence from the original, in [0, 1]: the loss is (1 − w) · cross-entropy + w · KL."""
    teacher_top: int | None = None
    """How many likeliest tokens of each of its predictions are kept, ≥ 1, which makes KL a lower bound; None keeps all
    that it says."""
    max_length: int = 512
    """Longest conversation in tokens, ≥ 2, capped by the model's context; the same as in scoring."""
    template: str = "auto"
    """Layout of a conversation: ``auto``, ``chat`` or ``plain``; the same as in scoring."""
    seed: int = 0
    """Of the adapter's start, the order of the rows, and dropout."""
    device: str = "auto"
    dtype: str = "auto"
    """Number format of the products and of frozen weights; ``auto`` is bfloat16 for a model stored so that is not on a
    CPU, float32 otherwise. What is trained is always float32."""
    batch_tokens: int | None = None
    """Tokens of one forward pass, padding counted; None takes 4,096 on a CPU and 16,384 elsewhere."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, about a third more time."""
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
            raise UsageError(f"perp was given nothing to train; give any of {', '.join(PERP_PARTS)}")
        if self.reconstruct and not self.merge:
            raise UsageError(
                "reconstruction changes the model's own weights, which an adapter alone does not hold; merge"
            )
        if not 0 <= self.teacher_weight <= 1:
            raise UsageError(f"teacher_weight {self.teacher_weight} is not in [0, 1]; give a share such as 0.5")
        epochs = 1.0 if self.reconstruct and self.epochs == 0 else self.epochs
        for name, value in (("learning_rate", self.learning_rate), ("epochs", epochs), ("alpha", self.alpha)):
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name} {value} is not a positive number; give more than 0")
        for name, count, least in (
            ("batch", self.batch, 1),
            ("rank", self.rank, 1),
            ("teacher_top", self.teacher_top, 1),
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
        """Whether the model learns from the original's predictions."""
        return self.teacher_weight > 0 and self.epochs > 0

    def peak(self, method: str) -> float:
        """Return the peak learning rate of `method`."""
        return self.learning_rate if self.learning_rate is not None else LEARNING_RATES[method]

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON values."""
        values = {**asdict(self), "parts": list(self.parts)}
        if self.teacher_top is None:
            # It came later than the others, and what was made before keeps its id.
            del values["teacher_top"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RecoveryRequest:
        """Return the request that `to_json` gave."""
        return cls(**{**values, "parts": tuple(values["parts"])})
