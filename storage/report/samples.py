"""Chooses the rows that a report shows with their text: a few per group and cluster, and as many as fit for the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from curate.storage.report.contents import Contents
    from curate.storage.warehouse.warehouse import Warehouse

EACH = 3
"""Rows shown per group."""
MOST_TEXTS = 10_000
"""Largest number of rows whose text is read for the map and the table; a page of one megabyte holds fewer."""
TYPICAL = 0.25
"""Share of a cluster's rows, those of highest membership, from which its example rows are taken."""
SHOWN = 600
"""Characters shown per text."""
BRIEF = 120
"""Characters of a text of the map and the table, where the texts of all rows do not fit otherwise."""


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


def text_order(contents: Contents, drawn: NDArray[np.int64]) -> list[int]:
    """Return the rows whose text is shown first: three kept rows by rank, one row that was not kept, and so on.

    Rows that were not kept take turns by reason, so that a rare reason is never crowded out, and are spread over the
    corpus. At most `MOST_TEXTS` of the rows `drawn`.
    """
    kept = drawn[contents.kept[drawn]]
    kept = kept[np.argsort(contents.rank[kept], kind="stable")]
    turns: list[NDArray[np.float64]] = [np.arange(len(kept)) / 3.0]
    rows = [kept]
    left = np.sort(drawn[~contents.kept[drawn]])
    reasons = sorted({str(reason) for reason in contents.reason[left]})
    for number, reason in enumerate(reasons):
        of_reason = left[contents.reason[left] == reason]
        # Any first part of the multiples of the golden ratio, modulo one, is spread evenly.
        spread = np.argsort(np.arange(len(of_reason)) * 0.6180339887498949 % 1.0, kind="stable")
        rows.append(of_reason[spread])
        turns.append(np.arange(len(of_reason), dtype=np.float64) * len(reasons) + number + 0.5)
    order = np.argsort(np.concatenate(turns), kind="stable")[:MOST_TEXTS]
    ordered: list[int] = np.concatenate(rows)[order].tolist()
    return ordered


def typical_rows(contents: Contents) -> dict[int, list[int]]:
    """Return up to `EACH` rows of each cluster: spread over its rows of highest membership, or over all of a group."""
    chosen = {}
    for cluster in (row["cluster"] for row in contents.clusters):
        members = np.flatnonzero((contents.cluster == cluster) & ~contents.forgotten)
        if contents.membership is not None:
            order = np.lexsort((contents.example_id[members], -contents.membership[members]))
            members = members[order][: max(EACH, int(TYPICAL * len(members)))]
        n_rows = min(EACH, len(members))
        chosen[cluster] = members[np.arange(n_rows) * len(members) // max(n_rows, 1)].tolist()
    return chosen


def texts(
    warehouse: Warehouse, contents: Contents, rows: Iterable[int], columns: Sequence[str]
) -> dict[int, dict[str, Any]]:
    """Return columns of some rows of the corpus, by row number."""
    by_row: dict[int, dict[str, Any]] = {}
    start = 0
    wanted = np.unique(np.fromiter(rows, np.int64))
    for batch in warehouse.batches("corpus", contents.upstream["corpus"].id, columns=list(columns)):
        first, last = np.searchsorted(wanted, [start, start + len(batch)])
        here = wanted[first:last] - start
        for offset, row in zip(here.tolist(), batch.take(pa.array(here, pa.int64())).to_pylist(), strict=True):
            by_row[start + offset] = row
        start += len(batch)
    return by_row


def shortened(text: str, length: int) -> str:
    """Return a text of at most `length` characters; an ellipsis marks the cut."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
