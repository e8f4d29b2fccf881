"""The incremental reader of JSON documents against the json module, and its recovery after invalid elements."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references.conversations import examples, problems

from curate.storage.formats import read_source
from curate.storage.formats.containers import compressed, json_array, text_window
from curate.storage.formats.containers.text_window import TextWindow
from curate.storage.formats.rows import RawRow

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
_rows = st.lists(st.dictionaries(st.text(max_size=6), _values, min_size=1, max_size=4), max_size=5)


def raw_rows(text: str) -> list[Any]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return list(json_array.read(path, "rows.json"))


def row(number: int, **more: object) -> str:
    return json.dumps({"instruction": f"say {number}", "output": str(number), **more})


@pytest.mark.parametrize("chunk", [1, 3, 17, 4096])
@settings(max_examples=60, deadline=None)
@given(rows=_rows, indent=st.sampled_from([None, 0, 1, 4]), ascii_only=st.booleans())
def test_an_array_is_read_as_json_reads_it(chunk: int, rows: list[Any], indent: int | None, ascii_only: bool) -> None:
    # json.loads of the text, not the rows: it is the obvious reference, surrogates and number forms included.
    text = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compressed, "CHUNK_BYTES", chunk)
        patch.setattr(text_window, "_BEGINNING_CHARACTERS", 1)
        result = raw_rows(text)
    assert [item.values for item in result] == json.loads(text)
    assert [item.number for item in result] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize(
    "text",
    [
        '{{"data": [{0}, {1}]}}',
        '{{"version": "1.0", "count": 2, "ok": true, "rows": [{0}, {1}]}}',
        '{{"train": [{0}], "test": [{1}]}}',
        '{{"info": {{"a": [1]}}, "train": [{0}], "about": {{"n": 1}}, "test": [{1}], "end": null}}',
        "{0}\n{1}",
        "{0} {1}",
        "{0},\n{1},\n",
        "[{0} {1}]",
        "[{0},{1},]",
        "\ufeff [{0},{1}] \n",
    ],
)
def test_wrappers_and_sloppy_separators_lose_nothing(text: str) -> None:
    result = raw_rows(text.format(row(1), row(2)))
    assert [item.values for item in result] == [json.loads(row(1)), json.loads(row(2))]


def test_a_row_with_a_list_of_turns_is_not_a_wrapper(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"id": "7", "conversations": turns}, indent=2))
    (result,) = examples(list(read_source(path)))
    assert [turn.content for turn in result.turns] == ["a", "b"]


TURNS = '[{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]'
BROKEN = {
    "missing value": '{"instruction": "x", "output": }',
    "missing colon": '{"instruction" "x", "output": "y"}',
    "missing closing quote": '{"instruction": "x, "output": "y"}',
    "missing opening quote": '{"instruction": x", "output": "y"}',
    "missing closing brace": '{"instruction": "x", "output": "y"',
    "missing closing bracket": '{"instruction": "x", "history": [["a", "b"], "output": "y"}',
    "python literal": '{"instruction": "x", "output": None}',
    "bare escape": '{"instruction": "\\x", "output": "y"}',
    "raw NUL outside a string": '{"instruction": "x", \0 "output": "y"}',
    "nested objects": '{"turns": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, "output": y}',
    "text that looks like a row": '{"instruction": "}, {\\"instruction\\": \\"no\\"}", "output": }',
}


@pytest.mark.parametrize("chunk", [5, 2**18])
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("before", [0, 3])
def test_reading_continues_after_an_invalid_element(
    broken: str, before: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "CHUNK_BYTES", chunk)
    monkeypatch.setattr(text_window, "_BEGINNING_CHARACTERS", 1)
    good = [row(n, input={"nested": [1, {"deep": 2}]}) for n in range(6)]
    result = raw_rows("[" + ",\n".join([*good[:before], broken, *good[before:]]) + "]")
    assert [item.values for item in result if isinstance(item, RawRow)] == [json.loads(text) for text in good]
    (problem,) = problems(result)
    assert (problem.row, problem.column) == (before + 1, None)
    assert problem.reason.startswith("not valid JSON (")
    assert problem.sample.startswith(broken[:12].replace("\0", "\\x00"))


def test_an_unclosed_list_of_turns_does_not_swallow_the_rows_after_it() -> None:
    good = f'{{"conversations": {TURNS}}}'
    result = raw_rows(f'[{good}, {{"conversations": {TURNS[:-1]}, {good}, {good}]')
    assert [item.values for item in result if isinstance(item, RawRow)] == [json.loads(good)] * 3
    assert [problem.row for problem in problems(result)] == [2]


@pytest.mark.parametrize("ending", ["", ", ", ', {"instruction": "x", "outp', ', {"instruction": "x", "output": "y"}'])
def test_a_truncated_array_keeps_its_complete_rows(ending: str) -> None:
    text = "[" + ", ".join(row(n) for n in range(3)) + ending
    result = raw_rows(text)
    assert len([item for item in result if isinstance(item, RawRow)]) == 3 + ending.endswith("}")
    assert len(problems(result)) == 1


def test_elements_that_are_no_objects_and_text_after_the_end_are_quarantined() -> None:
    result = raw_rows(f'[{row(1)}, 3, "x", null, [1], {row(2)}] trailing')
    assert [item.number for item in result if isinstance(item, RawRow)] == [1, 6]
    assert [problem.reason for problem in problems(result)] == [
        "not a JSON object with named columns but a JSON number",
        "not a JSON object with named columns but a JSON string",
        "not a JSON object with named columns but a JSON null",
        "not a JSON object with named columns but a JSON array",
        "text after the end of the JSON document",
    ]


def test_the_window_holds_one_element_not_the_document(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text("[" + ",".join(row(n, input="x" * 10_000) for n in range(2_000)) + "]")
    window = TextWindow(path)
    window.peek()
    window.advance(1)
    longest = 0
    while window.peek() != "]":
        if window.peek() == ",":
            window.advance(1)
        window.peek()
        window.decode()
        longest = max(longest, len(window.text))
    assert path.stat().st_size > 20_000_000
    assert longest < 3 * compressed.CHUNK_BYTES


def test_a_value_without_an_end_is_given_up_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.storage.formats.containers.text_window.MAX_ROW_BYTES", 50_000)
    monkeypatch.setattr(compressed, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(text_window, "_BEGINNING_CHARACTERS", 1)
    good = f'{{"conversations": {TURNS}}}'
    path = tmp_path / "rows.json"
    path.write_text(f'[{good}, {{"conversations": {TURNS[:-1]}, ' + ", ".join([good] * 2_000) + "]")
    result = list(read_source(path))
    assert len(examples(result)) == 2_001
    assert [problem.row for problem in problems(result)] == [2]
    assert "no end within" in problems(result)[0].reason
