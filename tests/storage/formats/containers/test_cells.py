"""Columns of Parquet and Arrow files are read whatever their encoding, and named once."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from references.conversations import examples, problems, write_jsonl

from curate.schemas.errors import InputError
from curate.storage.formats import read_source
from curate.storage.formats.containers.arrow_checks import check
from curate.storage.formats.containers.cells import rows_of
from curate.storage.formats.rows import Unreadable

if TYPE_CHECKING:
    from pathlib import Path

TURNS = [
    [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"a{i}", "name": "x" if i % 2 else None}]
    for i in range(7)
]
TEXT = pa.struct([("role", pa.string()), ("content", pa.string()), ("name", pa.string())])
CODED = pa.dictionary(pa.int8(), pa.string())
STRUCTS = {
    "text": TEXT,
    "null key": pa.struct([*TEXT, ("tool_calls", pa.null())]),
    "null list": pa.struct([*TEXT, ("tool_calls", pa.list_(pa.null()))]),
    "large": pa.struct([("role", pa.large_string()), ("content", pa.large_string()), ("name", pa.string())]),
    "views": pa.struct([("role", pa.string_view()), ("content", pa.binary_view()), ("name", pa.string())]),
    "binary": pa.struct([("role", pa.binary()), ("content", pa.large_binary()), ("name", pa.binary())]),
    "dictionary": pa.struct([("role", CODED), ("content", CODED), ("name", CODED)]),
    "map": pa.map_(pa.string(), pa.string()),
    "dates": pa.struct([*TEXT, ("created", pa.timestamp("us"))]),
}
LISTS = {"list": pa.list_, "large": pa.large_list, "view": pa.list_view, "large view": pa.large_list_view}


def column_of(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_map(kind.value_type):
        values = [[list(turn.items()) for turn in turns] for turns in values]
    return pa.array(values, kind)


def cells(array: pa.Array, start: int = 0) -> list[object]:
    batch = pa.record_batch([array], ["x"]).slice(start)
    return [row.values["x"] for row in rows_of(batch, "s", 1)]


@pytest.mark.parametrize("struct", STRUCTS)
@pytest.mark.parametrize("many", LISTS)
@pytest.mark.parametrize("container", ["a.arrow", "a.parquet"])
def test_turns_of_every_type_are_the_same_rows(struct: str, many: str, container: str, tmp_path: Path) -> None:
    if (struct, container) == ("views", "a.parquet"):
        pytest.skip("pyarrow writes views inside lists and cannot read them again")
    table = pa.table({"messages": column_of(TURNS, LISTS[many](STRUCTS[struct]))})
    if container == "a.parquet":
        pq.write_table(table, tmp_path / container, row_group_size=3)
    else:
        with pa.ipc.new_file(str(tmp_path / container), table.schema) as writer:
            writer.write_table(table, max_chunksize=3)
    write_jsonl(tmp_path / "a.jsonl", [{"messages": turns} for turns in TURNS])
    expected = examples(list(read_source(tmp_path / "a.jsonl")))
    result = list(read_source(tmp_path / container))
    assert [row.id for row in examples(result)] == [row.id for row in expected]
    assert not problems(result)


@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize(
    ("array", "values"),
    [
        (pa.array(["a", None, "b"]), ["a", None, "b"]),
        (pa.array([b"a", None, "é".encode()], pa.binary()), ["a", None, "é"]),
        (pa.array([b"ab", None, b"cd"], pa.binary(2)), ["ab", None, "cd"]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.RunEndEncodedArray.from_arrays([2, 3], pa.array(["a", None])), ["a", "a", None]),
        (pa.array([["a", "b"], None, ["c", "d"]], pa.list_(pa.string(), 2)), [["a", "b"], None, ["c", "d"]]),
        (pa.array([[("k", None)], None, []], pa.map_(pa.string(), pa.string())), [{"k": None}, None, {}]),
        (pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"k": null}', None, '"t"'])), [{"k": None}, None, "t"]),
        (pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16, None, b"b" * 16], pa.binary(16))),
         ["a" * 16, None, "b" * 16]),
        (pa.array([{"k": 1, "l": None}, None, {"k": None, "l": [2]}]), [{"k": 1}, None, {"l": [2]}]),
        (pa.array([1.5, None, 2.5]), [1.5, None, 2.5]),
        (pa.nulls(3), [None, None, None]),
        (pa.array([[[{"k": "a"}]], None, [[], None]]), [[[{"k": "a"}]], None, [[], None]]),
    ],
    ids=str,
)  # fmt: skip
def test_the_values_of_a_slice_are_those_of_the_whole(array: pa.Array, values: list[object], start: int) -> None:
    assert cells(array, start) == values[start:]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([b"\x89PNG\r\n\x1a\n"]),
        pa.array([b"RIFF\0\0WAVE"]),
        pa.array([datetime.date(2026, 1, 1)]),
        pa.array([[1.0, 2.0]]),
        pa.array([[("k", "a"), ("k", "b")]], pa.map_(pa.string(), pa.string())),
        pa.array([[(1, "a")]], pa.map_(pa.int64(), pa.string())),
    ],
    ids=str,
)
def test_what_cannot_be_text_is_not_read(array: pa.Array) -> None:
    assert isinstance(cells(array)[0], Unreadable)


def test_a_date_in_the_result_of_a_tool_is_refused_and_not_written_as_python(tmp_path: Path) -> None:
    turn = pa.struct([("role", pa.string()), ("content", pa.struct([("day", pa.date32())]))])
    rows = [[{"role": "user"}, {"role": "tool", "content": {"day": datetime.date(2026, 1, 1)}}]]
    pq.write_table(pa.table({"messages": pa.array(rows, pa.list_(turn))}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a value of type date32\[day\] where JSON is expected"):
        list(read_source(tmp_path / "a.parquet"))


@pytest.mark.parametrize("container", ["a.arrow", "a.parquet"])
@pytest.mark.parametrize("nested", [False, True])
def test_one_name_twice_is_an_error_that_names_it(container: str, nested: bool, tmp_path: Path) -> None:
    twice = pa.StructArray.from_arrays([pa.array(["a"])] * 2, fields=[pa.field("output", pa.string())] * 2)
    columns = [("instruction", pa.array(["q"])), *([("x", twice)] if nested else [("output", pa.array(["a"]))] * 2)]
    table = pa.Table.from_arrays([array for _, array in columns], names=[name for name, _ in columns])
    if container == "a.parquet":
        pq.write_table(table, tmp_path / container)
    else:
        with pa.ipc.new_file(str(tmp_path / container), table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(InputError) as error:
        list(read_source(tmp_path / container))
    assert f"names the column '{'x.output' if nested else 'output'}' twice in its schema" in str(error.value)


def test_of_two_columns_that_differ_in_case_the_first_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"Instruction": ["q"], "OUTPUT": ["a"], "Output": ["b"]}), tmp_path / "a.parquet")
    assert [row.turns[-1].content for row in examples(list(read_source(tmp_path / "a.parquet")))] == ["a"]


def _with_offsets(offsets: list[int]) -> pa.Array:
    buffers = [None, pa.py_buffer(np.array(offsets, np.int32))]
    return pa.Array.from_buffers(pa.list_(pa.string()), len(offsets) - 1, buffers, children=[pa.array(["a", "b"])])


def test_positions_outside_the_data_are_damage() -> None:
    check(_with_offsets([0, 1, 2]))
    wrong = [_with_offsets([0, 5, 2]), _with_offsets([0, 2, 1, 2])]
    wrong.append(pa.DictionaryArray.from_arrays(pa.array([7]), pa.array(["a"]), safe=False))
    wrong.append(pa.ListViewArray.from_arrays(pa.array([1], pa.int32()), pa.array([9], pa.int32()), pa.array(["a"])))
    for array in wrong:
        with pytest.raises(pa.ArrowInvalid):
            check(array)
