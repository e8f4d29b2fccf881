from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.schemas.clusters import TERMS
from curate.schemas.embeddings import embeddings_schema
from curate.storage.warehouse import part_file

ROW = st.fixed_dictionaries(
    {
        "cluster": st.integers(0, 9),
        "size": st.integers(0, 2**40),
        "terms": st.lists(st.text(st.characters(codec="utf-8"), max_size=5), max_size=3),
    }
)


@settings(deadline=None)
@given(st.lists(ROW, max_size=12), st.data())
def test_equal_rows_give_equal_bytes_however_chunked(rows: list[dict[str, object]], data: st.DataObject) -> None:
    whole = pa.Table.from_pylist(rows, schema=TERMS)
    cut = data.draw(st.integers(0, len(rows)))
    pieces = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    shifted = pa.Table.from_pylist([*rows[:1], *rows], schema=TERMS.with_metadata({"pandas": "x"})).slice(len(rows[:1]))
    content = part_file.encode(whole, TERMS)
    assert part_file.encode(pieces, TERMS) == content
    assert part_file.encode(shifted, TERMS) == content
    again = part_file.decode(content)
    assert again.schema.equals(TERMS)
    assert again.to_pylist() == rows


def test_a_part_is_one_batch_even_when_empty(tmp_path: Path) -> None:
    schema = embeddings_schema(3)
    path = tmp_path / "part-00000.parquet"
    path.write_bytes(part_file.encode(schema.empty_table(), schema))
    batch = part_file.one_batch(part_file.decode(path))
    assert batch.num_rows == 0
    assert batch.schema.equals(schema)
    assert part_file.row_count(path) == 0


def test_columns_have_the_requested_order() -> None:
    content = part_file.encode(pa.Table.from_pylist([{"cluster": 1, "size": 2, "terms": ["a"]}], schema=TERMS), TERMS)
    assert part_file.decode(content, ["terms", "cluster"]).to_pylist() == [{"terms": ["a"], "cluster": 1}]
    with pytest.raises(KeyError, match="no column 'speed'"):
        part_file.decode(content, ["speed"])


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ({"cluster": [1], "size": [1]}, "are not the schema's"),
        ({"cluster": [None], "size": [1], "terms": [["a"]]}, "non-nullable"),
        ({"cluster": ["x"], "size": [1], "terms": [["a"]]}, "Failed to parse"),
        ({"cluster": [2**40], "size": [1], "terms": [["a"]]}, "out of bounds|not in range"),
    ],
)
def test_rows_that_do_not_fit_the_schema_are_refused(rows: dict[str, list[object]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        part_file.encode(pa.table(rows), TERMS)


@given(st.from_regex(r"[a-z][a-z_]*", fullmatch=True), st.integers(0, 10**6))
def test_names_round_trip(table: str, index: int) -> None:
    assert part_file.parse_name(part_file.file_name(table, index)) == (table, index)


@pytest.mark.parametrize(
    "name", ["manifest.json", ".tmp-1-part-00000.parquet", "part-1.parquet", "part-00000.parquet.x"]
)
def test_names_of_other_files_are_not_parts(name: str) -> None:
    assert part_file.parse_name(name) is None


@pytest.mark.parametrize(("table", "index"), [("Part", 0), ("a-b", 0), ("part", -1), ("../x", 0)])
def test_names_that_cannot_be_files_are_refused(table: str, index: int) -> None:
    with pytest.raises(ValueError, match="cannot be a file name"):
        part_file.file_name(table, index)
