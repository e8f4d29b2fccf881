"""Teacher forcing: the likelihood of a given answer, and whether greedy decoding would give it, in one forward pass.

Greedy decoding gives an answer exactly if every token of it is the most likely one after its predecessors. Exact match
therefore needs no generation: a thousand rows take a second or two on a CPU instead of a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from curate.engines.models.output_head import OutputHead, hidden_states
from curate.engines.tokens.batching import BatchRunner, pad_right

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from curate.engines.tokens.templates import Encoded

CHUNK_TOKENS = 512
"""Supervised tokens whose logits are in memory at once."""


@dataclass(frozen=True, slots=True)
class TeacherForcingResult:
    """One entry per row; rows without a supervised token have 0 everywhere."""

    nll: NDArray[np.float64]
    """Sum over the supervised tokens of −log p, nats, shape (n,), >= 0."""
    tokens: NDArray[np.int64]
    """Number of supervised tokens, shape (n,)."""
    correct: NDArray[np.int64]
    """Number of them that are the model's most likely token, shape (n,)."""


def score_answers(
    model: PreTrainedModel, head: OutputHead, rows: Sequence[Encoded], runner: BatchRunner
) -> TeacherForcingResult:
    """Return likelihood and correctness of the supervised tokens of every row.

    Parameters
    ----------
    model : PreTrainedModel
    head : OutputHead
        Of the model.
    rows : sequence of Encoded
    runner : BatchRunner
        Decides the batches.

    Raises
    ------
    CurateError
        If a single row does not fit into the device's memory.
    """
    n = len(rows)
    out = TeacherForcingResult(np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64))
    usable = [index for index, row in enumerate(rows) if row.n_response]

    @torch.inference_mode()
    def work(batch: list[int]) -> None:
        encoded = [rows[index] for index in batch]
        nll, correct = _supervised(model, head, encoded)
        lengths = np.array([row.n_response for row in encoded])
        owner = np.repeat(np.arange(len(batch)), lengths)
        # Assigned by row number: batches finish in any order and on several threads.
        out.nll[batch] = np.bincount(owner, weights=nll, minlength=len(batch))
        out.correct[batch] = np.bincount(owner, weights=correct, minlength=len(batch)).astype(np.int64)
        out.tokens[batch] = lengths

    runner.run([len(row.ids) for row in rows], usable, work)
    return out


def _supervised(
    model: PreTrainedModel, head: OutputHead, rows: Sequence[Encoded]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return −log p of every supervised token and whether it is the most likely one, both (M,) float64."""
    ids = pad_right([row.ids for row in rows])
    # The state at position t − 1 predicts token t.
    positions = np.concatenate([i * ids.shape[1] + np.flatnonzero(row.supervised) - 1 for i, row in enumerate(rows)])
    targets = np.concatenate([row.ids[row.supervised] for row in rows])
    states = hidden_states(model, ids.to(model.device)).flatten(0, 1)[torch.from_numpy(positions).to(model.device)]
    return token_results(head, states, targets)


def token_results(
    head: OutputHead, states: torch.Tensor, targets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return −log p of every target and whether it is the most likely token, both (M,) float64, of states (M, d)."""
    nll, correct = [], []
    ids = torch.from_numpy(targets).to(states.device)
    for part, target in zip(states.split(CHUNK_TOKENS), ids.split(CHUNK_TOKENS), strict=True):
        logits = head.logits(part)
        own = logits.gather(-1, target[:, None]).squeeze(-1)
        nll.append((logits.logsumexp(-1) - own).double().cpu())
        correct.append((logits.argmax(-1) == target).double().cpu())
    return torch.cat(nll).numpy(), torch.cat(correct).numpy()


def answer_result(row: Encoded, forced: TeacherForcingResult, index: int) -> dict[str, Any]:
    """Return the result of one row, which scores 1 if every token is the most likely one."""
    result = likelihood_result(row, forced, index)
    return result | ({"score": float(forced.correct[index] == forced.tokens[index])} if "nll" in result else {})


def likelihood_result(row: Encoded, forced: TeacherForcingResult, index: int) -> dict[str, Any]:
    """Return the result of one row without a score: columns of `curate.schemas.evaluation.RESULTS`."""
    if row.error or not row.n_response:
        return {"status": "template_error" if row.error else "no_response_tokens"}
    tokens, correct = int(forced.tokens[index]), int(forced.correct[index])
    return {
        "status": "truncated" if row.truncated else "ok",
        "nll": float(forced.nll[index] / tokens),
        "token_accuracy": correct / tokens,
        "n_tokens": tokens,
    }
