"""Calibrates the judge of answers without a check on rows of the same selection that have one.

All samples of these rows are drawn, whether one passes or not: a scorer that saw only what was drawn up to the first
right answer would be measured on another mixture than it judges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.schemas.artefacts import digest
from curate.schemas.corpus import turns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.engines.sample.scorer import ScoredBy, Scorer
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.builder import Builder

CALIBRATED_BY = ("likelihood", "selfeval")
"""Values of ``--accept`` that need a calibration."""
MOST_ROWS = 400
"""Rows to calibrate on, where a selection has as many with a check; all of their samples are drawn."""


def calibration_rows(rows: pa.Table, settings: Settings) -> pa.Table:
    """Return the rows to calibrate on: at most `MOST_ROWS` of those with a check, drawn at random by the seed."""
    from curate.engines.sample.accept import has_check
    from curate.engines.sample.task import is_answer

    last = [turns_of(row["messages"])[-1] for row in rows.select(["messages"]).to_pylist()]
    checked = [place for place, turn in enumerate(last) if is_answer(turn) and has_check(turn.content)]
    ids = rows["example_id"].to_pylist()
    # Ranked rows are no random sample of the selection: the first are the best by its method.
    drawn = sorted(checked, key=lambda place: digest([settings.seed, "calibration", ids[place]]))[:MOST_ROWS]
    return rows.take(pa.array(sorted(drawn), pa.int64()))


def calibration(builder: Builder, settings: Settings, n_parts: int) -> tuple[Scorer, dict[str, Any]]:
    """Return the judge, and what was measured of it, from the first parts of unfinished targets.

    Raises
    ------
    GateError
        If it does not tell right answers from wrong ones; see `curate.engines.sample.calibration.calibrate`.
    """
    from curate.engines.sample.calibration import calibrate, checked_of

    by: ScoredBy = "selfeval" if settings.sample.accept == "selfeval" else "likelihood"
    threshold = None if settings.sample.threshold == "auto" else float(settings.sample.threshold)
    checked = checked_of(_answers(builder, by, n_parts))
    return calibrate(checked, by, threshold)


def _answers(builder: Builder, by: ScoredBy, n_parts: int) -> list[tuple[str, Any, bool]]:
    from curate.engines.sample.answer import Answer

    drawn: list[dict[str, Any]] = []
    for index in range(n_parts):
        samples = builder.read_part("part", index).to_pylist()
        states: Sequence[dict[str, Any]] = [{}] * len(samples)
        if by == "selfeval":
            states = builder.read_part("states", index).select(["mean_entropy", "state"]).to_pylist()
        drawn += [{**sample, **state} for sample, state in zip(samples, states, strict=True)]
    names = Answer.__dataclass_fields__
    return [
        (one["example_id"], Answer(**{name: one[name] for name in names if name in one}), bool(one["passed"]))
        for one in drawn
    ]
