"""Definitions of columns and views of the catalog, and the mapping from Arrow to DuckDB types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from curate.schemas.artefacts import Noun


@dataclass(frozen=True)
class Column:
    """One column: name, DuckDB type, and a description with unit, range and direction."""

    name: str
    type: str
    about: str


@dataclass(frozen=True)
class View:
    """A view over the Parquet rows of all artefacts of a noun; the first column is the artefact's id."""

    name: str
    about: str
    noun: Noun
    source: str
    """Table of the artefact that the view reads: ``"part"`` or a side table."""
    columns: tuple[Column, ...]


_SIMPLE = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
}


def duckdb_type(kind: pa.DataType) -> str:
    """Return the DuckDB name of an Arrow type.

    Fixed-size lists become variable lists: Parquet stores both alike, and vectors of two widths share one view.
    """
    if pa.types.is_struct(kind):
        return "STRUCT(" + ", ".join(f'"{inner.name}" {duckdb_type(inner.type)}' for inner in kind) + ")"
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return f"{duckdb_type(kind.value_type)}[]"
    return _SIMPLE[kind]


def columns_of(schema: pa.Schema, first: tuple[str, str], about: dict[str, str]) -> tuple[Column, ...]:
    """Return the columns of a view: the artefact's id (`first`), then the schema's columns with their descriptions."""
    rest = (Column(one.name, duckdb_type(one.type), about[one.name]) for one in schema if one.name != first[0])
    return (Column(first[0], "VARCHAR", first[1]), *rest)
