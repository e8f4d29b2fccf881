"""The report of the trial: the gap closed by every arm with every recipe, with intervals, and its ratio to today's.

The gap closed by a model x is (x − compressed) / (original − compressed), of accuracies or of mean divergences: 0 is
the compressed model, 1 the original. Paired by seed and item; intervals and corrections are those of
`curate.selectors.assessment`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from curate.selectors.assessment.intervals import Interval, Resampling, holm, seeds_then_items
from real_model.plan import BASELINE
from real_model.rows import POOL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

MEASURES = ("kl", "arc-easy", "openbookqa", "wikitext")
POOL_MEASURE = "kl pool"
PEOPLE = (BASELINE, "ce")
"""What people do today: random rows and cross-entropy."""


@dataclass(frozen=True)
class Answers:
    """The answers of all models of one pair and pool to the same items."""

    group: NDArray[np.int64]
    """Measure of each item, as an index into `names`."""
    names: tuple[str, ...]
    """Measures; a divergence is one for each source, ``kl:SOURCE``."""
    weight: Values
    """Tokens of each item that a divergence sums over, 1 for an answer."""
    original: Values
    compressed: Values
    cells: dict[tuple[str, str], dict[int, Values]]
    """Values by arm and recipe, then by seed."""
    seconds: float
    """Processor seconds of all cells."""

    def stacked(self, seeds: Sequence[int], *arms: tuple[str, str]) -> Values:
        """Return the values of arms, then of the compressed and the original, shape (seeds, arms + 2, items)."""
        ends = [self.compressed, self.original]
        return np.stack([np.stack([*(self.cells[arm][seed] for arm in arms), *ends]) for seed in seeds])


def read_answers(folder: Path) -> Answers:
    """Return the answers that the folder of a pair and pool holds."""
    tables = {file.stem: pq.read_table(file) for file in sorted(folder.glob("*.parquet"))}
    original = tables.pop("original")
    names, group = np.unique(original["measure"].to_pylist(), return_inverse=True)
    cells: dict[tuple[str, str], dict[int, Values]] = defaultdict(dict)
    compressed, seconds = tables.pop("compressed"), 0.0
    for table in tables.values():
        facts = json.loads(table.schema.metadata[b"trial"])
        cells[facts["arm"], facts["recipe"]][facts["seed"]] = _values(table)
        seconds += facts["seconds"]
    return Answers(
        group.astype(np.int64), tuple(names.tolist()), original["weight"].to_numpy().astype(np.float64),
        _values(original), _values(compressed), dict(cells), seconds,
    )  # fmt: skip


def _values(table: pa.Table) -> Values:
    values: Values = table["value"].to_numpy().astype(np.float64)
    return values


def gaps(means: Values, names: Sequence[str], measure: str) -> Values:
    """Return the gap closed by all models but the last two, which are the compressed one and the original.

    Parameters
    ----------
    means : ndarray of shape (..., k + 2, groups)
    measure : str
        ``arc-easy``, …; ``kl``, the mean over sources of the divergence's gap; ``kl pool``, the gap of the divergence
        of a row of the pool, where each source counts by its rows and a row by its tokens; or ``all``, the mean of
        `MEASURES`.

    Returns
    -------
    ndarray of shape (..., k)
    """
    if measure == "all":
        return np.mean([gaps(means, names, one) for one in MEASURES], axis=0)
    if measure == POOL_MEASURE:
        sources = [index for index, name in enumerate(names) if name.startswith("kl:")]
        shares = np.array([POOL[names[index].removeprefix("kl:")] for index in sources], dtype=np.float64)
        divergence = means[..., sources] @ (shares / shares.sum())
        return 1 - divergence[..., :-2] / divergence[..., -2:-1]  # the original's is 0
    chosen = [index for index, name in enumerate(names) if name == measure or name.startswith(f"{measure}:")]
    compressed, original = means[..., -2:-1, chosen], means[..., -1:, chosen]
    lost = original - compressed
    # Resampled items may show no loss at all; such a draw has no gap to close.
    lost[lost == 0] = np.nan
    closed: Values = ((means[..., :-2, chosen] - compressed) / lost).mean(axis=-1)
    return closed


def interval(answers: Answers, arms: Sequence[tuple[str, str]], statistic: Callable[[Values], Values]) -> Interval:
    """Return the interval of a statistic of the group means of arms, over the seeds that all of them have."""
    seeds = sorted(set.intersection(*(set(answers.cells[arm]) for arm in arms)))
    return seeds_then_items(answers.stacked(seeds, *arms), answers.group, len(answers.names), statistic, Resampling())


def closed(answers: Answers, arm: tuple[str, str], measure: str) -> Interval:
    """Return the gap closed by an arm."""
    return interval(answers, [arm], lambda means: gaps(means, answers.names, measure)[..., 0])


def gain(answers: Answers, arm: tuple[str, str], measure: str) -> Interval:
    """Return the gap closed by an arm minus that of random rows with the same recipe."""

    def difference(means: Values) -> Values:
        both = gaps(means, answers.names, measure)
        return both[..., 0] - both[..., 1]

    return interval(answers, [arm, (BASELINE, arm[1])], difference)


def ratio(answers: Answers, arm: tuple[str, str], measure: str) -> Interval:
    """Return the gap closed by an arm over that of random rows under cross-entropy, with its interval."""

    def log_ratio(means: Values) -> Values:
        both = gaps(means, answers.names, measure)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(both[..., 0] / both[..., 1])

    log = interval(answers, [arm, PEOPLE], log_ratio)
    return Interval(*(float(np.exp(one)) for one in (log.value, log.low, log.high)), log.p)


def report(answers: Answers) -> str:
    """Return the tables of a pair and pool as Markdown."""
    lines = _endpoints(answers)
    shown = (MEASURES[0], POOL_MEASURE, *MEASURES[1:], "all")
    lines += ["", f"| arm | recipe | seeds | {' | '.join(shown)} |", "|---|---|---:" + "|---:" * len(shown) + "|"]
    for arm, recipe in answers.cells:
        figures = [_shown(closed(answers, (arm, recipe), measure)) for measure in shown]
        lines.append(f"| {arm} | {recipe} | {len(answers.cells[arm, recipe])} | {' | '.join(figures)} |")
    lines += [
        "",
        "| arm | recipe | kl − uniform | p (Holm) | kl pool − uniform | all − uniform | kl / uniform ce "
        "| all / uniform ce |",
    ]
    lines += ["|---|---|" + "---:|" * 6, *_comparisons(answers)]
    return "\n".join([*lines, "", f"{answers.seconds / 3600:.1f} core hours."])


def _endpoints(answers: Answers) -> list[str]:
    """Return the table of what the original and the compressed model score."""
    lines = ["| measure (kl: nats a token) | items | original | compressed |", "|---|---:|---:|---:|"]
    for index, name in enumerate(answers.names):
        own = answers.group == index
        tokens = answers.weight[own].sum()
        ends = [float(values[own].sum() / tokens) for values in (answers.original, answers.compressed)]
        lines.append(f"| {name} | {own.sum()} | {ends[0]:.3f} | {ends[1]:.3f} |")
    return lines


def _comparisons(answers: Answers) -> list[str]:
    """Return a line for each arm that has a partner among the random rows, p-values corrected over arms and recipes."""
    cells = answers.cells
    rivals = [arm for arm in cells if arm[0] != BASELINE and set(cells[arm]) & set(cells.get((BASELINE, arm[1]), ()))]
    gains = {arm: gain(answers, arm, "kl") for arm in rivals}
    # The items of one model do not show how much another seed would change: no p from a single seed.
    known = [
        arm for arm in rivals if gains[arm].p is not None and len(set(cells[arm]) & set(cells[BASELINE, arm[1]])) > 1
    ]
    adjusted = dict(zip(known, holm(np.array([gains[arm].p for arm in known], dtype=np.float64)), strict=True))
    lines = []
    for arm in cells:
        paired = set(cells[arm]) & set(cells.get(PEOPLE, ()))
        ratios = [_shown(ratio(answers, arm, one)) if paired and arm != PEOPLE else "" for one in ("kl", "all")]
        own = (_shown(gains[arm]), f"{adjusted[arm]:.3f}" if arm in adjusted else "",
               _shown(gain(answers, arm, POOL_MEASURE)),
               _shown(gain(answers, arm, "all"))) if arm in gains else ("", "", "", "")  # fmt: skip
        lines.append(f"| {arm[0]} | {arm[1]} | {' | '.join((*own, *ratios))} |")
    return lines


def _shown(one: Interval) -> str:
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" if np.isfinite(one.value) else "–"
