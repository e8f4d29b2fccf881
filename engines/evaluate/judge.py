"""A model as judge: does an answer say the same as a reference? A share of belief, read off two forced answers.

The judge is never sampled. Its likelihoods of "yes" and of "no" after the same prompt are compared, so a score is
deterministic and says how sure the judge was. It is an opinion: docs/evaluation.md says what it is worth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.engines.evaluate.teacher_forcing import read_answers
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
{said}

Does the other answer say the same as the reference answer? Only what is said counts, not how or at what length. \
Reply with one word: yes or no."""
VERDICTS = ("yes", "no")
LONGEST = 4096
"""Longest text that a judge reads, in tokens, capped by its context: an answer is not to be judged by its half."""


def prompt(question: str, reference: str, said: str) -> str:
    """Return what the judge is asked."""
    return PROMPT.format(question=question, reference=reference, said=said)


def belief(nll_yes: NDArray[np.float64], nll_no: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P(yes) / (P(yes) + P(no)), in [0, 1], from −log p of the two answers in nats, both of shape (n,)."""
    return np.exp(-np.logaddexp(0.0, nll_yes - nll_no))


class Judge:
    """A loaded model that reads answers.

    Parameters
    ----------
    subject : Subject
        The judge, with its own tokenizer and layout.
    template : {"auto", "chat", "plain"}
    runner : BatchRunner
        Decides what is computed at once.
    """

    def __init__(self, subject: Subject, template: TemplateKind, runner: BatchRunner) -> None:
        self._model, self._head, self._runner = subject.model, subject.head, runner
        self._template = Template(subject.tokenizer, template, min(LONGEST, subject.context or LONGEST))

    def read(self, items: Sequence[Item], said: Sequence[str]) -> list[Result]:
        """Return the score of what was said to every item: the highest belief over its references.

        An empty answer scores 0 and the judge does not see it. An item whose prompt the judge cannot read whole has a
        status instead of a score.
        """
        asked = [(i, one) for i, item in enumerate(items) if said[i] for one in item["references"]]
        texts = [prompt(items[i]["messages"][-1]["content"], reference, said[i]) for i, reference in asked]
        rows = self._template.encode_many(
            [(Turn("user", text), Turn("assistant", verdict)) for text in texts for verdict in VERDICTS]
        )
        found = read_answers(self._model, self._head, rows, self._runner)
        scores = belief(found.nll[::2], found.nll[1::2])
        results: list[Result] = [{"score": 0.0} for _ in items]
        for place, (i, _) in enumerate(asked):
            status = _unread(rows[2 * place]) or _unread(rows[2 * place + 1])
            if status:
                results[i] = {"status": status, "score": None}
            elif results[i]["score"] is not None:
                results[i]["score"] = max(results[i]["score"], float(scores[place]))
        return results


def _unread(row: Encoded) -> str | None:
    """Return the status of a row that the judge cannot read whole, None for one that it can."""
    if row.error:
        return "template_error"
    return "no_response_tokens" if row.truncated or not row.n_response else None
