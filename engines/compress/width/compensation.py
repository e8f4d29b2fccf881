"""Least-squares compensation: the weights out of the kept channels take over what the removed ones added.

With kept set S and λ, W_d' = argmin_W E‖W_d a − W a_S‖² + λ‖W − W_d[:, S]‖², whose solution is
W_d'ᵀ = (C_SS + λI)⁻¹ (C_S: W_dᵀ + λ W_d[:, S]ᵀ). λ keeps the weights near their old values where C says little.
"""

from __future__ import annotations

import torch

from curate.schemas.errors import GateError

TOKENS_PER_CHANNEL = 10
"""Fewest calibration tokens per kept channel; with fewer, the fit follows the calibration rows and hurts elsewhere."""

RIDGE = 0.1
"""λ as a share of C's mean diagonal."""


def check_tokens(tokens: int, kept: int) -> None:
    """Raise GateError unless there are enough calibration tokens for the kept channels of a layer."""
    needed = TOKENS_PER_CHANNEL * kept
    if tokens < needed:
        raise GateError(
            f"--compensate fits {kept:,} channels a layer to {tokens:,} calibration tokens and needs {needed:,} or it "
            "makes the model worse; give more --calibration-rows or a larger --corpus, or leave it out"
        )


def compensated(outgoing: torch.Tensor, second: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Return the new weights out of the kept channels, shape (outputs, kept), float64.

    Parameters
    ----------
    outgoing : Tensor
        W_d, shape (outputs, channels).
    second : Tensor
        C, shape (channels, channels), float64.
    kept : Tensor
        Indices of the kept channels, int64.
    """
    weights = outgoing.to(second)
    ridge = RIDGE * second.diagonal().mean().clamp(min=torch.finfo(torch.float64).tiny)
    regular = second[kept][:, kept] + ridge * torch.eye(len(kept), dtype=second.dtype, device=second.device)
    target = second[kept] @ weights.T + ridge * weights[:, kept].T
    return torch.cholesky_solve(target, torch.linalg.cholesky(regular)).T
