"""Quoting of literals and identifiers, tested with DuckDB and a real file system."""

import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.storage.catalog.sql_text import quoted, quoted_list, quoted_name

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@settings(deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=4))
@example(["'", "''", '"', "\\", "\\'", "a'; DROP TABLE t; --", "$1", "?", "\n", "é “ü” 漢 🙂", "%s", "{x}", " "])
def test_literals_round_trip(con: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    assert con.execute(f"SELECT {quoted(texts[0])}, {quoted_list(texts)}").fetchall() == [(texts[0], texts)]


@settings(deadline=None)
@given(TEXT.filter(bool))
@example('a"b')
def test_identifiers_round_trip(con: duckdb.DuckDBPyConnection, text: str) -> None:
    assert con.execute(f"SELECT 1 AS {quoted_name(text)}").description[0][0] == text


FILE_NAME = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=30).filter(
    lambda text: text not in (".", "..")
)


@settings(deadline=None, max_examples=60)
@given(FILE_NAME)
@example("it's")
@example('say "no"')
@example("back\\slash\\")
@example("b[1]")
@example("s*r?")
@example("{a,b}")
@example("a=1")
@example("ü é 漢🙂")
@example("%41 +~$HOME")
def test_files_of_any_name_are_read(con: duckdb.DuckDBPyConnection, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / text / "part-00000.parquet"
        path.parent.mkdir()
        pq.write_table(pa.table({"value": [text]}), path)
        sql = f"SELECT value FROM read_parquet({quoted_list([str(path)])}, hive_partitioning = false)"
        assert con.execute(sql).fetchall() == [(text,)]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_sql_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NUL|surrogates"):
        quoted(text)
