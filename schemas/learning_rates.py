"""Default peak learning rates of the recovery methods."""

from __future__ import annotations

LEARNING_RATES: dict[str, float] = {"scale_lora": 1e-4, "perp": 1e-4}
"""Rates that do not depend on the model: PERP's."""
FULL_SHARE = 0.1
"""Rate of training all weights over that of LoRA, of the same source as `lora_rate`."""
UNKNOWN_WIDTH = 1e-4
"""LLM-Pruner's rate of LoRA, for models of billions of parameters."""
BY_WIDTH = ("lora", "mask_lora", "full")
"""Methods whose rate follows the width: `lora_rate`, or `FULL_SHARE` of it if all weights are trained."""


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
    if method not in BY_WIDTH:
        return LEARNING_RATES[method]
    of_lora = lora_rate(width) if width else UNKNOWN_WIDTH
    return float(f"{FULL_SHARE * of_lora:.1e}") if method == "full" else of_lora
