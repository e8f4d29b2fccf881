"""Default peak learning rates of the recovery methods."""

from __future__ import annotations

LEARNING_RATES: dict[str, float] = {"scale_lora": 1e-4, "perp": 1e-4, "full": 2e-5}
"""Rates that do not depend on the model: PERP's, and a smaller one if all weights are trained."""
UNKNOWN_WIDTH = 1e-4
"""LLM-Pruner's rate, for models of billions of parameters."""
BY_WIDTH = ("lora", "mask_lora")
"""Methods whose rate is `lora_rate`; both add B·A of the same shape and scale."""


def lora_rate(width: int) -> float:
    """Return the default peak rate of LoRA for a model of hidden size `width`, 5e-4 · (2000 / width)^0.781.

    Two significant digits: 1.3e-3 at 576, 2.9e-4 at 4,096. Narrow models need higher rates than the 1e-4 that recipes
    for models of billions have (docs/decisions/0025).

    Parameters
    ----------
    width : int
        Hidden size, > 0.

    References
    ----------
    Schulman et al., LoRA Without Regret, 2025: a fit of the best rate over 14 Llama and Qwen models.
    """
    return float(f"{5e-4 * (2000 / width) ** 0.781:.1e}")


def default_rate(method: str, width: int) -> float:
    """Return the default peak rate of `method` on a model of hidden size `width`, 0 where it is unknown."""
    if method in BY_WIDTH:
        return lora_rate(width) if width else UNKNOWN_WIDTH
    return LEARNING_RATES[method]
