"""Divergence of a model from its original on given rows: KL(original ‖ model) of every supervised token, in nats.

Exact over the whole vocabulary; the logits of one chunk of tokens per model are in memory. No threshold hides a change,
so it separates models that score the same on every item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from curate.engines.evaluate.teacher_forcing import CHUNK_TOKENS, TeacherForcingResult
from curate.engines.models.output_head import hidden_states
from curate.engines.score import signals
from curate.engines.score.memory import concurrent_batches
from curate.engines.score.reduction import ResponseStates
from curate.engines.score.response_states import of_responses, response_tokens
from curate.engines.tokens.batching import BatchRunner, pad_right

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from curate.engines.evaluate.subject import Subject
    from curate.engines.tokens.templates import Encoded


@dataclass(frozen=True, slots=True)
class PairResult:
    """What a model and its original say about the same rows; rows without a supervised token have 0 everywhere."""

    forced: TeacherForcingResult
    """Of the model."""
    divergence: NDArray[np.float64]
    """Sum over the supervised tokens of KL(original ‖ model), nats, shape (n,), >= 0; smaller = closer."""


def score_pair(subject: Subject, original: Subject, rows: Sequence[Encoded], batch_tokens: int) -> PairResult:
    """Return the divergence of the model from the original on every row, and the model's own likelihoods.

    Parameters
    ----------
    subject, original : Subject
        With the same token ids; the same object for the original itself, whose divergence is 0.
    rows : sequence of Encoded
        Each at most as long as the shorter context.
    batch_tokens : int
        Tokens per forward pass, padding included.

    Raises
    ------
    CurateError
        If a single row does not fit into the device's memory.
    """
    n = len(rows)
    forced = TeacherForcingResult(np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64))
    out = PairResult(forced, np.zeros(n))

    @torch.inference_mode()
    def work(batch: list[int]) -> None:
        encoded = [rows[index] for index in batch]
        own = _states(subject, encoded)
        reference = own if original is subject else _states(original, encoded)
        divergence, nll, correct = token_divergences(own, reference, response_tokens(encoded).to(own.hidden.device))
        lengths = np.array([row.n_response for row in encoded])
        owner = np.repeat(np.arange(len(batch)), lengths)
        # Assigned by row number: batches finish in any order and on several threads.
        out.divergence[batch] = np.bincount(owner, weights=divergence, minlength=len(batch))
        forced.nll[batch] = np.bincount(owner, weights=nll, minlength=len(batch))
        forced.correct[batch] = np.bincount(owner, weights=correct, minlength=len(batch)).astype(np.int64)
        forced.tokens[batch] = lengths

    threads, device_type = torch.get_num_threads(), subject.model.device.type
    workers = concurrent_batches(device_type, threads, CHUNK_TOKENS, subject.head.vocabulary)
    usable = [index for index, row in enumerate(rows) if row.n_response]
    BatchRunner(batch_tokens, workers).run([len(row.ids) for row in rows], usable, work)
    return out


def _states(subject: Subject, rows: Sequence[Encoded]) -> ResponseStates:
    ids = pad_right([row.ids for row in rows]).to(subject.model.device)
    return ResponseStates(subject.head, of_responses(hidden_states(subject.model, ids), rows))


def token_divergences(
    own: ResponseStates, reference: ResponseStates, targets: Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return KL(reference ‖ own), −log p of the target and whether it is the most likely token, each (M,) float64.

    Parameters
    ----------
    own, reference : ResponseStates
        Of the same M tokens; the model's and the original's.
    targets : Tensor of shape (M,), int64
        On the device of `own`.
    """
    columns: list[list[Tensor]] = [[], [], []]
    # The output head reads its weights once for a chunk; the arithmetic after it runs in blocks that a cache holds.
    step = max(1, signals.block_elements(targets.device) // own.head.vocabulary)
    for start in range(0, len(targets), CHUNK_TOKENS):
        part, other = (states.slice(start, start + CHUNK_TOKENS) for states in (own, reference))
        logits = part.head.logits(part.hidden)
        given = logits if own is reference else other.head.logits(other.hidden).to(logits.device)
        target = targets[start : start + CHUNK_TOKENS]
        for first in range(0, len(target), step):
            block = slice(first, first + step)
            q, p = (signals.distribution(values[block], target[block]) for values in (logits, given))
            # Rounding can leave a sum of about −1e-7.
            columns[0].append((p.p * (p.log_p - q.log_p)).sum(-1).clamp_min(0.0))
            columns[1].append(q.nll)
            columns[2].append(q.log_p.argmax(-1) == target[block])
    divergence, nll, correct = (torch.cat(column).double().cpu().numpy() for column in columns)
    return divergence, nll, correct
