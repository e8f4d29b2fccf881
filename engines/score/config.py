"""Settings of scoring: conversation template, lengths, batch sizes and which signals to compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from curate.engines.score.memory import CHUNK_TOKENS
from curate.engines.tokens.batching import default_batch_tokens
from curate.engines.tokens.templates import KINDS, TemplateKind
from curate.schemas.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from curate.engines.score.kernels import KernelKind

ALL_LAYERS_DIVISOR = 8
"""The default batch of ``layers = "all"`` is smaller by this factor: every layer keeps its activations for the backward
pass."""


@dataclass(frozen=True)
class ScoreConfig:
    """Settings of one scoring run; docs/methods.md has the formulas."""

    template: TemplateKind = "auto"
    """Conversation layout: the tokenizer's chat template, the plain layout, or whichever is available."""
    max_length: int = 512
    """Longest sequence in tokens, ≥ 2; capped by the models' context. The end is truncated."""
    probe_lr: float = 1e-4
    """η of don and nod, > 0; the learning rate planned for the recovery."""
    ifd: bool = False
    """Whether to compute ifd, which needs a second forward pass over the responses."""
    layers: Literal["output", "all"] = "output"
    """Layers that don and nod sum over: the output head, or the output head and every linear layer of the decoder,
    which needs a backward pass through the compressed model's activations."""
    batch_tokens: int | None = None
    """Tokens per batch, padding included; None takes the default, see `tokens_per_batch`."""
    chunk_tokens: int = CHUNK_TOKENS
    """Most supervised tokens whose logits are in memory at once, per model. A longer row needs a second pass."""
    teacher_top: int | None = None
    """For a cached original: number of most likely tokens to store per prediction, ≥ 1, which makes cds a lower bound
    (`top_k`). None stores the hidden states, which changes no result."""
    sketch: bool = False
    """Whether to return gradient sketches and mean states of the rows too (`sketch`)."""
    kernel: KernelKind = "auto"
    """Whether the arithmetic over the vocabulary is compiled (`kernels`); the manifest records the choice."""

    def __post_init__(self) -> None:
        if self.template not in KINDS:
            raise UsageError(f"template {self.template!r} is not known{did_you_mean(self.template, list(KINDS))}")
        if self.layers not in ("output", "all"):
            raise UsageError(f"layers {self.layers!r} is not known; known: output, all")
        if not 0 < self.probe_lr < float("inf"):
            raise UsageError(f"probe_lr {self.probe_lr} is not a positive number; give the recovery's learning rate")
        if self.sketch and self.layers != "output":
            raise UsageError("sketches are of the output layer's gradient; leave out --layers all, or --sketch")
        if self.sketch and self.teacher_top is not None:
            raise UsageError(
                "sketches need the original's whole predictions; leave out --sketch, or use --teacher-cache exact"
            )
        for name, value, least in (
            ("max_length", self.max_length, 2),
            ("batch_tokens", self.batch_tokens, 1),
            ("chunk_tokens", self.chunk_tokens, 1),
            ("teacher_top", self.teacher_top, 1),
        ):
            if value is not None and value < least:
                raise UsageError(f"{name} {value} is too small; give at least {least}")

    def tokens_per_batch(self, device_type: str) -> int:
        """Return the tokens per batch on a device: `batch_tokens`, or the default for the device and the layers."""
        divisor = ALL_LAYERS_DIVISOR if self.layers == "all" else 1
        return self.batch_tokens or default_batch_tokens(device_type) // divisor
