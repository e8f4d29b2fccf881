"""A user's own numbers find their examples by id or by row; what belongs nowhere is counted, not lost in silence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pytest

from curate.schemas.errors import InputError
from curate.storage.inputs.imported_scores import read_imported

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = pa.table(
    {"example_id": ["aa", "bb", "cc", "aa"], "source": ["x.jsonl"] * 4, "row": pa.array([1, 2, 3, 4], pa.int64())}
)


def rows(path: Path, sources: pa.Table = SOURCES) -> list[tuple[str, str, float]]:
    table = read_imported(path, sources).table
    return [(one["example_id"], one["signal"], one["value"]) for one in table.to_pylist()]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv", "jsonl"])
def test_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame({"example_id": ["cc", "aa"], "quality": [0.5, 2.0], "flag": [True, False], "note": ["x", "y"]})
    path = tmp_path / f"scores.{suffix}"
    if suffix == "parquet":
        frame.write_parquet(path)
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dicts()))
    else:
        frame.write_csv(path, separator="\t" if suffix == "tsv" else ",")
    assert rows(path) == [
        ("aa", "flag", 0.0), ("cc", "flag", 1.0), ("aa", "quality", 2.0), ("cc", "quality", 0.5)
    ]  # fmt: skip


def test_row_numbers_and_copies_of_one_text(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("row,quality\n1,1.0\n4,3.0\n2,5\n9,7\n3,nan\n")
    result = read_imported(path, SOURCES)
    assert rows(path) == [("aa", "quality", 2.0), ("bb", "quality", 5.0)]
    assert (result.n_rows, result.n_unknown, result.n_missing) == (5, 1, 1)


def test_row_numbers_of_several_files_need_the_file(tmp_path: Path) -> None:
    several = SOURCES.set_column(1, "source", pa.array(["x.jsonl", "x.jsonl", "y.jsonl", "y.jsonl"]))
    path = tmp_path / "scores.csv"
    path.write_text("row,quality\n1,1.0\n")
    with pytest.raises(InputError, match="add a column source"):
        read_imported(path, several)
    path.write_text("row,source,quality\n3,y.jsonl,1.0\n3,x.jsonl,9\n")
    assert rows(path, several) == [("cc", "quality", 1.0)]


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        (
            "example_id,note\naa,x\n",
            "no numeric column besides example_id, row, source; its columns are example_id, note",
        ),
        ("quality\n1\n", "no column example_id or row"),
        ("example_id,quality\nzz,1\n", "no value of .* belongs to an example"),
        ("example_id,quality\naa,nan\nzz,1\n", "no value of .* belongs to an example"),
        ("row,quality\nfirst,1\n", "does not hold whole numbers"),
        ("", "cannot be read"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, piece: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=piece):
        read_imported(path, SOURCES)


def test_files_that_are_not_there_or_of_no_known_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read_imported(tmp_path / "absent.csv", SOURCES)
    (tmp_path / "scores.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match="not in a supported format of scores"):
        read_imported(tmp_path / "scores.xlsx", SOURCES)
    (tmp_path / "scores.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match="cannot be read"):
        read_imported(tmp_path / "scores.parquet", SOURCES)
