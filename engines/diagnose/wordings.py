"""Answers of a model to multiple-choice items under an instruction that is put before every question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.engines.evaluate.run import choice_scorer
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.engines.evaluate.run import EvaluateConfig
    from curate.engines.evaluate.subject import Subject

    Item = dict[str, Any]


class WordingReader:
    """A model that answers the same items under different wordings.

    Parameters
    ----------
    subject : Subject
    config : EvaluateConfig
        How conversations are laid out and options compared; its `option_layout` is not read, since wordings belong into
        a conversation.
    """

    def __init__(self, subject: Subject, config: EvaluateConfig) -> None:
        self._scorer = choice_scorer(subject, config)

    def read(self, items: Sequence[Item], wording: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return reward and score of every item, each of shape (n,).

        The reward is the log-softmax of the right option's log-likelihood among those of all options, in nats, <= 0;
        the score is 1.0 where the right option has the best likelihood, as in an evaluation.

        Parameters
        ----------
        items : sequence of dict
            Rows of schema `ITEMS` of kind ``choice``.
        wording : str
            Put before the question, a blank line between; empty leaves the question as it is.

        Raises
        ------
        InputError
            If an option has no token within the longest sequence.
        """
        compared = self._scorer.compared([reworded(item, wording) for item in items], "conversation")
        rewards, scores = np.zeros(len(items)), np.zeros(len(items))
        for index, (item, values) in enumerate(zip(items, compared, strict=True)):
            if np.isnan(values).any():
                question = item["messages"][-1]["content"]
                raise InputError(
                    f"the question {question[:40]!r} and an option are too long to be scored; raise --max-length"
                )
            right = item["answer"]
            rewards[index] = -values[right] - np.logaddexp.reduce(-values)
            scores[index] = float(np.argmin(values) == right)
        return rewards, scores


def reworded(item: Item, wording: str) -> Item:
    """Return the item with the wording before its question."""
    if not wording:
        return item
    *before, last = item["messages"]
    return {**item, "messages": [*before, {**last, "content": f"{wording}\n\n{last['content']}"}]}
