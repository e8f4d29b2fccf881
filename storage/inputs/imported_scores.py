"""Reads files of user-supplied scores, keyed by example id or row number, into one row per example and signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from curate.schemas.errors import InputError, first_line
from curate.schemas.scores import IMPORTED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

MISSING = ["", "nan", "NaN", "NA", "null", "None"]
"""Texts that mean a missing number in a text file."""

READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".csv": lambda path: pl.read_csv(path, infer_schema_length=None, null_values=MISSING),
    ".tsv": lambda path: pl.read_csv(path, separator="\t", infer_schema_length=None, null_values=MISSING),
    ".jsonl": lambda path: pl.read_ndjson(path, infer_schema_length=None),
    ".ndjson": lambda path: pl.read_ndjson(path, infer_schema_length=None),
}
KEYS = ("example_id", "row", "source")


@dataclass(frozen=True)
class ImportedScores:
    """The scores of a file for a corpus."""

    table: pa.Table
    """Schema `IMPORTED`, sorted by signal, then example id."""
    n_rows: int
    """Rows of the file."""
    n_unknown: int
    """Rows whose example id or row number is not in the corpus."""
    n_missing: int
    """Values that are null or not finite."""


def read_imported(path: Path, sources: pa.Table) -> ImportedScores:
    """Return the scores in `path` by example.

    Parameters
    ----------
    path : Path
        Parquet, CSV, TSV or JSON lines, with a column ``example_id``, or ``row`` (row number in the corpus file, from 1
        as in the table ``sources``; with several files also ``source``), and one numeric column per signal. Several
        rows of one example, such as exact duplicates, are averaged.
    sources : Table
        The corpus's side table: ``example_id``, ``source``, ``row``.

    Raises
    ------
    InputError
        If the file cannot be read, has no key or no numeric column, its row numbers are ambiguous, or none of its rows
        is in the corpus.
    """
    frame = _read(path)
    signals = [
        name for name, kind in frame.schema.items() if name not in KEYS and (kind.is_numeric() or kind == pl.Boolean)
    ]
    if not signals:
        raise InputError(f"{path} has no numeric column besides {', '.join(KEYS)}; its columns are {_listed(frame)}")
    keyed = _with_example_ids(frame, path, sources)
    known = keyed.filter(pl.col("example_id").is_not_null())
    long = known.select("example_id", *(pl.col(name).cast(pl.Float64) for name in signals)).unpivot(
        index="example_id", variable_name="signal", value_name="value"
    )
    finite = long.filter(pl.col("value").is_finite().fill_null(False))
    if not len(finite):
        raise InputError(
            f"no value of {path} belongs to an example of this corpus; use the corpus's example ids, or row numbers "
            "counted from 1, and --corpus FILE if it is not the newest corpus"
        )
    mean = finite.group_by("signal", "example_id").agg(pl.col("value").mean()).sort("signal", "example_id")
    table = mean.select(IMPORTED.names).to_arrow().cast(IMPORTED)
    return ImportedScores(table, len(frame), len(frame) - len(known), len(long) - len(finite))


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}; pass a file of scores")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} is not in a supported format of scores; supported are {', '.join(READERS)}")
    try:
        return reader(path)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        reason = first_line(error)
        raise InputError(f"{path} cannot be read ({reason}); write it again") from error


def _with_example_ids(frame: pl.DataFrame, path: Path, sources: pa.Table) -> pl.DataFrame:
    """Return the frame with the example id of every row, null for rows that are not in the corpus."""
    origins = pl.DataFrame(sources.select(["example_id", "source", "row"]))
    if "example_id" in frame.columns:
        known = origins.select("example_id").unique().with_columns(known=pl.col("example_id"))
        joined = frame.with_columns(pl.col("example_id").cast(pl.String)).join(known, on="example_id", how="left")
        return joined.drop("example_id").rename({"known": "example_id"})
    if "row" not in frame.columns:
        raise InputError(f"{path} has no column example_id or row; its columns are {_listed(frame)}")
    keys = ["row"]
    if "source" in frame.columns:
        keys.append("source")
    elif origins["source"].n_unique() > 1:
        raise InputError(
            f"{path} has row numbers, and the corpus has several files; add a column source with the file's name"
        )
    try:
        typed = frame.with_columns(pl.col("row").cast(pl.Int64))
    except pl.exceptions.PolarsError as error:
        raise InputError(f"column row of {path} does not hold whole numbers; count rows from 1") from error
    return typed.join(origins, on=keys, how="left")


def _listed(frame: pl.DataFrame) -> str:
    return ", ".join(frame.columns) or "none"
