"""CSV of a query result: exact for programs, or safe for spreadsheets, which run texts that begin like formulas."""

from __future__ import annotations

import json
import sys
from typing import Any

import pyarrow as pa
from pyarrow import csv

from curate.schemas.terminal_text import visible

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
"""First characters that Excel, LibreOffice and Google Sheets read as the beginning of a formula or skip before one."""


def write_csv(result: pa.Table, safe: bool) -> None:
    """Write a query result as CSV to stdout; lists and structs become JSON text.

    Parameters
    ----------
    result : pa.Table
    safe : bool
        Put an apostrophe before texts and names of columns that a spreadsheet would run as a formula.
    """
    columns = [_column(column, safe) for column in result.columns]
    names = [_defused(name) if safe else name for name in result.column_names]
    sink = pa.BufferOutputStream()
    csv.write_csv(pa.table(columns, names=names), sink)
    content = sink.getvalue().to_pybytes()
    if sys.stdout.isatty():  # a pipe gets the bytes as they are
        content = visible(content.decode("utf-8", "replace")).encode()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _column(column: pa.ChunkedArray, safe: bool) -> pa.ChunkedArray:
    if pa.types.is_nested(column.type):
        texts = [
            None if value is None else json.dumps(value, ensure_ascii=False, default=str)
            for value in column.to_pylist()
        ]
        column = pa.chunked_array([pa.array(texts, pa.string())])
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if safe and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        column = pa.chunked_array([pa.array([_defused(value) for value in column.to_pylist()], pa.string())])
    return column


def _defused(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_SIGNS) else value
