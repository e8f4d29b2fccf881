"""What a table of the catalog is made of: columns with a DuckDB type and a meaning, and views over artefacts.

Knows nothing of any particular table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from curate.schemas.artefacts import Noun


@dataclass(frozen=True)
class Column:
    """One column: its DuckDB type, and its meaning with unit, range and direction."""

    name: str
    type: str
    about: str


@dataclass(frozen=True)
class View:
    """A view over the Parquet rows of every artefact of a noun, the artefact's id first."""

    name: str
    about: str
    noun: Noun
    source: str
    """Table of the artefact that is read: ``"part"`` or a side table."""
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
    """Return the DuckDB name of an Arrow type that the schemas use; lists of any length are one type in Parquet."""
    if pa.types.is_struct(kind):
        return "STRUCT(" + ", ".join(f'"{inner.name}" {duckdb_type(inner.type)}' for inner in kind) + ")"
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return f"{duckdb_type(kind.value_type)}[]"
    return _SIMPLE[kind]


def columns_of(schema: pa.Schema, first: tuple[str, str], about: dict[str, str]) -> tuple[Column, ...]:
    """Return the columns of a view: the artefact's id, then the schema's own, each with its line."""
    rest = (Column(one.name, duckdb_type(one.type), about[one.name]) for one in schema if one.name != first[0])
    return (Column(first[0], "VARCHAR", first[1]), *rest)
