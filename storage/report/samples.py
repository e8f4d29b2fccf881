"""Which rows a report shows with their text: some of each kind, and a table of many. Reads no more text than that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.storage.report.contents import Contents
    from curate.storage.warehouse.warehouse import Warehouse

EACH = 3
"""Rows shown of each kind."""
TABLE_KEPT, TABLE_LEFT = 1500, 500
"""Most rows of the table that were kept, and that were not."""
SHOWN = 600
"""Characters shown of a text."""
IN_TABLE = 160


def sample_groups(contents: Contents) -> list[tuple[str, str, list[int]]]:
    """Return the kinds of rows worth looking at: title, what they are, and row numbers; empty kinds are left out.

    Ties go to the row with the smaller example id.
    """
    kept = np.flatnonzero(contents.kept)
    found: list[tuple[str, str, NDArray[np.int64]]] = []
    best = kept[np.argsort(contents.rank[kept], kind="stable")]
    found.append(("Taken first", "The kept rows that the method ranks highest.", best))
    found.append(("Taken last", "The kept rows that nearly missed the budget.", best[::-1]))
    damage = contents.signals.get("cds")
    if damage is not None:
        finite = np.flatnonzero(np.isfinite(damage))
        order = finite[np.lexsort((contents.example_id[finite], -damage[finite]))]
        found.append(("Most damaged", "The rows on which the two models differ most, kept or not.", order))
        found.append(("Least damaged", "The rows on which compression changed least.", order[::-1]))
    for reason in sorted({str(reason) for reason in contents.reason[~contents.kept]}):
        rows = np.flatnonzero((contents.reason == reason) & ~contents.kept)
        if damage is not None:
            rows = rows[np.lexsort((contents.example_id[rows], -np.nan_to_num(damage[rows], nan=-1.0)))]
        found.append((f"Not kept: {reason}", "", rows))
    shown = [(title, about, rows[~contents.forgotten[rows]]) for title, about, rows in found]
    return [(title, about, rows[:EACH].tolist()) for title, about, rows in shown if len(rows)]


def table_rows(contents: Contents) -> list[int]:
    """Return the rows of the table: the best kept ones by rank, then rows of every other reason by turns."""
    kept = np.flatnonzero(contents.kept & ~contents.forgotten)
    kept = kept[np.argsort(contents.rank[kept], kind="stable")][:TABLE_KEPT]
    left_out = ~contents.kept & ~contents.forgotten
    reasons = sorted({str(reason) for reason in contents.reason[left_out]})
    groups = [np.flatnonzero((contents.reason == reason) & left_out) for reason in reasons]
    groups.sort(key=len)
    left: list[int] = []
    for place, rows in enumerate(groups):
        allowed = (TABLE_LEFT - len(left)) // (len(groups) - place)
        # Spread over the corpus, so that no source is seen alone.
        left += rows[np.unique(np.linspace(0, len(rows) - 1, min(allowed, len(rows))).astype(np.int64))].tolist()
    return [*kept.tolist(), *left]


def texts(warehouse: Warehouse, contents: Contents, rows: set[int]) -> dict[int, dict[str, Any]]:
    """Return prompt, response, turns and tools of some rows, by row number."""
    found: dict[int, dict[str, Any]] = {}
    start = 0
    columns = ["messages", "prompt", "response", "n_turns"]
    for batch in warehouse.batches("corpus", contents.upstream["corpus"].id, columns=columns):
        here = sorted(row - start for row in rows if start <= row < start + len(batch))
        for place, row in zip(here, batch.take(pa.array(here, pa.int64())).to_pylist(), strict=True):
            found[start + place] = row
        start += len(batch)
    return found


def shortened(text: str, length: int) -> str:
    """Return a text of at most `length` characters, the cut marked."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
