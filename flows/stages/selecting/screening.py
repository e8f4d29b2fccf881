"""Screening before a selection: excludes near-duplicates and rows that contain evaluation questions.

Records for each excluded row the row or item that it repeats. Nothing is computed unless its option is set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.schemas.corpus import Example, prompt_text
from curate.schemas.errors import InputError
from curate.schemas.selection import CONTAMINATED, DUPLICATE, Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curate.schemas.settings import Settings
    from curate.selectors.text.near_duplicates import NearDuplicates
    from curate.selectors.text.shingles import Shingles
    from curate.storage.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class Screened:
    """A pool without the excluded rows, and what these repeat."""

    pool: Pool
    related_id: NDArray[np.str_]
    """Shape (n,), example id of the repeated row or of the evaluation item; empty for rows that were not excluded."""
    overlap: NDArray[np.float64]
    """Shape (n,), repeated share, in [0, 1]; NaN for rows that were not excluded."""


def reads(settings: Settings) -> frozenset[str]:
    """Return the inputs of screening, as in `read_pool`, besides the ids."""
    return frozenset({"clusters", "embeddings"} if "semantic" in settings.select.near_duplicates else ())


def screened_by(settings: Settings) -> dict[str, Any]:
    """Return the settings that determine which rows are excluded.

    Empty without near-duplicate screening, so that selections without it keep their ids.
    """
    options = settings.select
    thresholds = {"lexical": options.lexical_threshold, "semantic": options.semantic_threshold}
    kinds = {kind: thresholds[kind] for kind in sorted(set(options.near_duplicates))}
    return {"near_duplicates": kinds} if kinds else {}


def evaluations(warehouse: Warehouse, settings: Settings) -> dict[str, str]:
    """Return the digests of the evaluation files by role and name."""
    from curate.storage.formats import source_digest, source_name

    return {
        f"evaluation:{place}:{source_name(path)}": source_digest(path, warehouse.digests.file)
        for place, path in enumerate(settings.select.decontaminate)
    }


def screen(warehouse: Warehouse, settings: Settings, corpus: str, pool: Pool) -> Screened:
    """Return the pool without contaminated rows, then without near-duplicates of the remaining rows.

    Of near-duplicates the pinned row is kept, otherwise the one with the smallest example id. Pinned rows are never
    excluded as near-duplicates of each other.

    Raises
    ------
    InputError
        If an evaluation file cannot be read, or has no usable row.
    MissingExtraError
        If lexical screening is set and the MinHash library is not installed.
    """
    options = settings.select
    screened = Screened(pool, np.full(len(pool), "", pool.example_id.dtype), np.full(len(pool), np.nan))
    if options.decontaminate:
        screened = _decontaminated(warehouse, settings, corpus, screened)
    if "lexical" in options.near_duplicates:
        from curate.selectors.text.near_duplicates import WORDS, lexical
        from curate.selectors.text.shingles import shingles

        order = _preferred(screened.pool)
        texts = shingles(_texts(warehouse, corpus), WORDS).of(order)
        screened = _without(screened, "lexical", order, lexical(texts, options.lexical_threshold))
    if "semantic" in options.near_duplicates:
        from curate.selectors.text.near_duplicates import semantic

        order = _preferred(screened.pool)
        if pool.embeddings is None or pool.cluster is None:
            raise InputError(
                "semantic near-duplicates need embeddings and clusters, which this corpus does not have yet"
            )
        dropped = semantic(pool.embeddings[order], pool.cluster[order], options.semantic_threshold)
        screened = _without(screened, "semantic", order, dropped)
    return screened


def _preferred(pool: Pool) -> NDArray[np.int64]:
    """Return the eligible rows in order of preference among near-duplicates: pinned rows, then by example id."""
    pinned = np.zeros(len(pool), np.bool_) if pool.pinned is None else pool.pinned
    rows = np.flatnonzero(pool.eligible)
    return rows[np.lexsort((pool.example_id[rows], ~pinned[rows]))]


def _without(screened: Screened, kind: str, order: NDArray[np.int64], dropped: NearDuplicates) -> Screened:
    """Return the pool without the dropped rows; `dropped` refers to positions in `order`, which holds pool rows."""
    pool, related, overlap = screened.pool, screened.related_id.copy(), screened.overlap.copy()
    pinned = np.zeros(len(pool), np.bool_) if pool.pinned is None else pool.pinned
    positions = np.flatnonzero((dropped.keeper >= 0) & ~pinned[order])
    rows, keepers = order[positions], order[dropped.keeper[positions]]
    eligible, reason = pool.eligible.copy(), pool.reason.copy()
    eligible[rows], reason[rows] = False, f"{DUPLICATE}:{kind}"
    # Rows that were excluded earlier as repeats of a row dropped now are redirected to the row that is kept.
    keeper_of = dict(zip(pool.example_id[rows].tolist(), pool.example_id[keepers].tolist(), strict=True))
    for row in np.flatnonzero(np.isin(related, pool.example_id[rows])):
        related[row] = keeper_of[str(related[row])]
    related[rows], overlap[rows] = pool.example_id[keepers], dropped.similarity[positions]
    return Screened(replace(pool, eligible=eligible, reason=reason), related, overlap)


def _decontaminated(warehouse: Warehouse, settings: Settings, corpus: str, screened: Screened) -> Screened:
    from curate.selectors.text.contamination import WORDS, contamination
    from curate.selectors.text.shingles import shingles

    items, questions = evaluation_questions(settings)
    matches = contamination(shingles(_texts(warehouse, corpus), WORDS), questions)
    rows = np.flatnonzero((matches.item >= 0) & screened.pool.eligible)
    eligible, reason = screened.pool.eligible.copy(), screened.pool.reason.copy()
    eligible[rows], reason[rows] = False, CONTAMINATED
    related, overlap = screened.related_id.copy(), screened.overlap.copy()
    related[rows] = [items[item].id for item in matches.item[rows].tolist()]
    overlap[rows] = matches.overlap[rows]
    return Screened(replace(screened.pool, eligible=eligible, reason=reason), related, overlap)


def evaluation_files(settings: Settings) -> list[str]:
    """Return the evaluation files as they can be read from any folder: local ones from the root, addresses as given."""
    given = settings.select.decontaminate
    return [str(Path(path).absolute()) if Path(path).exists() else path for path in given]


def evaluation_questions(settings: Settings) -> tuple[list[Example], Shingles]:
    """Return the items of the evaluation files, and the n-grams of their questions.

    Raises
    ------
    InputError
        If a file cannot be read, or has no usable row.
    """
    from curate.selectors.text.contamination import WORDS
    from curate.selectors.text.shingles import shingles

    items = [example for path in settings.select.decontaminate for example in _items(path)]
    return items, shingles(((prompt_text(item.turns),) for item in items), WORDS)


def _items(path: str) -> list[Example]:
    from curate.storage.formats import read_source

    return [row for row in read_source(path, None, None, None) if isinstance(row, Example)]


def _texts(warehouse: Warehouse, corpus: str) -> Iterator[tuple[str, ...]]:
    """Yield the prompt and the response of every example, a part of the corpus at a time."""
    for batch in warehouse.batches("corpus", corpus, columns=["prompt", "response"]):
        yield from zip(batch.column("prompt").to_pylist(), batch.column("response").to_pylist(), strict=True)
