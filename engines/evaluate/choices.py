"""Scores items with options: the option with the best likelihood is the answer, compared as lm-eval compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.engines.evaluate.option_layouts import option_rows, scored_bytes, unconditional_rows
from curate.engines.evaluate.shared_prefix import score_options
from curate.engines.evaluate.teacher_forcing import answer_result, score_answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.engines.evaluate.subject import Subject
    from curate.engines.evaluate.teacher_forcing import TeacherForcingResult
    from curate.engines.tokens.batching import BatchRunner
    from curate.engines.tokens.templates import Encoded, Template
    from curate.schemas.evaluation import Normalise, OptionLayout

    Item = dict[str, Any]
    Result = dict[str, Any]


@dataclass(frozen=True, eq=False)
class ChoiceScorer:
    """One model, and how its options are laid out and compared."""

    subject: Subject
    template: Template
    runner: BatchRunner
    normalise: Normalise

    def score(self, items: Sequence[Item], layout: OptionLayout) -> list[Result]:
        """Score every item by its best option; the nll is that of the correct one, as it is."""
        groups, forced, compared = self._read(items, layout)
        rows = [row for group in groups for row in group]
        results, start = [], 0
        for item, group, values in zip(items, groups, compared, strict=True):
            correct = start + item["answer"]
            result = answer_result(rows[correct], forced, correct)
            if np.isnan(values).any():
                result |= {"status": "no_response_tokens", "score": None}
            else:
                best = int(np.argmin(values))
                result |= {"score": float(best == item["answer"]), "said": item["references"][best]}
            results.append(result)
            start += len(group)
        return results

    def compared(self, items: Sequence[Item], layout: OptionLayout) -> list[NDArray[np.float64]]:
        """Return what the options of each item are compared by, smaller = better; NaN where no token is scored."""
        return self._read(items, layout)[2]

    def _read(
        self, items: Sequence[Item], layout: OptionLayout
    ) -> tuple[list[list[Encoded]], TeacherForcingResult, list[NDArray[np.float64]]]:
        """Return the rows of every item, their likelihoods, and what the options of every item are compared by."""
        groups = option_rows(items, layout, self.subject.tokenizer, self.template)
        forced = score_options(self.subject.model, self.subject.head, groups, self.runner)
        values = self._normalised(items, layout, groups, forced.nll)
        values = np.where(forced.tokens > 0, values, np.nan)
        ends = np.cumsum([len(group) for group in groups])[:-1]
        return groups, forced, np.split(values, ends)

    def _normalised(
        self, items: Sequence[Item], layout: OptionLayout, groups: Sequence[list[Encoded]], nll: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return what the options of an item are compared by, smaller = better, shape (number of options,)."""
        if self.normalise == "bytes":
            sizes = np.array([size for item in items for size in scored_bytes(item, layout)], dtype=np.float64)
            return nll / sizes
        if self.normalise == "unconditional":
            alone = unconditional_rows(items, layout, self.subject.tokenizer, groups)
            return nll - score_answers(self.subject.model, self.subject.head, alone, self.runner).nll
        return nll
