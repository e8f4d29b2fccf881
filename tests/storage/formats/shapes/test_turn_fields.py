"""Fields of turns and rows that change what they mean are read or refused; the others are counted."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from references.conversations import examples, problems, write_jsonl, write_parquet

from curate.schemas.corpus import Example, Quarantined, Turn, example_id
from curate.storage.formats import read_source

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
THOUGHT = "<think>\nhm\n</think>\n\na"


def read(tmp_path: Path, *rows: dict[str, Any], **options: Any) -> list[Example | Quarantined]:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, rows)
    return list(read_source(path, **options))


def chat(*turns: dict[str, Any]) -> dict[str, Any]:
    return {"messages": list(turns)}


@pytest.mark.parametrize("field", ["weight", "loss_weight", "train", "training", "trainable", "loss"])
@pytest.mark.parametrize(("off", "on"), [(0, 1), (0.0, 1.0), (False, True), ("false", "true"), (False, None)])
def test_a_turn_that_is_not_trained_on_is_context(field: str, off: object, on: object, tmp_path: Path) -> None:
    row = chat(USER, ANSWER | {field: off}, USER, ANSWER | {"content": "b", field: on})
    shares = {"conversations": [{"from": t["role"], "value": t["content"], **t} for t in row["messages"]]}
    for one in (row, shares, {"prompt": row["messages"][:3], "completion": row["messages"][3:]}):
        (result,) = examples(read(tmp_path, one))
        assert [turn.supervised for turn in result.turns if turn.role == "assistant"] == [False, True]
        assert [turn.content for turn in result.turns] == ["q", "a", "q", "b"]
    plain = examples(read(tmp_path, chat(USER, ANSWER, USER, ANSWER | {"content": "b"})))[0]
    assert result.id != plain.id
    assert plain.id == example_id(plain.turns)


def test_turns_after_the_last_supervised_one_are_left_out(tmp_path: Path) -> None:
    (result,) = examples(read(tmp_path, chat(USER, ANSWER, USER, ANSWER | {"weight": 0})))
    assert [turn.content for turn in result.turns] == ["q", "a"]


def test_both_turns_of_an_unsupervised_message_with_a_call_are_context(tmp_path: Path) -> None:
    call = {"function": {"name": "f", "arguments": {}}}
    (result,) = examples(read(tmp_path, chat(USER, ANSWER | {"tool_calls": [call], "train": False}, USER, ANSWER)))
    assert [turn.supervised for turn in result.turns] == [True, False, False, True, True]


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([USER, ANSWER | {"weight": 0.5}], "turn 2: weight is '0.5'; only 0 and 1, true and false can be used"),
        ([USER, ANSWER | {"train": "some"}], "turn 2: train is 'some'"),
        ([USER, ANSWER | {"mask": True}], "turn 2 has 'mask', which cannot be used"),
        ([USER, ANSWER | {"train_detail": [{"begin_offset": 0}]}], "turn 2 has 'train_detail', which cannot be used"),
        ([USER, ANSWER | {"weight": 0}], "no response that is supervised"),
        ([USER, ANSWER, {"role": "user", "text": "q2"}, ANSWER], "turn 3 has no content, but a text in 'text'"),
        ([USER, ANSWER, {"role": "user", "content": "", "message": "q2"}, ANSWER], "turn 3 has no content, but a te"),
        ([USER, {"role": "assistant", "refusal": "no"}, USER, ANSWER], "turn 2 has no content, but a text in 'refusal"),
        ([USER, {"role": "assistant", "content": None}, USER, ANSWER], "turn 2 has no content"),
        ([{"role": "user", "content": None, "image": "x.png"}, ANSWER, USER, ANSWER], "turn 1 has no content"),
        ([USER, ANSWER | {"thinking": ["hm"]}], "turn 2 has a 'thinking' that is not text"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(turns: list[dict[str, Any]], reason: str, tmp_path: Path) -> None:
    good, problem = read(tmp_path, chat(USER, ANSWER), chat(*turns))
    assert isinstance(good, Example)
    assert isinstance(problem, Quarantined)
    assert problem.reason.startswith(reason)


@pytest.mark.parametrize(
    ("row", "refused"),
    [
        ({"weight": 0}, True), ({"train": False}, True), ({"loss": False}, True), ({"weight": 0.0}, True),
        ({"weight": 1}, False), ({"weight": 0.3}, False), ({"train": None}, False), ({"loss": "0.2"}, False),
    ],
)  # fmt: skip
def test_a_row_that_is_not_trained_on_is_quarantined(row: dict[str, Any], refused: bool, tmp_path: Path) -> None:
    plain = {"instruction": "a", "output": "b"}
    result = read(tmp_path, plain, plain | row)
    assert len(problems(result)) == refused
    if refused:
        assert problems(result)[0].reason.endswith("the row is not to be trained on")


@pytest.mark.parametrize("name", ["reasoning_content", "thinking", "reasoning", "thought"])
def test_a_thought_precedes_its_answer(name: str, tmp_path: Path) -> None:
    (result,) = examples(read(tmp_path, chat(USER, ANSWER | {name: "hm"})))
    assert result.turns[-1] == Turn("assistant", THOUGHT)
    (twice,) = examples(read(tmp_path, chat(USER, ANSWER | {name: "hm", "content": THOUGHT})))
    assert twice == result


@pytest.mark.parametrize(
    "part",
    [
        {"type": "thinking", "thinking": "hm"},
        {"type": "reasoning", "text": "hm"},
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
    ],
)
def test_a_thought_may_be_a_part_of_the_content(part: dict[str, Any], tmp_path: Path) -> None:
    (result,) = examples(read(tmp_path, chat(USER, ANSWER | {"content": [part, {"type": "text", "text": "a"}]})))
    assert result.turns[-1] == Turn("assistant", THOUGHT)


def test_a_thought_before_a_call_is_a_turn_of_its_own(tmp_path: Path) -> None:
    call = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [{"name": "f"}]}
    (result,) = examples(read(tmp_path, chat(USER, call)))
    assert [turn.content for turn in result.turns[1:]] == ["<think>\nhm\n</think>", '{"name": "f"}']


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ({"name": "f", "arguments": {"x": None}}, {"name": "f", "arguments": {"x": None}}),
        ({"name": "f", "arguments": '{"x": null}'}, {"name": "f", "arguments": {"x": None}}),
        ({"name": "f", "parameters": {"x": 1}}, {"name": "f", "arguments": {"x": 1}}),
        ({"name": "f", "input": {"x": [None]}}, {"name": "f", "arguments": {"x": [None]}}),
        ({"name": "f", "arguments": None}, {"name": "f"}),
        ({"name": "f", "arguments": {}}, {"name": "f", "arguments": {}}),
    ],
)
def test_arguments_are_read_as_they_are(call: dict[str, Any], text: dict[str, Any], tmp_path: Path) -> None:
    for calls in ([{"type": "function", "function": call}], [call], json.dumps([call])):
        (result,) = examples(read(tmp_path, chat(USER, {"role": "assistant", "content": None, "tool_calls": calls})))
        assert json.loads(result.turns[-1].content) == text


def test_nulls_in_results_are_kept_unless_arrow_added_them(tmp_path: Path) -> None:
    rows = [
        chat(USER, {"role": "function_call", "content": "{}"}, {"role": "tool", "content": value}, ANSWER)
        for value in ({"x": None, "y": 1}, {"x": 2, "y": None})
    ]
    texts = [row.turns[2].content for row in examples(read(tmp_path, *rows))]
    assert texts == ['{"x": null, "y": 1}', '{"x": 2, "y": null}']
    columns: list[dict[str, Any]] = [
        {"messages": [USER, ANSWER | {"tool_calls": [{"name": "f", "arguments": {k: 1}}]}]} for k in ("x", "y")
    ]
    uniform = [{"messages": [turn | {"tool_calls": turn.get("tool_calls")} for turn in r["messages"]]} for r in columns]
    write_parquet(tmp_path / "rows.parquet", uniform)
    calls = [row.turns[-1].content for row in examples(list(read_source(tmp_path / "rows.parquet")))]
    assert calls == ['{"name": "f", "arguments": {"x": 1}}', '{"name": "f", "arguments": {"y": 1}}']


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("    if a:\n        return b\n", "    if a:\n        return b"),
        ("\n\n    return a", "    return a"),
        ("\treturn a", "\treturn a"),
        (" a", "a"),
        ("\n a ", "a"),
        ("a\n    b", "a\n    b"),
        ("   ", ""),
    ],
)
def test_the_indentation_of_the_first_line_is_kept(written: str, kept: str, tmp_path: Path) -> None:
    rows = [{"prompt": written, "completion": "x"}, {"prompt": "x", "completion": written}, chat(
        USER | {"content": written}, ANSWER)]  # fmt: skip
    for row, position in zip(rows, (0, 1, 0), strict=True):
        (result,) = read(tmp_path, row) if kept else [None]
        assert result is None or (isinstance(result, Example) and result.turns[position].content == kept)


def test_ignored_fields_are_counted_in_usable_rows(tmp_path: Path) -> None:
    ignored: Counter[str] = Counter()
    rows = [
        chat(USER | {"name": "Ada", "train": True}, ANSWER | {"weight": 1, "id": "7"})
        | {"prompt_id": 3, "License": "x"},
        chat(USER | {"name": None}, ANSWER) | {"prompt_id": 4, "score": None},
        chat(USER | {"name": "lost"}) | {"prompt_id": 5},
    ]
    result = read(tmp_path, *rows, ignored=ignored)
    assert len(examples(result)) == 2
    assert ignored == {"prompt_id": 2, "messages[].name": 1, "messages[].train": 1, "messages[].id": 1}


def test_columns_of_another_shape_and_mapped_away_are_counted_as_ignored(tmp_path: Path) -> None:
    ignored: Counter[str] = Counter()
    row = {"Instruction": "a", "output": "b", "answer": "c", "Text": "a b"}
    read(tmp_path, row, ignored=ignored)
    assert ignored == {"answer": 1, "Text": 1}
    ignored.clear()
    read(tmp_path, row, column_map={"response": "answer"}, ignored=ignored)
    assert ignored == {"output": 1, "Text": 1}
