"""Sums a loss of hidden states over chunks of tokens, of whose logits one chunk is in memory at a time.

The gradient of a chunk is computed right after its loss, in the forward pass. So no logits are kept for the backward
pass and none are computed twice: recomputing them there (`torch.utils.checkpoint`) costs a third product with the
output head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from curate.schemas.defaults import CHUNK_LOGITS, OTHER_DEVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    ChunkLoss = Callable[[Tensor, int, int], Tensor]
    """From the states of the tokens in [start, stop), start and stop to the sum of their loss, float32."""


def sum_over_chunks(loss: ChunkLoss, states: Tensor, vocabulary: int, parameters: Sequence[Tensor]) -> Tensor:
    """Return the sum of `loss` over all chunks, differentiable once in `states` and `parameters`.

    Parameters
    ----------
    loss : callable
    states : Tensor of shape (M, d)
    vocabulary : int
        Logits of one token.
    parameters : sequence of Tensor
        Other tensors that the loss depends on and that need a gradient: those of the output head, if it is trained.
    """
    limit = CHUNK_LOGITS.get(states.device.type, CHUNK_LOGITS[OTHER_DEVICES])
    starts = range(0, len(states), max(1, limit // vocabulary))
    if torch.is_grad_enabled() and (states.requires_grad or parameters):
        total: Tensor = _ChunkedLoss.apply(loss, starts, states, *parameters)  # type: ignore[no-untyped-call]
        return total
    return torch.stack([loss(states[a : a + starts.step], a, a + starts.step) for a in starts]).sum()


class _ChunkedLoss(torch.autograd.Function):
    """The sum over chunks, with its gradients computed in the forward pass."""

    @staticmethod
    def forward(ctx: Any, loss: ChunkLoss, starts: range, states: Tensor, *parameters: Tensor) -> Tensor:
        """Return the sum, float32, and keep its gradients, which are as large as `states` and `parameters`."""
        to_states = torch.empty_like(states)
        gradients = [torch.zeros_like(one) for one in parameters]
        total = torch.zeros((), device=states.device)
        for start in starts:
            stop = start + starts.step
            with torch.enable_grad():
                part = states[start:stop].detach().requires_grad_()
                value = loss(part, start, stop)
            to_part, *to_parameters = torch.autograd.grad(value, (part, *parameters))
            to_states[start:stop] = to_part
            for kept, one in zip(gradients, to_parameters, strict=True):
                kept += one
            total += value.detach()
        ctx.save_for_backward(to_states, *gradients)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the kept gradients times that of the sum."""
        return (None, None, *(one * gradients[0] for one in ctx.saved_tensors))
