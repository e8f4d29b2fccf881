"""Checks the files that a query has read, before its rows are returned: DuckDB checks neither digests nor checksums.

DuckDB's profile of a query names the Parquet files that it has read, at most the first few of each scan. A scan of one
artefact is named by those, and all parts of that table are checked. A scan of many artefacts with one file each
(`curate.storage.catalog.view_text`) is named in full or, if it read more files, taken for one of all of them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from curate.storage.catalog.location import root_of
from curate.storage.catalog.sql_text import quoted_list
from curate.storage.catalog.tiers import both
from curate.storage.catalog.views import VIEWS
from curate.storage.warehouse import integrity
from curate.storage.warehouse.listing import read_manifest
from curate.storage.warehouse.part_file import parse_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb

    Table = tuple[str, str, str]
    """Noun, artefact id and table."""


def watch(con: duckdb.DuckDBPyConnection) -> None:
    """Let the session keep a profile of its last query, which `check_files` reads."""
    con.execute("PRAGMA enable_profiling = 'no_output'")


def check_files(con: duckdb.DuckDBPyConnection) -> None:
    """Raise an error if the last query of a watched session has read a part that changed after it was written.

    Parameters
    ----------
    con : DuckDBPyConnection
        From `curate.storage.catalog.read_only.open_catalog`; nothing is checked unless it is watched.

    Raises
    ------
    WarehouseError
        If a file is missing, unreadable or changed.
    """
    profile = con.get_profiling_information("json")  # before another statement of this session replaces it
    root = root_of(con)
    read, all_of = tables_read(profile, root)
    for noun, table in all_of:
        read |= {(noun, artefact_id, table) for artefact_id in _published(con, noun, table)}
    for noun, artefact_id, table in sorted(read):
        folder = root / noun / artefact_id
        parts = [part for part in read_manifest(folder / "manifest.json").parts if part.table == table]
        integrity.check_parts(folder, parts)


def _published(con: duckdb.DuckDBPyConnection, noun: str, table: str) -> list[str]:
    """Return the ids of all artefacts that a view over a table of a noun reads."""
    names = quoted_list(view.name for view in VIEWS if (view.noun, view.source) == (noun, table))
    rows = con.execute(f"SELECT DISTINCT artefact_id FROM ({both('files')}) WHERE view_name IN {names}").fetchall()
    return [artefact_id for (artefact_id,) in rows]


def tables_read(profile: str, root: Path) -> tuple[set[Table], set[tuple[str, str]]]:
    """Return what a query has read, from its profile as JSON text.

    Returns
    -------
    set of Table
        Tables of artefacts that it names.
    set of (str, str)
        Noun and table of scans over more artefacts than the profile names.
    """
    inside = re.compile(re.escape(f"{root}/") + r"([a-z]+)/([^/]+)/([^/,]+\.parquet)")
    tables, all_of = set(), set()
    for names, count in _scans(json.loads(profile)):
        named = [(noun, one, parsed[0]) for noun, one, name in inside.findall(names) if (parsed := parse_name(name))]
        tables.update(named)
        if count > len(named) and len(set(named)) > 1:
            all_of.add((named[0][0], named[0][2]))
    return tables, all_of


def _scans(node: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the file names of every scan, joined by commas and cut after the first few, and how many files it read."""
    facts = node.get("extra_info", {})
    if names := facts.get("Filename(s)"):
        yield names if isinstance(names, str) else ", ".join(names), int(facts.get("Total Files Read", 0))
    for child in node.get("children", []):
        yield from _scans(child)
