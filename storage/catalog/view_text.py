"""Writes the SELECT statements of the catalog's views from a list of files.

Artefacts with one file in a table, as all ledgers have, share one scan for each layout of columns: the artefact's id
comes from the path, and DuckDB drops the files of other artefacts by a WHERE on the id before it opens them. An
artefact with several files has a scan of its own, so that the profile of a query names it
(`curate.storage.catalog.read_files`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from curate.schemas.corpus import MESSAGES
from curate.storage.catalog.columns import Column, View, duckdb_type
from curate.storage.catalog.corpus_views import CONTEXT_TURNS, EXAMPLES_VIEW, SOURCES_OF
from curate.storage.catalog.location import files_sql
from curate.storage.catalog.sql_text import quoted, quoted_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Listed:
    """The files of one artefact that a view reads."""

    artefact_id: str
    layout: str
    """Names and types of the columns of its files, as a digest."""
    columns: tuple[str, ...]
    files: tuple[str, ...]
    """Paths inside the warehouse: ``selection/<id>/part-00000.parquet``."""


def select_sql(view: View, listed: Sequence[Listed], sources: Mapping[str, Sequence[str]], root: Path) -> str:
    """Return the SELECT of one view over the files of some artefacts.

    Columns that an artefact of an older version lacks are null; without any artefact the view is empty and typed.

    Parameters
    ----------
    listed : sequence of Listed
        Artefacts that the view reads, oldest first.
    sources : mapping of str to sequence of str
        Files of the table ``sources`` of each corpus; only the view ``examples`` reads them.
    """
    if not listed:
        nothing = ", ".join(f"NULL::{one.type} AS {quoted_name(one.name)}" for one in view.columns)
        return f"SELECT {nothing} WHERE false"
    if view is EXAMPLES_VIEW:
        return "\nUNION ALL\n".join(_example_branch(one, sources.get(one.artefact_id, ()), root) for one in listed)
    single = sorted((one for one in listed if len(one.files) == 1), key=lambda one: one.layout)
    groups = [list(group) for _, group in groupby(single, lambda one: one.layout)]
    groups += [[one] for one in listed if len(one.files) > 1]
    return "\nUNION ALL\n".join(_branch(view, group, root) for group in groups)


def _branch(view: View, group: Sequence[Listed], root: Path) -> str:
    """Return the SELECT over artefacts with one file each, or over one artefact."""
    first, *rest = view.columns
    # The path ends with <id>/<file>; the expression folds to a constant for each file.
    artefact_id = quoted(group[0].artefact_id) if len(group) == 1 else "parse_path(rows.filename)[-2]"
    columns = [f"{artefact_id}::VARCHAR AS {quoted_name(first.name)}"]
    columns += [_column(one, group[0].columns) for one in rest]
    files = [file for one in group for file in one.files]
    return f"SELECT {', '.join(columns)}\nFROM {_scan(files, root, len(group) > 1)} AS rows"


def _example_branch(one: Listed, sources: Sequence[str], root: Path) -> str:
    """Return the SELECT over one corpus, whose examples have the list of their sources."""
    first, *rest = EXAMPLES_VIEW.columns
    columns = [f"{quoted(one.artefact_id)}::VARCHAR AS {quoted_name(first.name)}"]
    columns += [_column(column, one.columns) for column in rest if column is not SOURCES_OF]
    columns.append(f"listed.sources::{SOURCES_OF.type} AS {quoted_name(SOURCES_OF.name)}")
    rows = f"{_scan(one.files, root)} AS rows\nLEFT JOIN ({_sources(sources, root)}) AS listed USING (example_id)"
    return f"SELECT {', '.join(columns)}\nFROM {rows}"


def _column(column: Column, present: Sequence[str]) -> str:
    if column is CONTEXT_TURNS:
        return f"{_CONTEXT_TURNS} AS {quoted_name(column.name)}"
    value = f"rows.{quoted_name(column.name)}" if column.name in present else "NULL"
    return f"{value}::{column.type} AS {quoted_name(column.name)}"


# The cast gives the turns of older versions, which lack the field, null: supervised.
_CONTEXT_TURNS = (
    f"list_filter(range(len(rows.messages)), lambda i: (rows.messages::{duckdb_type(MESSAGES)})[i + 1].supervised "
    f"IS NOT DISTINCT FROM false)::{CONTEXT_TURNS.type}"
)


def _scan(files: Sequence[str], root: Path, with_name: bool = False) -> str:
    # Otherwise a folder named licence=x above the warehouse would become a column (Hive partitioning).
    named = ", filename = true" if with_name else ""
    return f"read_parquet({files_sql(files, root)}, hive_partitioning = false{named})"


def _sources(files: Sequence[str], root: Path) -> str:
    """Return the SELECT of the sources of each example; typed and empty for a corpus without sources."""
    if not files:
        return "SELECT NULL::VARCHAR AS example_id, NULL AS sources WHERE false"
    packed = 'list_sort(list(struct_pack("source" := "source", "row" := "row", "licence" := licence)))'
    return f"SELECT example_id, {packed} AS sources FROM {_scan(files, root)} GROUP BY example_id"
