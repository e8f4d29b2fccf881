"""Task files of every kind become items, and a row that cannot be asked is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.schemas.errors import CurateError, InputError
from curate.schemas.evaluation import ITEMS
from curate.storage.inputs.task_files import parse_task, read_items

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def items(word: str, limit: int | None = None) -> list[dict[str, Any]]:
    result = list(read_items(parse_task(word), limit))
    pa.Table.from_pylist(result, schema=ITEMS)
    return result


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"instruction": "a", "input": "", "output": "b"}, "rows"),
        ({"question": "a", "answer": "b"}, "rows"),
        ({"question": "a", "choices": ["x", "y"], "answer": 1}, "choice"),
        ({"question": "a", "A": "x", "B": "y", "answer": "B"}, "choice"),
        ({"prompt": "a", "rules": ["json"]}, "instructions"),
        ({"document": "a b", "summary": "a"}, "summary"),
        ({"text": "some words"}, "perplexity"),
    ],
)
def test_columns_tell_the_kind(tmp_path: Path, row: dict[str, Any], kind: str) -> None:
    task = parse_task(write(tmp_path / "t.jsonl", row, row | {"more": 1} if kind == "rows" else row))
    assert task.kind == kind
    assert task.name == f"{kind}:t"
    assert {one["kind"] for one in read_items(task)} == {kind}


def test_options_in_either_form_have_their_chance(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.jsonl",
        {"question": "q", "choices": ["x", "y", "z"], "answer": 2, "group": "g"},
        {"question": "q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answer": "2"},
        {"question": "q", "choices": ["x", "y"], "answer": "y"},
    )
    result = items(path)
    assert [one["answer"] for one in result] == [2, 1, 1]
    assert [one["chance"] for one in result] == pytest.approx([1 / 3, 1 / 2, 1 / 2])
    assert [one["group"] for one in result] == ["g", "choice:t", "choice:t"]


def test_one_file_asks_closed_and_open_book(tmp_path: Path) -> None:
    path = write(tmp_path / "facts.jsonl", {"question": "q", "context": "c", "answer": ["a", "b"], "chance": 0.25})
    (closed,), (opened,) = items(f"knowledge:{path}"), items(f"open-book:{path}")
    assert [turn["content"] for turn in closed["messages"]] == ["q"]
    assert [turn["content"] for turn in opened["messages"]] == ["c\n\nq"]
    assert closed["references"] == opened["references"] == ["a", "b"]
    assert closed["chance"] == 0.25
    assert closed["item_id"] != opened["item_id"]
    (judged,) = items(f"judged:{path}")
    assert (judged["messages"], judged["references"]) == (closed["messages"], closed["references"])
    assert judged["item_id"] != closed["item_id"]


def test_parquet_and_numbers(tmp_path: Path) -> None:
    pq.write_table(pa.table({"question": ["q", "r"], "answer": [7, 8]}), tmp_path / "t.parquet")
    assert [one["references"] for one in items(f"reasoning:{tmp_path / 't.parquet'}")] == [["7"], ["8"]]
    assert len(items(f"reasoning:{tmp_path / 't.parquet'}", limit=1)) == 1


def test_a_text_file_is_one_item(tmp_path: Path) -> None:
    text = "".join(f"line {i} " + "x" * 90 + "\n" for i in range(50))
    (tmp_path / "t.txt").write_text(text)
    for word, kind in ((str(tmp_path / "t.txt"), "perplexity"), (f"divergence:{tmp_path / 't.txt'}", "divergence")):
        (one,) = items(word)
        assert (one["references"], one["messages"], one["kind"]) == ([text], [], kind)
    (tmp_path / "blank.txt").write_text(" \n")
    assert items(str(tmp_path / "blank.txt")) == []


def test_divergence_reads_rows_of_any_shape_and_texts(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", {"messages": [{"role": "user", "content": "q"},
                                                        {"role": "assistant", "content": "a"}]})  # fmt: skip
    pq.write_table(pa.table({"question": ["q"], "answer": ["a"]}), tmp_path / "rows.parquet")
    for file in (rows, tmp_path / "rows.parquet"):
        (one,) = items(f"divergence:{file}")
        assert [turn["content"] for turn in one["messages"]] == ["q", "a"]
        assert (one["kind"], one["task"]) == ("divergence", "divergence:rows")
    (plain,) = items(f"divergence:{write(tmp_path / 'texts.jsonl', {'text': 'some words'})}")
    assert (plain["references"], plain["messages"]) == (["some words"], [])
    assert parse_task(rows).kind == "rows"


@pytest.mark.parametrize(
    ("word", "rows", "expected"),
    [
        ("knowledge:", [{"question": "q", "answer": ""}], "row 1, column 'answer': no reference answer"),
        ("judged:", [{"question": "q", "answer": [""]}], "row 1, column 'answer': no reference answer"),
        ("knowledge:", [{"question": "", "answer": "a"}], "row 1: no question"),
        ("open-book:", [{"question": "q", "answer": "a"}], "no text that contains the answer"),
        ("", [{"question": "q", "choices": ["x", "y"], "answer": "w"}], "neither a label nor one of the 2 options"),
        ("", [{"question": "q", "choices": ["x", "y"], "answer": 5}], "5 is not an option"),
        ("", [{"prompt": "q", "rules": []}], "not a list of rules"),
        ("", [{"text": ""}], "no text"),
        ("knowledge:", [{"question": "q", "answer": "a", "chance": 1.5}], "1.5 is not a share"),
        ("knowledge:", [], "is empty"),
        ("", [{"instruction": "a", "input": "", "output": ""}], "no response"),
    ],
)
def test_unusable_rows_are_named(tmp_path: Path, word: str, rows: list[dict[str, Any]], expected: str) -> None:
    path = write(tmp_path / "t.jsonl", *rows)
    with pytest.raises(InputError, match=expected):
        items(word + path)


OPTIONS = {"question": "q", "choices": ["red", "sea"]}
NEITHER = "is neither a label nor one of the 2 options"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "q", "answer": "red"}, ": no options; .* 'choices', .* the columns are question, answer"),
        ({"question": "q", "alternatives": ["red", "sea"], "answer": 0}, ": no options; .*, alternatives, answer"),
        ({"question": "q", "A": "red", "answer": "A"}, ", column 'b': no option B"),
        ({"question": "q", "choices": [], "answer": 0}, ", column 'choices': not a list of options: it has 0"),
        ({"question": "q", "choices": ["red"], "answer": 0}, ", column 'choices': not a list of options: it has 1"),
        ({"question": "q", "choices": "red", "answer": 0}, ", column 'choices': text that is not a JSON list of opt"),
        ({"question": "q", "choices": 7, "answer": 0}, ", column 'choices': not a list of options: 7"),
        ({"question": "q", "choices": None, "answer": 0}, ", column 'choices': not a list of options: None"),
        ({"question": "q", "choices": ["red", 7], "answer": 0}, ", column 'choices': a number where text"),
        (OPTIONS, ": no answer; .* 'answer', the columns are question, choices"),
        (OPTIONS | {"answer": None}, ", column 'answer': no answer; put label, text or number"),
        (OPTIONS | {"answer": ""}, ", column 'answer': no answer; "),
        (OPTIONS | {"answer": 2}, ", column 'answer': 2 is not an option; there are 2, counted from 0"),
        (OPTIONS | {"answer": -1}, ", column 'answer': -1 is not an option"),
        (OPTIONS | {"answer": "blue"}, f", column 'answer': 'blue' {NEITHER}"),
        (OPTIONS | {"answer": ["red"]}, ", column 'answer': a list where text is expected"),
        (OPTIONS | {"answer": 0.5}, ", column 'answer': a number where text is expected"),
    ],
)
def test_a_question_without_usable_options_or_answer_says_what_is_missing(
    tmp_path: Path, row: dict[str, Any], expected: str
) -> None:
    path = write(tmp_path / "quiz.jsonl", {**OPTIONS, "answer": 0}, row)
    with pytest.raises(InputError, match=rf"quiz.jsonl, row 2{expected}.*; correct the file"):
        items(f"choice:{path}")


def test_a_word_is_the_option_that_it_equals(tmp_path: Path) -> None:
    rows = [{**OPTIONS, "answer": word} for word in ("sea", "red", " sea ", "B", "a")]
    assert [one["answer"] for one in items("choice:" + write(tmp_path / "t.jsonl", *rows))] == [1, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("word", "expected"), [("nope:x.jsonl", "is not a kind of task"), ("missing.jsonl", "there is no corpus")]
)
def test_a_task_that_is_not_there_is_named(word: str, expected: str) -> None:
    with pytest.raises(CurateError, match=expected):
        parse_task(word)
