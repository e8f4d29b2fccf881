"""A number as answer means the option that the whole column says it means, or nothing."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.schemas.corpus import Example, Quarantined
from curate.schemas.errors import InputError
from curate.storage.formats import read_source
from curate.storage.formats.shapes.option_numbers import numbering_of, whole_number
from curate.storage.inputs.task_files import TaskFile, read_items

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = ["red", "two", "three", "sea"]
COLUMNS = ["question", "A", "B", "C", "D", "answer"]


def write_csv(path: Path, answers: list[Any], options: list[str] = OPTIONS) -> Path:
    with path.open("w", newline="") as file:
        rows = [[f"question {i}", *options, answer] for i, answer in enumerate(answers)]
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def write_json(path: Path, answers: list[Any], options: list[str] = OPTIONS) -> Path:
    rows = [{"question": f"question {i}", "choices": options, "answer": answer} for i, answer in enumerate(answers)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def responses(path: Path) -> list[str | None]:
    rows = list(read_source(path))
    return [row.turns[-1].content if isinstance(row, Example) else None for row in rows]


@pytest.mark.parametrize("write", [write_csv, write_json])
@pytest.mark.parametrize("as_text", [str, lambda number: f" {number}.0"])
@pytest.mark.parametrize("first", [0, 1])
def test_numbers_in_text_count_from_where_the_column_does(tmp_path: Path, write: Any, as_text: Any, first: int) -> None:
    positions = [1, 0, 2, 3, 1]
    path = write(tmp_path / ("t.csv" if write is write_csv else "t.jsonl"), [as_text(p + first) for p in positions])
    assert responses(path) == ["ABCD"[p] for p in positions]
    assert [item["answer"] for item in read_items(TaskFile(str(path), "choice"))] == positions


def test_numbers_of_json_count_from_0_unless_the_last_option_says_otherwise(tmp_path: Path) -> None:
    assert responses(write_json(tmp_path / "a.jsonl", [1, 2, 1])) == ["B", "C", "B"]
    assert responses(write_json(tmp_path / "b.jsonl", [1, 2, 4])) == ["A", "B", "D"]
    assert responses(write_json(tmp_path / "c.jsonl", [1.0, 0.0])) == ["B", "A"]


def test_one_number_in_text_is_refused_where_nothing_tells(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", ["1"])
    with pytest.raises(InputError, match="'1' may mean option A or B.*write labels"):
        list(read_source(path))
    with pytest.raises(InputError, match="row 1, column 'answer': '1' may mean"):
        list(read_items(TaskFile(str(path), "choice")))
    # Letters beside it do not say where numbers count from.
    assert responses(write_csv(path, ["1", "B", "C"])) == [None, "B", "C"]


@pytest.mark.parametrize("answers", [["0", "4", "1"], [0, 4, 1]])
def test_a_column_that_counts_from_both_is_refused_in_text(tmp_path: Path, answers: list[Any]) -> None:
    path = write_json(tmp_path / "t.jsonl", answers)
    if isinstance(answers[0], str):
        with pytest.raises(InputError, match="those of other rows count from 0 and from 1; write labels"):
            list(read_source(path))
    else:
        assert responses(path) == ["A", None, "B"]


@pytest.mark.parametrize(("odd", "base"), [("4", 0), ("0", 1)])
def test_a_rare_number_out_of_range_does_not_move_the_others(tmp_path: Path, odd: str, base: int) -> None:
    answers = [str(i % 4 + base) for i in range(60)]
    assert responses(write_csv(tmp_path / "t.csv", [*answers, odd])) == [*("ABCD"[i % 4] for i in range(60)), None]


def test_options_that_are_numbers(tmp_path: Path) -> None:
    numbers = ["4", "8", "2", "1"]
    # Every answer is the text of an option, one of them no number of an option: they are texts.
    path = write_csv(tmp_path / "a.csv", ["8", "2", "4"], numbers)
    assert responses(path) == ["B", "C", "A"]
    assert [item["answer"] for item in read_items(TaskFile(str(path), "choice"))] == [1, 2, 0]
    # Most answers are no option's text: the column is an index, also where its number is an option's text.
    assert responses(write_csv(tmp_path / "b.csv", ["0", "3", "2", "0", "3"], numbers)) == ["A", "D", "C", "A", "D"]
    # Labels that are numbers come first.
    labelled = {"question": "q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answer": "1"}
    (tmp_path / "c.jsonl").write_text(json.dumps(labelled) + "\n" + json.dumps(labelled | {"answer": 2}) + "\n")
    assert responses(tmp_path / "c.jsonl") == ["1", "2"]


@pytest.mark.parametrize("answer", ["-1", "7", "F", "9.0", "9" * 5000, 10**400, True])
def test_what_is_no_option_is_no_response(tmp_path: Path, answer: Any) -> None:
    rows = list(read_source(write_json(tmp_path / "t.jsonl", ["A", "B", "three", "A", answer])))
    assert [row.turns[-1].content for row in rows if isinstance(row, Example)] == ["A", "B", "C", "A"]
    assert isinstance(rows[-1], Quarantined)
    assert rows[-1].column == "answer"


@given(st.lists(st.integers(0, 3), min_size=1), st.sampled_from([0, 1]))
def test_counting_is_never_guessed(positions: list[int], first: int) -> None:
    answers = [str(position + first) for position in positions]
    numbering = numbering_of((answer, list("ABCD"), OPTIONS) for answer in answers)
    telling = (0 if first == 0 else 3) in positions
    assert numbering == (f"from {first}" if telling else "unknown")


@pytest.mark.parametrize(
    ("cell", "number"),
    [("3", 3), (" 3.0 ", 3), (-1, -1), (2.0, 2), ("2.5", None), (True, None), ("", None), ([1], None)],
)
def test_whole_numbers(cell: object, number: int | None) -> None:
    assert whole_number(cell) == number
