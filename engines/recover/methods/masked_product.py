"""The masked and the scaled low-rank product of PERP (arXiv 2312.15230, §3.2), forward and backward.

Training multiplies by `effective_weight` and merging stores it: one formula, so that merging does not change the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

ProductKind = Literal["mask", "scale"]


def effective_weight(weight: Tensor, a: Tensor, b: Tensor, scale: float, kind: ProductKind) -> Tensor:
    """Return `weight` with a low-rank adapter applied; zeros stay zero.

    ``mask``: W + s · [W ≠ 0] ∘ (BA). ``scale``: W ∘ (BA), without s.

    Parameters
    ----------
    weight : Tensor of shape (out, in)
    a : Tensor of shape (rank, in)
    b : Tensor of shape (out, rank)
    scale : float
        s = alpha / rank, for ``mask``.
    kind : {"mask", "scale"}

    Returns
    -------
    Tensor of shape (out, in), in the number format of `weight`.
    """
    low_rank = b.to(weight.dtype) @ a.to(weight.dtype)
    if kind == "scale":
        return weight * low_rank
    return low_rank.mul_(scale).add_(weight).masked_fill_(weight == 0, 0)


class LowRankProduct(torch.autograd.Function):
    """y = x · effective_weightᵀ, keeping neither the effective weight nor the mask between forward and backward.

    With G = gᵀx, the gradient of the effective weight, and D = s · [W ≠ 0] ∘ G for ``mask``, D = W ∘ G for ``scale``:
    dB = D Aᵀ and dA = Bᵀ D. Automatic differentiation would keep two or three matrices of the weight's size for every
    layer until the backward pass; here they are freed after each layer.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scale: float, kind: ProductKind) -> Tensor:
        """Return y of shape (..., out) for x of shape (..., in)."""
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale, ctx.kind = scale, kind
        return functional.linear(x, effective_weight(weight, a, b, scale, kind))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, a and b; `weight` is frozen."""
        x, weight, a, b = ctx.saved_tensors
        gradient = gradients[0].to(weight.dtype)
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = gradient @ effective_weight(weight, a, b, ctx.scale, ctx.kind)
        full = gradient.reshape(-1, gradient.shape[-1]).T @ x.reshape(-1, x.shape[-1]).to(weight.dtype)
        # G becomes D in place: one matrix of the weight's size at a time.
        if ctx.kind == "scale":
            full.mul_(weight)
        else:
            full.masked_fill_(weight == 0, 0).mul_(ctx.scale)
        to_a = (b.to(full.dtype).T @ full).to(a.dtype)
        to_b = (full @ a.to(full.dtype).T).to(b.dtype)
        return to_x, None, to_a, to_b, None, None


class LowRankLinear(torch.nn.Module):
    """A frozen linear layer with a masked or scaled low-rank adapter.

    Parameters
    ----------
    base : Module
        ``nn.Linear``, or transformers' ``Conv1D``, which stores the transpose.
    transposed : bool
        Whether the weight is stored as (in, out).
    rank : int
        Rank of the adapter, ≥ 1.
    scale : float
        alpha / rank, for ``mask``.
    kind : {"mask", "scale"}
        ``mask`` starts as LoRA does, A random and B zero. ``scale`` starts at BA = 1 exactly: the first column of B
        and the first row of A are one, the other columns of B zero and the other rows of A random. The constant start
        of the paper's appendix, 1/√r everywhere, has equal gradients in every row and never leaves rank one.
    """

    def __init__(self, base: torch.nn.Module, transposed: bool, rank: int, scale: float, kind: ProductKind) -> None:
        super().__init__()
        self.base, self.transposed, self.scale, self.kind = base, transposed, scale, kind
        out, inputs = self.matrix.shape
        device = self.matrix.device
        self.a = torch.nn.Parameter(torch.empty(rank, inputs, device=device))
        self.b = torch.nn.Parameter(torch.zeros(out, rank, device=device))
        # As PEFT initialises LoRA.
        torch.nn.init.kaiming_uniform_(self.a, a=5**0.5)
        if kind == "scale":
            with torch.no_grad():
                self.a[0] = 1.0
                self.b[:, 0] = 1.0

    @property
    def matrix(self) -> Tensor:
        """The frozen weight as (out, in): a view."""
        weight: Tensor = self.base.weight.data  # type: ignore[assignment]
        return weight.T if self.transposed else weight

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output for x of shape (..., in)."""
        out: Tensor = LowRankProduct.apply(  # type: ignore[no-untyped-call]
            x.to(self.matrix.dtype), self.matrix, self.a, self.b, self.scale, self.kind
        )
        return out if self.base.bias is None else out + self.base.bias  # type: ignore[operator]

    @torch.no_grad()
    def merge(self) -> None:
        """Store the effective weight in the base layer."""
        self.matrix.copy_(effective_weight(self.matrix, self.a, self.b, self.scale, self.kind))
