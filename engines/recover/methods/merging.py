"""Merging: turns a trained model into an ordinary one with the source's dtype and zeros, and verifies it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from curate.engines.recover.methods.sparsity import NonzeroMasks, restore_nonzeros, verify_zeros
from curate.engines.recover.training.rows import make_batch
from curate.schemas.errors import GateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from curate.engines.recover.methods.attach import Adaptation
    from curate.engines.tokens.templates import Encoded

TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Largest difference of a logit, relative to the largest logit, that rounding the merged weights explains: some tens of
units in the last place, since errors add up over the layers."""


def merge(adaptation: Adaptation, masks: NonzeroMasks, stored: torch.dtype | None) -> None:
    """Merge the trained tensors into the model, round to the dtype `stored` if given, and check the zeros.

    Raises
    ------
    GateError
        When a zero was filled or a weight became zero.
    """
    adaptation.merge()
    model = adaptation.model
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        if stored is not None and parameter.is_floating_point():
            parameter.data = parameter.data.to(stored)
    # After rounding, which is what can turn a tiny weight into a zero.
    restore_nonzeros(model, masks)
    verify_zeros(model, masks)
    # Turned off for training; the configuration is written with the model, and generation needs the cache.
    model.config.use_cache = True


@torch.inference_mode()
def probe_logits(adapted: torch.nn.Module, rows: Sequence[Encoded]) -> list[Tensor]:
    """Return the logits of a few rows, each (T, V), float32, on the CPU."""
    training = adapted.training
    adapted.eval()
    device = next(adapted.parameters()).device
    logits = [adapted(make_batch([row], device).ids, use_cache=False).logits[0].float().cpu() for row in rows]
    adapted.train(training)
    return logits


def compare_logits(trained: Sequence[Tensor], merged: Sequence[Tensor], stored: torch.dtype) -> float:
    """Return the largest difference of two models' logits, relative to the largest logit.

    Raises
    ------
    GateError
        When it is more than rounding to `stored` explains: the merged model is not the trained one.
    """
    largest = max(float(one.abs().max()) for one in trained)
    difference = max(float((a - b).abs().max()) for a, b in zip(trained, merged, strict=True)) / max(largest, 1e-9)
    # Written so that NaN fails too.
    if not difference <= TOLERANCE.get(stored, 1e-1):
        raise GateError(
            f"the merged model differs from the trained one by {difference:.1%} of the largest logit, more than "
            f"rounding to {str(stored).removeprefix('torch.')} explains; use --no-merge and report this as a bug"
        )
    return difference
