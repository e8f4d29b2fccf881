"""Importance of MLP channels: five orders, from the channels' activations and weights.

With C = Σ_t a_t a_tᵀ over all calibration tokens, larger = kept longer:
``wanda`` √C_jj · ‖W_d[:, j]‖, the norm of what channel j adds to the output (a structured form of Wanda, arXiv
2306.11695); ``energy`` √C_jj; ``magnitude`` √(‖W_g[j]‖² + ‖W_u[j]‖² + ‖W_d[:, j]‖²); ``ridge`` the ridge leverage
1 − λ[(C + λI)⁻¹]_jj; ``random`` a draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch

from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from curate.engines.compress.width.channels import Channels

Order = Literal["wanda", "energy", "magnitude", "ridge", "random"]
ORDERS: tuple[Order, ...] = get_args(Order)

RIDGE = 1e-4
"""λ of the leverage as a share of C's mean diagonal: an absolute λ would depend on the scale of the activations."""


def needs_activations(order: Order) -> bool:
    """Return whether an order needs calibration rows."""
    return order not in ("magnitude", "random")


def importance(order: Order, channels: Channels, second: torch.Tensor | None, seed: int) -> torch.Tensor:
    """Return the importance of every channel of a layer, shape (channels,), float64, ≥ 0; larger is kept longer.

    Parameters
    ----------
    order : str
    channels : Channels
    second : Tensor or None
        C, shape (channels, channels), float64, or its diagonal, shape (channels,), where that is enough.
    seed : int
        Of ``random``.

    Raises
    ------
    InputError
        If the activations hold NaN or infinite values.
    """
    if order == "random":
        draw = torch.Generator().manual_seed(seed * 65_537 + channels.layer)
        return torch.rand(channels.count, generator=draw, dtype=torch.float64)
    outgoing = channels.out.matrix.double().square().sum(0)
    if order == "magnitude":
        return (channels.into_rows().double().square().sum(1) + outgoing).sqrt()
    assert second is not None
    energy = second if second.ndim == 1 else second.diagonal()
    if not bool(torch.isfinite(energy).all()):
        raise InputError(
            f"the calibration gives layer {channels.layer} activations that are NaN or infinite; try --dtype float32"
        )
    if order == "ridge":
        return _leverage(second)
    return (energy * (outgoing.to(energy.device) if order == "wanda" else 1.0)).sqrt()


def _leverage(second: torch.Tensor) -> torch.Tensor:
    """Return 1 − λ[(C + λI)⁻¹]_jj.

    The form C(C + λI)⁻¹ would lose every digit: with λ far below the eigenvalues all leverages are close to 1.
    """
    ridge = RIDGE * second.diagonal().mean().clamp(min=torch.finfo(torch.float64).tiny)
    regular = second + ridge * torch.eye(len(second), dtype=torch.float64, device=second.device)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(regular))
    return (1.0 - ridge * inverse.diagonal()).clamp(min=0.0)


def by_importance(scores: torch.Tensor) -> torch.Tensor:
    """Return the channels from the most to the least important, int64; ties go to the lower index."""
    return torch.argsort(scores, descending=True, stable=True)
