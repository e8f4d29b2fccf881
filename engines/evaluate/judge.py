"""A model as judge of whether an answer means the same as a reference, by the likelihoods of "yes" and "no".

The judge is never sampled. Its likelihoods of the two replies to one prompt are compared, so a score is deterministic
and expresses the judge's confidence. docs/evaluation.md describes how reliable it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.engines.evaluate.teacher_forcing import score_answers
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.engines.evaluate.subject import Subject
    from curate.engines.tokens.batching import BatchRunner
    from curate.engines.tokens.templates import Encoded, TemplateKind

    Item = dict[str, Any]
    Result = dict[str, Any]

PROMPT = """\
Below are a question, a reference answer that is right, and another answer.

Question:
{question}

Reference answer:
{reference}

Other answer:
{answer}

Does the other answer say the same as the reference answer? Only what is said counts, not how or at what length. \
Reply with one word: yes or no."""
REPLIES = ("yes", "no")
MAX_LENGTH = 4096
"""Longest text that a judge reads, in tokens, capped by its context; a truncated answer would be judged wrongly."""


def prompt(question: str, reference: str, answer: str) -> str:
    """Return the judge's prompt."""
    return PROMPT.format(question=question, reference=reference, answer=answer)


def yes_share(nll_yes: NDArray[np.float64], nll_no: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P(yes) / (P(yes) + P(no)), in [0, 1], from −log p of the two replies in nats, both of shape (n,)."""
    # In log space: both probabilities may underflow.
    return np.exp(-np.logaddexp(0.0, nll_yes - nll_no))


class Judge:
    """A loaded model that scores answers.

    Parameters
    ----------
    subject : Subject
        The judge, with its own tokenizer and template.
    template : {"auto", "chat", "plain"}
    runner : BatchRunner
        Decides the batches.
    """

    def __init__(self, subject: Subject, template: TemplateKind, runner: BatchRunner) -> None:
        self._model, self._head, self._runner = subject.model, subject.head, runner
        self._template = Template(subject.tokenizer, template, min(MAX_LENGTH, subject.context or MAX_LENGTH))

    def score(self, items: Sequence[Item], answers: Sequence[str]) -> list[Result]:
        """Return the score of the answer to every item: the highest share of "yes" over its references.

        An empty answer scores 0 and the judge does not see it. An item whose prompt does not fit the judge's context
        has a status instead of a score.
        """
        pairs = [(i, reference) for i, item in enumerate(items) if answers[i] for reference in item["references"]]
        texts = [prompt(items[i]["messages"][-1]["content"], reference, answers[i]) for i, reference in pairs]
        # Two rows per prompt, "yes" then "no": even rows are the former, odd rows the latter.
        rows = self._template.encode_many(
            [(Turn("user", text), Turn("assistant", reply)) for text in texts for reply in REPLIES]
        )
        forced = score_answers(self._model, self._head, rows, self._runner)
        scores = yes_share(forced.nll[::2], forced.nll[1::2])
        results: list[Result] = [{"score": 0.0} for _ in items]
        for k, (i, _) in enumerate(pairs):
            status = _problem(rows[2 * k]) or _problem(rows[2 * k + 1])
            if status:
                results[i] = {"status": status, "score": None}
            elif results[i]["score"] is not None:
                results[i]["score"] = max(results[i]["score"], float(scores[k]))
        return results


def _problem(row: Encoded) -> str | None:
    """Return the status of a row that the judge cannot read completely, None for one that it can."""
    if row.error:
        return "template_error"
    return "no_response_tokens" if row.truncated or not row.n_response else None
