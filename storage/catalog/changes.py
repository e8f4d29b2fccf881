"""What changed in a warehouse since its catalog was published: artefacts and runs that are new, changed or gone.

The catalog holds a mark of every artefact's folder and manifest. Comparing it takes two calls of ``stat`` per artefact;
only manifests whose mark differs are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.schemas.artefacts import NOUNS, Manifest, Noun
from curate.storage.catalog.sql_text import quoted_list
from curate.storage.catalog.tiers import both
from curate.storage.warehouse import listing, runs
from curate.storage.warehouse.builder import MANIFEST

if TYPE_CHECKING:
    import duckdb

    from curate.storage.warehouse.runs import RunRecord
    from curate.storage.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class Changes:
    """What a publication has to write and to remove."""

    manifests: dict[Noun, list[Manifest]]
    """New and changed artefacts, oldest first."""
    marks: dict[str, str]
    """Their marks by id."""
    clusters: set[str]
    """Ids of all clusters artefacts that can be read."""
    runs: list[RunRecord]
    """Runs that the catalog lacks, or that had not ended."""
    stale: list[str]
    """Ids of artefacts and runs whose rows are removed: gone, or written again."""
    nouns: set[Noun]
    """Nouns of which an artefact is new, changed or gone."""
    problems: list[str]
    """A sentence for each artefact and run record that cannot be read."""


def find_changes(con: duckdb.DuckDBPyConnection, warehouse: Warehouse) -> Changes:
    """Compare the warehouse with the catalog that is the current database of the session."""
    known: dict[Noun, dict[str, str | None]] = {noun: {} for noun in NOUNS}
    for noun, artefact_id, mark in con.execute(f"SELECT * FROM ({both('artefacts')})").fetchall():
        known[noun][artefact_id] = mark
    listings = {noun: listing.list_artefacts(warehouse.root, noun, known[noun]) for noun in NOUNS}
    problems = [str(problem) for one in listings.values() for problem in one.problems]
    manifests = {noun: one.manifests[::-1] for noun, one in listings.items()}
    gone = {noun: known[noun].keys() - set(listings[noun].unchanged) for noun in NOUNS}
    moved = {one.id for one in manifests["clusters"]} | gone["clusters"]
    dependent = _dependent(con, moved) - gone["selection"]
    again, unreadable = _read(warehouse, dependent)
    manifests["selection"] = sorted([*manifests["selection"], *again], key=lambda one: one.age_key)
    records, stale_runs, damaged_runs = _runs(con, warehouse)
    return Changes(
        manifests,
        {name: mark for one in listings.values() for name, mark in one.marks.items()}
        | {one.id: known["selection"][one.id] or "" for one in again},
        {*listings["clusters"].unchanged, *(one.id for one in manifests["clusters"])},
        records,
        [*(name for names in gone.values() for name in sorted(names)), *sorted(dependent), *stale_runs],
        {noun for noun in NOUNS if manifests[noun] or gone[noun]},
        [*problems, *unreadable, *damaged_runs],
    )


def _dependent(con: duckdb.DuckDBPyConnection, clusters: set[str]) -> set[str]:
    """Return the ids of the selections whose rows name terms of clusters that are new, changed or gone."""
    if not clusters:
        return set()
    sql = f"SELECT selection_id FROM selections WHERE clusters_id IN {quoted_list(sorted(clusters))}"
    return {name for (name,) in con.execute(sql).fetchall()}


def _read(warehouse: Warehouse, selections: set[str]) -> tuple[list[Manifest], list[str]]:
    """Return the manifests of selections, and a sentence for each that has become unreadable."""
    manifests, problems = [], []
    for name in sorted(selections):
        try:
            manifests.append(listing.read_manifest(warehouse.folder("selection", name) / MANIFEST))
        except listing.UnreadableArtefact as problem:
            problems.append(str(problem))
    return manifests, problems


def _runs(con: duckdb.DuckDBPyConnection, warehouse: Warehouse) -> tuple[list[RunRecord], list[str], list[str]]:
    """Return the runs to write, the ids of those whose rows are removed, and a sentence for each unreadable record."""
    rows = con.execute("SELECT run_id, finished IS NOT NULL FROM runs").fetchall()
    present = set(runs.run_ids(warehouse.root)[0])
    # The record of a run that has ended is never written again.
    ended = {run_id for run_id, over in rows if over} & present
    records, problems = runs.read_runs(warehouse.root, ended)
    return records, sorted({run_id for run_id, _ in rows} - ended), problems
