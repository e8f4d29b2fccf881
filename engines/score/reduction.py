"""From hidden states to numbers: the output layers applied a chunk of tokens at a time, and what is kept of it.

At no time more than one chunk × V logits exist per model. Works on the flattened supervised tokens of several
examples, so padding and its side have been left behind. Knows nothing of batches of text and of how states were made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from curate.engines.score import signals
from curate.engines.score.top_k import Summary, divergence
from curate.engines.tokens.batching import whole_chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.engines.models.output_head import OutputHead
    from curate.engines.score.kernels import Kernel

Tensor = torch.Tensor

BACK = "back"
"""Name under which a chunk gives Wᵀ ∂L/∂(W h), (m, d), beside its signals."""


@dataclass(frozen=True, eq=False)
class States:
    """What one model knows of M supervised tokens: the states that predict them and the layer that reads them."""

    head: OutputHead
    hidden: Tensor
    """(M, d)."""

    def piece(self, start: int, stop: int) -> States:
        """Return the states of the tokens in [start, stop)."""
        return States(self.head, self.hidden[start:stop])


@dataclass(frozen=True, eq=False)
class ResponseSignals:
    """What was kept of all logits."""

    tokens: dict[str, NDArray[np.float64]]
    """Each (M,): ``nll_compressed``, ``entropy``, ``el2n``, ``alignment`` (a token's ⟨W, G⟩), and for a pair ``cds``
    and ``nll_original``."""
    gradient_squared: NDArray[np.float64]
    """(n_examples,), ‖G‖_F² of each example's mean loss."""
    state_gradient: Tensor | None = None
    """(M, d), gradient of each example's mean loss by its states, where it was asked for."""


def response_signals(
    own: States,
    targets: Tensor,
    lengths: Sequence[int],
    chunk_tokens: int,
    reference: States | Summary | None = None,
    kernel: Kernel = signals.token_signals,
    back: bool = False,
) -> ResponseSignals:
    """Return the signals of M tokens that belong to n examples of `lengths` tokens, in order.

    Parameters
    ----------
    own : States
        Of the model about to be trained.
    targets : Tensor of shape (M,), int64
        On the same device as `own`.
    lengths : sequence of int, each ≥ 1
    chunk_tokens : int
        Most tokens whose logits are held at once. A longer example is reduced in pieces, with a second pass over the
        vocabulary for its gradient norm.
    reference : States or Summary, optional
        Of the original model, on any device, a summary on that of `own`.
    kernel : callable
        `signals.token_signals` or its compiled form; see `kernels`.
    back : bool
        Whether to take the gradient on to the states, for the layers below.
    """
    ends = np.cumsum([0, *lengths])
    tokens: dict[str, list[Tensor]] = {}
    squared: list[Tensor] = []
    for first, last in whole_chunks(lengths, chunk_tokens):
        start, stop = int(ends[first]), int(ends[last])
        here = own.piece(start, stop)
        other = None if reference is None else reference.piece(start, stop)
        if stop - start <= chunk_tokens:
            found, gradient = _chunk(here, targets[start:stop], other, kernel, back)
            states = here.hidden.float()
            squared += [
                signals.gradient_norm_squared(g, h)
                for g, h in zip(gradient.split(lengths[first:last]), states.split(lengths[first:last]), strict=True)
            ]
        else:
            found, norm = _long(here, targets[start:stop], other, chunk_tokens, kernel, back)
            squared.append(norm)
        for name, values in found.items():
            tokens.setdefault(name, []).append(values)
    norms = torch.stack(squared).cpu().numpy() / np.square(np.asarray(lengths, dtype=np.float64))
    gradient_of_states = None
    if back:
        sizes = torch.tensor(lengths, device=targets.device)
        gradient_of_states = torch.cat(tokens.pop(BACK)) / sizes.repeat_interleave(sizes).unsqueeze(1)
    told = {name: torch.cat(parts).cpu().numpy().astype(float) for name, parts in tokens.items()}
    return ResponseSignals(told, norms, gradient_of_states)


def _chunk(
    own: States, targets: Tensor, reference: States | Summary | None, kernel: Kernel, back: bool
) -> tuple[dict[str, Tensor], Tensor]:
    """Return per-token signals, `BACK` among them if asked for, and ∂L/∂(W h), (m, V), of one chunk."""
    logits = own.head.logits(own.hidden)
    other = reference.head.logits(reference.hidden).to(logits.device) if isinstance(reference, States) else None
    step = max(1, signals.block_elements(logits.device) // own.head.vocabulary)
    blocks: list[dict[str, Tensor]] = []
    for start in range(0, len(targets), step):
        rows = slice(start, start + step)
        here = logits[rows]
        # A kernel may overwrite what it is given, and a soft cap's derivative still needs the logits.
        given = here if own.head.softcap is None else here.clone()
        found = kernel(given, targets[rows], None if other is None else other[rows])
        if isinstance(reference, Summary):
            known = reference.piece(start, start + step)
            told, _ = divergence(found.delta, found.nll, targets[rows], known)
            found = found._replace(divergence=told, nll_reference=known.nll)
        gradient = own.head.pull_back(found.delta, here)
        blocks.append(_named(found, own.head, own.hidden[rows], gradient))
        if gradient is not here:
            here.copy_(gradient)
    named = {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}
    if back:
        named[BACK] = logits.to(own.head.weight.dtype) @ own.head.weight
    return named, logits


def _named(found: signals.TokenSignals, head: OutputHead, hidden: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    # For a plain head ⟨W, G⟩ = δ·z = nll − entropy (METHODS §1), which costs nothing.
    alignment = found.nll - found.entropy if head.plain else head.alignment(hidden, gradient)
    named = {"nll_compressed": found.nll, "entropy": found.entropy, "el2n": found.el2n, "alignment": alignment}
    if found.divergence is not None and found.nll_reference is not None:
        named |= {"cds": found.divergence, "nll_original": found.nll_reference}
    return named


def _long(
    own: States, targets: Tensor, reference: States | Summary | None, chunk: int, kernel: Kernel, back: bool
) -> tuple[dict[str, Tensor], Tensor]:
    """Return per-token signals and T² ‖G‖² of one example that is longer than a chunk."""
    pieces, log_norms = [], []
    for start in range(0, len(targets), chunk):
        stop = min(start + chunk, len(targets))
        other = None if reference is None else reference.piece(start, stop)
        found, _ = _chunk(own.piece(start, stop), targets[start:stop], other, kernel, back)
        pieces.append(found)
        log_norms.append(torch.logsumexp(own.head.logits(own.hidden[start:stop]), dim=-1))
    step = max(1, chunk * own.head.vocabulary // len(targets))
    norm = signals.gradient_norm_squared_long(own.head, own.hidden, targets, torch.cat(log_norms), step)
    return {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}, norm
