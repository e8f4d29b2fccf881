"""Checks the files that a query has read, before its rows are returned: DuckDB checks neither digests nor checksums.

DuckDB's profile of a query names the Parquet files that it has read, at most the first few of each scan. A view has one
scan per artefact and table, so that those name the artefact, and all parts of that table are checked.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from curate.storage.catalog.location import root_of
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
    for noun, artefact_id, table in sorted(tables_read(profile, root)):
        folder = root / noun / artefact_id
        parts = [part for part in read_manifest(folder / "manifest.json").parts if part.table == table]
        integrity.check_parts(folder, parts)


def tables_read(profile: str, root: Path) -> set[Table]:
    """Return the tables of artefacts that a query has read, from its profile as JSON text."""
    inside = re.compile(re.escape(f"{root}/") + r"([a-z]+)/([^/]+)/([^/,]+\.parquet)")
    tables = set()
    for names in _file_names(json.loads(profile)):
        for noun, artefact_id, name in inside.findall(names):
            if parsed := parse_name(name):
                tables.add((noun, artefact_id, parsed[0]))
    return tables


def _file_names(node: dict[str, Any]) -> Iterator[str]:
    """Yield the file names of every scan, as the profile has them: joined by commas, and cut after the first few."""
    names = node.get("extra_info", {}).get("Filename(s)")
    if names:
        yield names if isinstance(names, str) else ", ".join(names)
    for child in node.get("children", []):
        yield from _file_names(child)
