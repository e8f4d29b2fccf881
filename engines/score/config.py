"""How a model pair is scored: template, lengths, batches and which signals. Knows nothing of models and rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from curate.engines.score.memory import CHUNK_TOKENS
from curate.engines.tokens.templates import KINDS, TemplateKind
from curate.schemas.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from curate.engines.score.kernels import KernelKind


@dataclass(frozen=True)
class ScoreConfig:
    """What is computed and how; see METHODS §1."""

    template: TemplateKind = "auto"
    """Layout of a conversation: the tokenizer's chat template, the plain one, or whichever there is."""
    max_length: int = 512
    """Longest sequence in tokens, ≥ 2; capped by the models' context. The end is cut off."""
    probe_lr: float = 1e-4
    """η of don and nod, > 0; the learning rate of the recovery to come."""
    ifd: bool = False
    """Whether to compute ifd, which costs a second pass over the responses."""
    ifd_ratio: Literal["perplexity", "loss"] = "perplexity"
    """Ratio of perplexities (Superfiltering) or of losses."""
    layers: Literal["output", "all"] = "output"
    """Layers that don and nod are summed over: the output layer, or it and every linear layer of the decoder, which
    costs a backward pass through the activations of the compressed model."""
    batch_tokens: int | None = None
    """Tokens per batch, padding counted; None takes 4,096 on a CPU and 32,768 elsewhere, an eighth of it for all
    layers, whose activations have to wait for the way back."""
    chunk_tokens: int = CHUNK_TOKENS
    """Most supervised tokens whose logits are held at a time, per model. A longer row takes a second pass."""
    teacher_top: int | None = None
    """Where the original is kept rather than loaded: its likeliest tokens to keep of each prediction, ≥ 1, which makes
    cds a lower bound (`summary`); None keeps the states, which changes no number."""
    kernel: KernelKind = "auto"
    """Whether the arithmetic over the vocabulary is compiled (`kernels`); which it was stands in the manifest."""

    def __post_init__(self) -> None:
        if self.template not in KINDS:
            raise UsageError(f"template {self.template!r} is not known{did_you_mean(self.template, list(KINDS))}")
        if self.ifd_ratio not in ("perplexity", "loss"):
            raise UsageError(f"ifd_ratio {self.ifd_ratio!r} is not known; known: perplexity, loss")
        if self.layers not in ("output", "all"):
            raise UsageError(f"layers {self.layers!r} is not known; known: output, all")
        if not 0 < self.probe_lr < float("inf"):
            raise UsageError(f"probe_lr {self.probe_lr} is not a positive number; give the recovery's learning rate")
        for name, value, least in (
            ("max_length", self.max_length, 2),
            ("batch_tokens", self.batch_tokens, 1),
            ("chunk_tokens", self.chunk_tokens, 1),
            ("teacher_top", self.teacher_top, 1),
        ):
            if value is not None and value < least:
                raise UsageError(f"{name} {value} is too small; give at least {least}")
