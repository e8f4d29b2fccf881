"""Settings of a recovery, the section ``recover`` of ``curate.toml``."""

from __future__ import annotations

from typing import Any, Literal

from curate.schemas.defaults import TRAINING_BATCH_TOKENS, by_device, default_of
from curate.schemas.fields import MANY, Section, setting
from curate.schemas.layer_choice import LAYERS_PATTERN
from curate.schemas.recovery import NAMED_TEACHER_WEIGHT, TEACHER_WEIGHT, RecoveryRequest


def _recovery(name: str, about: str, *flags: str, **how: Any) -> Any:
    """Return a setting with the default of `RecoveryRequest`."""
    return setting(default_of(RecoveryRequest, name), about, *flags, **how)


def _recovery_or_none(name: str, about: str, *flags: str, **how: Any) -> Any:
    """Return a setting that is None by default, so that `RecoveryRequest` or the demo's recipe decides."""
    return setting(None, about, *flags, shown=default_of(RecoveryRequest, name), **how)


class RecoverSettings(Section):
    """Settings of a recovery (docs/recovery.md).

    Template, length, number format and device are those of ``score``.
    """

    method: str = _recovery("method", "auto, lora, mask_lora, scale_lora, perp or full.", "--method", "-m")
    learning_rate: float | None = setting(None, "Peak learning rate.", shown="by method and width of the model", gt=0)
    epochs: float | None = _recovery_or_none("epochs", "Passes over the rows.", ge=0)
    batch: int | None = setting(
        None, "Rows of one optimizer step.", shown="as many that there are 100 steps, 8 to 64", ge=1, le=MANY
    )
    schedule: str = _recovery("schedule", "cosine or linear.")
    warmup: float = _recovery("warmup", "Share of the steps over which the learning rate rises.", ge=0, lt=1)
    rank: int = _recovery("rank", "Rank of the low-rank methods.", ge=1, le=65_536)
    alpha: float = _recovery("alpha", "Scale of lora and mask_lora times the rank.", gt=0)
    dropout: float = _recovery("dropout", "Dropout of lora.", ge=0, lt=1)
    parts: tuple[str, ...] = _recovery("parts", "Parameters that perp trains: biases, norms, head.", syntax="commas")
    merge: bool = _recovery("merge", "Write the adapter alone instead of a merged model.", "--no-merge", syntax="off")
    save_dtype: str = _recovery(
        "save_dtype", "Number format of the merged weights: auto (the source's), float32, bfloat16 or float16."
    )
    reconstruct: bool = _recovery(
        "reconstruct", "First fit each layer to the original's output; with --epochs 0 do nothing else."
    )
    teacher: Literal["none", "original"] | None = setting(
        None, "original: learn its predictions of the response; none: the given answers only.",
        shown="original where it is known",
    )  # fmt: skip
    teacher_weight: float | None = setting(
        None, "Share of the teacher's divergence in the loss; the rest is cross-entropy of the given answers.",
        shown=f"{TEACHER_WEIGHT:g}, or {NAMED_TEACHER_WEIGHT:g} with --teacher original", gt=0, le=1,
    )  # fmt: skip
    tokens: str = setting(
        "all",
        "Tokens of a step to train on: all, or top=0.4, the share furthest from the original.",
        pattern=r"^(all|top=(1|1\.0|0?\.[0-9]*[1-9][0-9]*))$",
    )
    prompts: bool = setting(
        False, "Also train on the tokens of system and user turns and of the layout.", "--train-on-prompts"
    )
    reweigh: int | None = setting(
        None, "Steps between updates of the weights of clusters or groups, by their distance from the original.",
        shown="never", ge=1, le=MANY,
    )  # fmt: skip
    layers: str = _recovery(
        "layers", "Decoder layers to train: all, numbers as 3,5-9, or auto:4, those furthest from the original.",
        pattern=LAYERS_PATTERN,
    )  # fmt: skip
    elastic: tuple[float, ...] = setting(
        (), "Shares of the channels that a sorted model is trained for, as in 1,0.85,0.7; each step draws one.",
        shown="1", syntax="commas",
    )  # fmt: skip
    batch_tokens: int | None = setting(
        None, "Tokens of one forward pass; fewer for a model of many layers on a CPU.",
        shown=by_device(TRAINING_BATCH_TOKENS), ge=1, le=MANY,
    )  # fmt: skip
    processes: int | None = setting(
        None, "Processes that share every step.", shown="one per CUDA device, or one on a CPU", ge=1, le=1024
    )
    gradient_checkpointing: bool = _recovery("gradient_checkpointing", "Less memory, about a third more time.")
    checkpoint_steps: int = _recovery("checkpoint_steps", "Steps between two checkpoints.", ge=1, le=MANY)
    targets: str | None = setting(
        None, "Train on answers that curate sample accepted: its id, the beginning of it, or latest.", shown="none"
    )
    keep_reference: Literal["on-miss", "never", "always"] = setting(
        "on-miss", "The corpus's answer: for rows without a target (on-miss), never, or beside the target (always)."
    )
    heldout: str | None = setting(
        None, "File of rows whose perplexity is measured before and after.", shown="rows that were not selected"
    )
