"""Checks of ``curate doctor`` beyond the bytes of parts: a stale or unreadable catalog, and unfinished artefacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.artefacts import NOUNS, Noun
from curate.schemas.errors import CurateError
from curate.storage.catalog.location import FILE as CATALOG
from curate.storage.catalog.read_only import open_catalog, run_sql
from curate.storage.catalog.sql_text import quoted_name
from curate.storage.catalog.views import VIEWS

if TYPE_CHECKING:
    from curate.storage.warehouse.warehouse import Warehouse

_REBUILD = "run `curate catalog rebuild`"


def catalog_problems(warehouse: Warehouse) -> list[str]:
    """Return a message for each problem of the catalog: missing, unreadable views, other selections than on disk.

    Opens one or two files per view, independent of the number of rows.
    """
    listing = warehouse.scan("selection")
    on_disk = {one.id for one in listing.manifests}
    # The catalog may hold an unreadable selection from before; `curate doctor` reports its manifest by itself.
    unreadable = {problem.artefact_id for problem in listing.problems}
    path = warehouse.root / CATALOG
    if not path.exists():
        return [f"there is no {path}, but there are selections; {_REBUILD}"] if on_disk else []
    problems = []
    try:
        with open_catalog(warehouse.root, warehouse.verify) as con:
            for view in VIEWS:
                try:
                    run_sql(con, f"SELECT * FROM {quoted_name(view.name)} LIMIT 1")
                except CurateError as error:
                    problems.append(f"table {view.name} of {path} cannot be read: {error}")
            listed = set(run_sql(con, "SELECT selection_id FROM selections")["selection_id"].to_pylist())
    except CurateError as error:
        return [str(error)]
    if listed - unreadable != on_disk - unreadable:
        example = sorted((listed ^ on_disk) - unreadable)[0]
        problems.append(f"{path} and the artefacts do not hold the same selections ({example} differs); {_REBUILD}")
    return problems


def unfinished(warehouse: Warehouse) -> list[tuple[Noun, str]]:
    """Return noun and id of every artefact without a manifest: being built, or interrupted."""
    return [(noun, artefact_id) for noun in NOUNS for artefact_id in warehouse.scan(noun).unfinished]
