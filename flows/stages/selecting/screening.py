"""Screening before a selection: near-duplicates, and rows that hold evaluation questions, are set aside.

Each with the row that it repeats. Nothing is computed unless it was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.schemas.corpus import Example, prompt_text
from curate.schemas.errors import InputError
from curate.schemas.selection import CONTAMINATED, DUPLICATE, Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curate.schemas.settings import Settings
    from curate.selectors.text.near_duplicates import Dropped
    from curate.storage.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class Screened:
    """A pool without the rows that were set aside, and what these repeat."""

    pool: Pool
    related_id: NDArray[np.str_]
    """Shape (n,), example id of the row that is repeated, or of the evaluation item; empty elsewhere."""
    overlap: NDArray[np.float64]
    """Shape (n,), how much is repeated, in [0, 1]; NaN elsewhere."""


def reads(settings: Settings) -> frozenset[str]:
    """Return what screening looks at of a pool, besides its ids."""
    return frozenset({"clusters", "embeddings"} if "semantic" in settings.select.near_duplicates else ())


def screened_by(settings: Settings) -> dict[str, Any]:
    """Return the settings that change what is set aside; nothing where nothing is."""
    how = settings.select
    thresholds = {"lexical": how.lexical_threshold, "semantic": how.semantic_threshold}
    kinds = {kind: thresholds[kind] for kind in sorted(set(how.near_duplicates))}
    return {"near_duplicates": kinds} if kinds else {}


def evaluations(warehouse: Warehouse, settings: Settings) -> dict[str, str]:
    """Return the digests of the evaluation files by role and name."""
    from curate.storage.formats import source_digest, source_name

    return {
        f"evaluation:{place}:{source_name(path)}": source_digest(path, warehouse.digests.file)
        for place, path in enumerate(settings.select.decontaminate)
    }


def screen(warehouse: Warehouse, settings: Settings, corpus: str, pool: Pool) -> Screened:
    """Return the pool without contaminated rows, then without near-duplicates of the rows that are left.

    Of near-duplicates the pinned row is kept, otherwise the one with the smallest example id. Pinned rows are never
    set aside as near-duplicates of each other.

    Raises
    ------
    InputError
        If an evaluation file cannot be read, or has no usable row.
    MissingExtraError
        If lexical near-duplicates are asked for and the MinHash library is not installed.
    """
    how = settings.select
    found = Screened(pool, np.full(len(pool), "", pool.example_id.dtype), np.full(len(pool), np.nan))
    if how.decontaminate:
        found = _decontaminated(warehouse, settings, corpus, found)
    if "lexical" in how.near_duplicates:
        from curate.selectors.text.near_duplicates import WORDS, lexical
        from curate.selectors.text.shingles import shingles

        order = _preferred(found.pool)
        texts = shingles(_texts(warehouse, corpus), WORDS).of(order)
        found = _without(found, "lexical", order, lexical(texts, how.lexical_threshold))
    if "semantic" in how.near_duplicates:
        from curate.selectors.text.near_duplicates import semantic

        order = _preferred(found.pool)
        if pool.embeddings is None or pool.cluster is None:
            raise InputError(
                "semantic near-duplicates need embeddings and clusters, which this corpus does not have yet"
            )
        dropped = semantic(pool.embeddings[order], pool.cluster[order], how.semantic_threshold)
        found = _without(found, "semantic", order, dropped)
    return found


def _preferred(pool: Pool) -> NDArray[np.int64]:
    """Return the eligible rows, the one to keep first: pinned rows, then by example id."""
    pinned = np.zeros(len(pool), np.bool_) if pool.pinned is None else pool.pinned
    rows = np.flatnonzero(pool.eligible)
    return rows[np.lexsort((pool.example_id[rows], ~pinned[rows]))]


def _without(found: Screened, kind: str, order: NDArray[np.int64], dropped: Dropped) -> Screened:
    """Return what is left without the rows that were dropped; `order` has the pool's row at each place."""
    pool, related, overlap = found.pool, found.related_id.copy(), found.overlap.copy()
    pinned = np.zeros(len(pool), np.bool_) if pool.pinned is None else pool.pinned
    gone = np.flatnonzero((dropped.keeper >= 0) & ~pinned[order])
    rows, keepers = order[gone], order[dropped.keeper[gone]]
    eligible, reason = pool.eligible.copy(), pool.reason.copy()
    eligible[rows], reason[rows] = False, f"{DUPLICATE}:{kind}"
    # What repeated a row that goes now repeats the one that stays.
    keeper_of = dict(zip(pool.example_id[rows].tolist(), pool.example_id[keepers].tolist(), strict=True))
    for row in np.flatnonzero(np.isin(related, pool.example_id[rows])):
        related[row] = keeper_of[str(related[row])]
    related[rows], overlap[rows] = pool.example_id[keepers], dropped.similarity[gone]
    return Screened(replace(pool, eligible=eligible, reason=reason), related, overlap)


def _decontaminated(warehouse: Warehouse, settings: Settings, corpus: str, found: Screened) -> Screened:
    from curate.selectors.text.contamination import WORDS, contamination
    from curate.selectors.text.shingles import shingles

    items = [example for path in settings.select.decontaminate for example in _items(path)]
    questions = shingles(((prompt_text(item.turns),) for item in items), WORDS)
    held = contamination(shingles(_texts(warehouse, corpus), WORDS), questions)
    rows = np.flatnonzero((held.item >= 0) & found.pool.eligible)
    eligible, reason = found.pool.eligible.copy(), found.pool.reason.copy()
    eligible[rows], reason[rows] = False, CONTAMINATED
    related, overlap = found.related_id.copy(), found.overlap.copy()
    related[rows] = [items[item].id for item in held.item[rows].tolist()]
    overlap[rows] = held.overlap[rows]
    return Screened(replace(found.pool, eligible=eligible, reason=reason), related, overlap)


def _items(path: str) -> list[Example]:
    from curate.storage.formats import read_source

    return [row for row in read_source(path, None, None, None) if isinstance(row, Example)]


def _texts(warehouse: Warehouse, corpus: str) -> Iterator[tuple[str, ...]]:
    """Yield the prompt and the response of every example, a part of the corpus at a time."""
    for batch in warehouse.batches("corpus", corpus, columns=["prompt", "response"]):
        yield from zip(batch.column("prompt").to_pylist(), batch.column("response").to_pylist(), strict=True)
