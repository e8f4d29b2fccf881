"""Reduces hidden states to signals: applies the output heads to a chunk of tokens at a time and keeps the results.

At most one chunk × V logits exist per model. Works on the flattened supervised tokens of several examples, where
padding no longer occurs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from curate.engines.score import signals
from curate.engines.score.sketch import sketch_errors, sketch_rows
from curate.engines.score.top_k import TopKPredictions, divergence
from curate.engines.tokens.batching import example_chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.engines.models.output_head import OutputHead
    from curate.engines.score.kernels import Kernel
    from curate.engines.score.sketch import SketchTables

Tensor = torch.Tensor

STATE_GRADIENT = "state_gradient"
"""Key of a chunk's Wᵀ ∂L/∂(W h), (m, d), among its signals."""
ERRORS = "errors"
"""Key of a chunk's `sketch.sketch_errors`, (m, 64), among its signals."""


@dataclass(frozen=True, eq=False)
class ResponseStates:
    """One model's predictions of M supervised tokens: its hidden states and the output head that reads them."""

    head: OutputHead
    hidden: Tensor
    """(M, d)."""

    def slice(self, start: int, stop: int) -> ResponseStates:
        """Return the states of the tokens in [start, stop)."""
        return ResponseStates(self.head, self.hidden[start:stop])

    def take(self, tokens: Tensor) -> ResponseStates:
        """Return the states of the given tokens, int64."""
        return ResponseStates(self.head, self.hidden[tokens])


@dataclass(frozen=True, eq=False)
class ResponseSignals:
    """Signals of M supervised tokens that belong to n examples."""

    tokens: dict[str, NDArray[np.float64]]
    """Each (M,): ``nll_compressed``, ``entropy``, ``el2n``, ``alignment`` (a token's ⟨W, G⟩), and for a pair ``cds``
    and ``nll_original``."""
    gradient_squared: NDArray[np.float64]
    """(n,), ‖G‖_F² of each example's mean loss."""
    state_gradient: Tensor | None = None
    """(M, d), gradient of each example's mean loss with respect to its states, if requested."""
    sketches: Tensor | None = None
    """(n, 4096), gradient sketches of the examples, if requested and there is a reference."""


def response_signals(
    own: ResponseStates,
    targets: Tensor,
    lengths: Sequence[int],
    chunk_tokens: int,
    reference: ResponseStates | TopKPredictions | None = None,
    kernel: Kernel = signals.token_signals,
    with_state_gradient: bool = False,
    tables: SketchTables | None = None,
) -> ResponseSignals:
    """Return the signals of M tokens that belong to n examples of `lengths` tokens, in order.

    Parameters
    ----------
    own : ResponseStates
        Of the model about to be trained.
    targets : Tensor of shape (M,), int64
        On the same device as `own`.
    lengths : sequence of int, each ≥ 1
    chunk_tokens : int
        Most tokens whose logits are in memory at once. A longer example is reduced in chunks, with a second pass over
        the vocabulary for its gradient norm.
    reference : ResponseStates or TopKPredictions, optional
        Of the original model; states on any device, top-k predictions on that of `own`.
    kernel : callable
        `signals.token_signals` or its compiled form; see `kernels`.
    with_state_gradient : bool
        Whether to continue the backward pass to the states, for the layers below.
    tables : SketchTables, optional
        For gradient sketches, which need states as the reference.
    """
    ends = np.cumsum([0, *lengths])
    tokens: dict[str, list[Tensor]] = {}
    squared: list[Tensor] = []
    for first, last in example_chunks(lengths, chunk_tokens):
        start, stop = int(ends[first]), int(ends[last])
        part = own.slice(start, stop)
        other = None if reference is None else reference.slice(start, stop)
        if stop - start <= chunk_tokens:
            values, gradient = _chunk(part, targets[start:stop], other, kernel, with_state_gradient, tables)
            states = part.hidden.float()
            squared += [
                signals.gradient_norm_squared(g, h)
                for g, h in zip(gradient.split(lengths[first:last]), states.split(lengths[first:last]), strict=True)
            ]
        else:
            call = (chunk_tokens, kernel, with_state_gradient, tables)
            values, norm = _long_example(part, targets[start:stop], other, *call)
            squared.append(norm)
        for name, column in values.items():
            tokens.setdefault(name, []).append(column)
    # δ is the gradient of a token's own loss; the mean over T tokens divides G by T and its squared norm by T².
    norms = torch.stack(squared).cpu().numpy() / np.square(np.asarray(lengths, dtype=np.float64))
    state_gradient = None
    if with_state_gradient:
        sizes = torch.tensor(lengths, device=targets.device)
        state_gradient = torch.cat(tokens.pop(STATE_GRADIENT)) / sizes.repeat_interleave(sizes).unsqueeze(1)
    sketches = None
    if tables is not None and ERRORS in tokens:
        sketches = sketch_rows(torch.cat(tokens.pop(ERRORS)), own.hidden, lengths, tables)
    columns = {name: torch.cat(parts).cpu().numpy().astype(float) for name, parts in tokens.items()}
    return ResponseSignals(columns, norms, state_gradient, sketches)


def _chunk(
    own: ResponseStates,
    targets: Tensor,
    reference: ResponseStates | TopKPredictions | None,
    kernel: Kernel,
    with_state_gradient: bool,
    tables: SketchTables | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the per-token signals and ∂L/∂(W h), (m, V), of one chunk; `STATE_GRADIENT` and `ERRORS` if requested."""
    logits = own.head.logits(own.hidden)
    other = None
    if isinstance(reference, ResponseStates):
        other = reference.head.logits(reference.hidden).to(logits.device)
    step = max(1, signals.block_elements(logits.device) // own.head.vocabulary)
    blocks: list[dict[str, Tensor]] = []
    for start in range(0, len(targets), step):
        rows = slice(start, start + step)
        block = logits[rows]
        # A kernel may overwrite its input, and the derivative of a soft cap still needs the logits.
        given = block if own.head.softcap is None else block.clone()
        result = kernel(given, targets[rows], None if other is None else other[rows])
        if isinstance(reference, TopKPredictions):
            top = reference.slice(start, start + step)
            lower_bound, _ = divergence(result.delta, result.nll, targets[rows], top)
            result = result._replace(divergence=lower_bound, nll_reference=top.nll)
        gradient = own.head.preactivation_gradient(result.delta, block)
        named = _named(result, own.head, own.hidden[rows], gradient)
        if tables is not None and other is not None:
            named[ERRORS] = sketch_errors(result.delta, targets[rows], other[rows], own.head, block, tables)
        blocks.append(named)
        # The gradients replace the logits in place: a second (m, V) tensor would double the peak.
        if gradient is not block:
            block.copy_(gradient)
    named = {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}
    if with_state_gradient:
        named[STATE_GRADIENT] = logits.to(own.head.weight.dtype) @ own.head.weight
    return named, logits


def _named(result: signals.TokenSignals, head: OutputHead, hidden: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    # For a plain head ⟨W, G⟩ = δ·z = nll − entropy (docs/methods.md, Signals), which needs no extra product.
    alignment = result.nll - result.entropy if head.plain else head.alignment(hidden, gradient)
    named = {"nll_compressed": result.nll, "entropy": result.entropy, "el2n": result.el2n, "alignment": alignment}
    if result.divergence is not None and result.nll_reference is not None:
        named |= {"cds": result.divergence, "nll_original": result.nll_reference}
    return named


def _long_example(
    own: ResponseStates,
    targets: Tensor,
    reference: ResponseStates | TopKPredictions | None,
    chunk: int,
    kernel: Kernel,
    with_state_gradient: bool,
    tables: SketchTables | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Return per-token signals and T² ‖G‖² of one example that is longer than a chunk."""
    pieces, log_norms = [], []
    for start in range(0, len(targets), chunk):
        stop = min(start + chunk, len(targets))
        other = None if reference is None else reference.slice(start, stop)
        values, _ = _chunk(own.slice(start, stop), targets[start:stop], other, kernel, with_state_gradient, tables)
        pieces.append(values)
        log_norms.append(torch.logsumexp(own.head.logits(own.hidden[start:stop]), dim=-1))
    # As many vocabulary entries as keep all T tokens within one chunk's number of logits.
    step = max(1, chunk * own.head.vocabulary // len(targets))
    norm = signals.gradient_norm_squared_long(own.head, own.hidden, targets, torch.cat(log_norms), step)
    return {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}, norm
