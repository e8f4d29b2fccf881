"""The comparisons that the plan of the confirmation names: one primary figure, and what its gain is made of.

`PREREGISTRATION.md` fixed them before the first cell; what was added later is dated there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.assessment.intervals import Interval, holm
from real_model.report import PEOPLE, POOL_MEASURE, gaps, interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from real_model.report import Answers

PRIMARY = ("coverage-source", "kl-full")


@dataclass(frozen=True)
class Comparison:
    """One arm and recipe against another, in one measure."""

    ours: tuple[str, str]
    other: tuple[str, str]
    measure: str
    ratio: bool
    """Whether the gaps closed are divided, instead of subtracted."""

    def interval(self, answers: Answers) -> Interval:
        """Return the comparison with its interval, over the seeds and items that both have; p is that of no effect."""

        def statistic(means: NDArray[np.float64]) -> NDArray[np.float64]:
            both = gaps(means, answers.names, self.measure)
            with np.errstate(invalid="ignore", divide="ignore"):
                compared: NDArray[np.float64] = np.log(both[..., 0] / both[..., 1]) if self.ratio else (
                    both[..., 0] - both[..., 1]
                )  # fmt: skip
            return compared

        found = interval(answers, [self.ours, self.other], statistic)
        if not self.ratio:
            return found
        return Interval(*(float(np.exp(one)) for one in (found.value, found.low, found.high)), found.p)


FIRST = Comparison(PRIMARY, PEOPLE, "kl", ratio=True)
SECONDARY = (
    Comparison(PRIMARY, PEOPLE, POOL_MEASURE, ratio=True),
    *(Comparison(("uniform", "kl-full"), PEOPLE, measure, ratio=True) for measure in ("kl", POOL_MEASURE)),
    *(
        Comparison(PRIMARY, (arm, "kl-full"), measure, ratio=False)
        for arm in ("uniform", "per-source")
        for measure in ("kl", POOL_MEASURE)
    ),
    *(
        Comparison(("paser", "kl-full"), ("uniform", "kl-full"), measure, ratio=False)
        for measure in ("kl", POOL_MEASURE)
    ),
    *(
        Comparison(("uniform", "kl-full"), ("uniform", recipe), measure, ratio=True)
        for recipe in ("ce-rate", "kl-rate")
        for measure in ("kl", POOL_MEASURE)
    ),
)


PROMPTS = tuple(
    Comparison(("uniform", "kl-full-prompts"), ("uniform", "kl-full"), measure, ratio=False)
    for measure in ("kl", POOL_MEASURE)
)
"""What the plan added after the confirmation."""
REPEATED = (
    *(
        Comparison(("uniform", "kl-full"), PEOPLE, measure, ratio=ratio)
        for ratio in (True, False)
        for measure in ("kl", POOL_MEASURE)
    ),
    *(
        Comparison((arm, recipe), ("uniform", recipe), measure, ratio=False)
        for arm, recipe in (("paser", "kl-full"), ("paser-filter", "ce"), ("paser-filter", "kl-full"))
        for measure in ("kl", POOL_MEASURE)
    ),
)
"""Comparisons on another pair or pool. A ratio says nothing where cross-entropy closes no gap; hence the difference."""


def planned(answers: Answers, comparisons: tuple[Comparison, ...] = (FIRST, *SECONDARY)) -> str:
    """Return a table of comparisons as Markdown; the p of all but the primary one are corrected (Holm)."""
    known = [one for one in comparisons if _seeds(answers, one)]
    found = {one: one.interval(answers) for one in known}
    tested = [one for one in known if one is not FIRST and _seeds(answers, one) > 1 and found[one].p is not None]
    adjusted = dict(zip(tested, holm(np.array([found[one].p for one in tested], dtype=np.float64)), strict=True))
    lines = ["| comparison | measure | seeds | | p |", "|---|---|---:|---:|---:|"]
    for one, figure in found.items():
        p = figure.p if one is FIRST and _seeds(answers, one) > 1 else adjusted.get(one)
        sign, digits = ("/", 2) if one.ratio else ("−", 3)
        shown = f"{figure.value:.{digits}f} [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"
        shown = shown if np.isfinite(figure.value) else "–"
        name = f"{'primary: ' if one is FIRST else ''}{' '.join(one.ours)} {sign} {' '.join(one.other)}"
        probability = "" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.2g}"
        lines.append(f"| {name} | {one.measure} | {_seeds(answers, one)} | {shown} | {probability} |")
    return "\n".join(lines)


def _seeds(answers: Answers, one: Comparison) -> int:
    """Return the number of seeds that both sides of a comparison have."""
    cells = answers.cells
    return len(set(cells.get(one.ours, ())) & set(cells.get(one.other, ())))
