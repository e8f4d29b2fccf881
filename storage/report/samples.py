"""Chooses the rows that a report shows with their text: a few per group, and a table. Reads no other text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.storage.report.contents import Contents
    from curate.storage.warehouse.warehouse import Warehouse

EACH = 3
"""Rows shown per group."""
TABLE_KEPT, TABLE_LEFT = 1500, 500
"""Largest numbers of kept and of other rows in the table."""
SHOWN = 600
"""Characters shown per text."""
IN_TABLE = 160


def sample_groups(contents: Contents) -> list[tuple[str, str, list[int]]]:
    """Return the groups of sample rows: title, description, and row indices; empty groups are left out.

    Ties go to the row with the smaller example id.
    """
    kept = np.flatnonzero(contents.kept)
    groups: list[tuple[str, str, NDArray[np.int64]]] = []
    best = kept[np.argsort(contents.rank[kept], kind="stable")]
    groups.append(("Highest rank", "The kept rows that the method ranks highest.", best))
    groups.append(("Lowest rank", "The kept rows that the method ranks lowest.", best[::-1]))
    damage = contents.signals.get("cds")
    if damage is not None:
        finite = np.flatnonzero(np.isfinite(damage))
        order = finite[np.lexsort((contents.example_id[finite], -damage[finite]))]
        groups.append(("Most damaged", "The rows on which the two models differ most, kept or not.", order))
        groups.append(("Least damaged", "The rows on which the two models differ least, kept or not.", order[::-1]))
    for reason in sorted({str(reason) for reason in contents.reason[~contents.kept]}):
        rows = np.flatnonzero((contents.reason == reason) & ~contents.kept)
        if damage is not None:
            rows = rows[np.lexsort((contents.example_id[rows], -np.nan_to_num(damage[rows], nan=-1.0)))]
        groups.append((f"Not kept: {reason}", "", rows))
    shown = [(title, about, rows[~contents.forgotten[rows]]) for title, about, rows in groups]
    return [(title, about, rows[:EACH].tolist()) for title, about, rows in shown if len(rows)]


def table_rows(contents: Contents) -> list[int]:
    """Return the rows of the table: the kept rows of highest rank, then a share of the rows of every other reason."""
    kept = np.flatnonzero(contents.kept & ~contents.forgotten)
    kept = kept[np.argsort(contents.rank[kept], kind="stable")][:TABLE_KEPT]
    left_out = ~contents.kept & ~contents.forgotten
    reasons = sorted({str(reason) for reason in contents.reason[left_out]})
    groups = [np.flatnonzero((contents.reason == reason) & left_out) for reason in reasons]
    # Smallest group first, so that what it does not use of its share goes to the larger ones.
    groups.sort(key=len)
    left: list[int] = []
    for index, rows in enumerate(groups):
        allowed = (TABLE_LEFT - len(left)) // (len(groups) - index)
        # Evenly spaced over the corpus, so that all sources are represented.
        left += rows[np.unique(np.linspace(0, len(rows) - 1, min(allowed, len(rows))).astype(np.int64))].tolist()
    return [*kept.tolist(), *left]


def texts(warehouse: Warehouse, contents: Contents, rows: set[int]) -> dict[int, dict[str, Any]]:
    """Return prompt, response, turns and tools of some rows, by row number."""
    by_row: dict[int, dict[str, Any]] = {}
    start = 0
    columns = ["messages", "prompt", "response", "n_turns"]
    for batch in warehouse.batches("corpus", contents.upstream["corpus"].id, columns=columns):
        here = sorted(row - start for row in rows if start <= row < start + len(batch))
        for offset, row in zip(here, batch.take(pa.array(here, pa.int64())).to_pylist(), strict=True):
            by_row[start + offset] = row
        start += len(batch)
    return by_row


def shortened(text: str, length: int) -> str:
    """Return a text of at most `length` characters; an ellipsis marks the cut."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
