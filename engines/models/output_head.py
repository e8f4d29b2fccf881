"""The output head of a causal language model: hidden states to logits, and the backward pass through it.

Supports an untied, tied or biased linear layer, followed by a scale (Cohere, Granite) or a soft cap (Gemma 2). Anything
else is detected by comparison with the model's own logits and rejected.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Tensor = torch.Tensor

PROBE_TOKENS = 8
NORM_BLOCK_ROWS = 4096


@dataclass(frozen=True, eq=False)
class OutputHead:
    """z = cap · tanh(s (W h + c) / cap), without the cap z = s (W h + c)."""

    weight: Tensor
    """W, shape (V, d)."""
    bias: Tensor | None = None
    """c, shape (V,)."""
    scale: float = 1.0
    softcap: float | None = None

    @property
    def vocabulary(self) -> int:
        """Number of output ids V."""
        return self.weight.shape[0]

    @property
    def plain(self) -> bool:
        """Whether z = W h exactly, so that ⟨W, G⟩ follows from loss and entropy alone."""
        return self.bias is None and self.scale == 1.0 and self.softcap is None

    def rows(self, start: int, stop: int) -> OutputHead:
        """Return the head of the ids in [start, stop)."""
        return replace(self, weight=self.weight[start:stop], bias=None if self.bias is None else self.bias[start:stop])

    def logits(self, hidden: Tensor) -> Tensor:
        """Return z of shape (M, V), float32, for `hidden` of shape (M, d); the product uses the weights' dtype."""
        logits = functional.linear(hidden, self.weight, self.bias).float()
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits

    def preactivation_gradient(self, delta: Tensor, logits: Tensor) -> Tensor:
        """Return ∂L/∂(W h), shape (M, V), from δ = ∂L/∂z; it replaces δ for a scaled or capped head."""
        # d tanh(x / c) · c / dx = 1 − tanh²(x / c), and tanh(x / c) = z / c.
        if self.softcap is not None:
            delta = delta * (1.0 - (logits / self.softcap).square())
        return delta if self.scale == 1.0 else delta * self.scale

    def alignment(self, hidden: Tensor, gradient: Tensor) -> Tensor:
        """Return g_t · W h_t of each token, shape (M,), float32: a token's share of ⟨W, G⟩ for any head."""
        return (functional.linear(hidden, self.weight).float() * gradient).sum(-1)

    def squared_norm(self) -> float:
        """Return ‖W‖_F², accumulated in float64 over blocks of rows."""
        # On the CPU, because not every accelerator has float64.
        blocks = self.weight.detach().split(NORM_BLOCK_ROWS)
        return float(sum(block.to("cpu", torch.float64).square().sum().item() for block in blocks))


def output_head(model: PreTrainedModel) -> OutputHead:
    """Return the output head of `model`.

    Raises
    ------
    InputError
        If the model has no linear output head.
    """
    layer = model.get_output_embeddings()
    weight = getattr(layer, "weight", None)
    if weight is None or weight.dim() != 2 or not weight.is_floating_point():
        raise InputError(
            f"model class {type(model).__name__} has no ordinary linear output head, which scoring needs; "
            "give a causal language model whose output head is not quantised"
        )
    config = model.config.get_text_config()
    # Cohere multiplies by logit_scale, Granite divides by logits_scaling, Gemma 2 has the soft cap.
    scale = getattr(config, "logit_scale", None) or 1.0
    divisor = getattr(config, "logits_scaling", None) or 1.0
    cap = getattr(config, "final_logit_softcapping", None)
    bias = getattr(layer, "bias", None)
    return OutputHead(
        weight.detach(), None if bias is None else bias.detach(), float(scale) / float(divisor), cap and float(cap)
    )


def hidden_states(model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    """Return the final hidden states (B, T, d) after the final norm; the output head is not applied.

    Rows are padded on the right and no mask is passed. In a causal model (`verify_head` checks this) no token before
    the padding attends to it, positions count from 0, and attention without a mask is the fastest kind.
    """
    output = model.base_model(input_ids=input_ids, use_cache=False)
    return output.last_hidden_state  # type: ignore[no-any-return]


@torch.inference_mode()
def verify_head(model: PreTrainedModel, head: OutputHead) -> None:
    """Check on a few tokens that `head` reproduces the model's own logits, and that the model is causal.

    Raises
    ------
    InputError
        If the model computes its logits in another way, so that the exact gradient formulas would not hold, or if
        later tokens change the states of earlier ones.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    # Some quantised layers round activations depending on the rest of the batch.
    tight = head.weight.dtype == torch.float32 and not getattr(model, "is_quantized", False)
    tolerance = 1e-3 if tight else 5e-2
    ids = torch.arange(PROBE_TOKENS, device=head.weight.device).remainder(rows).unsqueeze(0)
    states = hidden_states(model, ids)
    if not _close(model(input_ids=ids, use_cache=False).logits[0], head.logits(states[0]), tolerance):
        raise InputError(
            f"model class {type(model).__name__} computes its logits in another way than by its output head, with "
            "an optional scale or soft cap, from the final hidden state; don, nod and cds cannot be computed for it"
        )
    # A causal model gives the same states for a prefix.
    half = PROBE_TOKENS // 2
    if not _close(states[:, :half], hidden_states(model, ids[:, :half]), tolerance):
        raise InputError(
            f"model class {type(model).__name__} lets earlier tokens attend to later ones; give a causal language model"
        )


def _close(expected: Tensor, actual: Tensor, tolerance: float) -> bool:
    """Return whether two results agree within `tolerance`, NaN with NaN: scoring names the rows that are not finite."""
    expected, actual = expected.float(), actual.float()
    largest = expected.abs().nan_to_num(0.0, 0.0).max().clamp_min(1.0).item()
    return expected.shape == actual.shape and torch.allclose(
        expected, actual, rtol=tolerance, atol=tolerance * largest, equal_nan=True
    )
