"""A user's own signals: a file of numbers by example or by row of the corpus → one row per example and signal.

Knows nothing of what the numbers mean, nor of selectors.
"""

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
"""What stands for a missing number in a text file."""

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
    """What a file of scores holds for a corpus."""

    table: pa.Table
    """Schema `IMPORTED`, by signal, then example id."""
    n_rows: int
    """Rows of the file."""
    n_unknown: int
    """Rows whose example or row number the corpus does not have."""
    n_missing: int
    """Values that are null or not finite."""


def read_imported(path: Path, sources: pa.Table) -> ImportedScores:
    """Return the numbers in `path` by example.

    Parameters
    ----------
    path : Path
        Parquet, CSV, TSV or JSON lines, with a column ``example_id``, or ``row`` (the row of the corpus file, counted
        from 1 as in the table ``sources``; with several files also ``source``), and a numeric column for each signal.
        Several rows of one example, as exact duplicates have them, are averaged.
    sources : Table
        The corpus's side table: ``example_id``, ``source``, ``row``.

    Raises
    ------
    InputError
        If the file cannot be read, has no key or no numeric column, a row number could mean several files, or nothing
        in it belongs to the corpus.
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
            f"no number of {path} belongs to an example of this corpus; give the corpus's example ids, or row numbers "
            "counted from 1, and --corpus FILE if it is not the newest corpus"
        )
    mean = finite.group_by("signal", "example_id").agg(pl.col("value").mean()).sort("signal", "example_id")
    table = mean.select(IMPORTED.names).to_arrow().cast(IMPORTED)
    return ImportedScores(table, len(frame), len(frame) - len(known), len(long) - len(finite))


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}; give a file of scores")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} is of no kind that scores are read from; known are {', '.join(READERS)}")
    try:
        return reader(path)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        reason = first_line(error)
        raise InputError(f"{path} cannot be read ({reason}); write it again") from error


def _with_example_ids(frame: pl.DataFrame, path: Path, sources: pa.Table) -> pl.DataFrame:
    """Return the frame with the example id of every row, null where the corpus has none such."""
    places = pl.DataFrame(sources.select(["example_id", "source", "row"]))
    if "example_id" in frame.columns:
        known = places.select("example_id").unique().with_columns(known=pl.col("example_id"))
        joined = frame.with_columns(pl.col("example_id").cast(pl.String)).join(known, on="example_id", how="left")
        return joined.drop("example_id").rename({"known": "example_id"})
    if "row" not in frame.columns:
        raise InputError(f"{path} has neither a column example_id nor row; its columns are {_listed(frame)}")
    keys = ["row"]
    if "source" in frame.columns:
        keys.append("source")
    elif places["source"].n_unique() > 1:
        raise InputError(
            f"{path} has row numbers, and the corpus several files; add a column source that names the file"
        )
    try:
        typed = frame.with_columns(pl.col("row").cast(pl.Int64))
    except pl.exceptions.PolarsError as error:
        raise InputError(f"column row of {path} does not hold whole numbers; count rows from 1") from error
    return typed.join(places, on=keys, how="left")


def _listed(frame: pl.DataFrame) -> str:
    return ", ".join(frame.columns) or "none"
