"""The shape of a file is decided by its rows and columns; rows that do not fit are quarantined, ties are errors."""

from pathlib import Path
from typing import Any

import pytest
from references.conversations import examples, problems, write_csv, write_jsonl, write_parquet

from curate.schemas.corpus import Example, Quarantined
from curate.schemas.errors import InputError
from curate.storage.formats import read_source
from curate.storage.formats.shapes.detect import SHAPES
from curate.storage.formats.shapes.votes import best_shapes

ALPACA = [{"instruction": f"do {i}", "input": f"with {i}" if i % 2 else "", "output": f"done {i}"} for i in range(300)]
CHOICES = [{"question": f"q{i}", "A": "1", "B": "2", "answer": "B"} for i in range(300)]
PROMPTS = [{"prompt": f"p{i}", "input": f"i{i}", "completion": f"c{i}"} for i in range(300)]
KEYS = [{"instruction": f"do {i}", "output": f"said {i}", "answer": f"key {i}"} for i in range(300)]
CHATS = [
    {
        "messages": [{"role": "user", "content": f"a{i}"}, {"role": "assistant", "content": f"b{i}"}],
        "prompt": f"a{i}",
        "completion": f"b{i}",
    }
    for i in range(300)
]


def read(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> list[Example | Quarantined]:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, rows)
    return list(read_source(path, **options))


@pytest.mark.parametrize("position", [0, 7, 99, 250])
@pytest.mark.parametrize("null", [False, True])
@pytest.mark.parametrize(
    ("rows", "lacks", "about"),
    [
        (ALPACA, "instruction", "no instruction"),
        (CHOICES, "A", "no option A"),
        (PROMPTS, "prompt", "no prompt"),
        (KEYS, "output", "no output"),
        (CHATS, "messages", "no response"),
    ],
    ids=["alpaca", "multiple choice", "prompt and input", "two answers", "messages and prompt"],
)
def test_one_row_that_lacks_a_column_changes_no_other_row(
    rows: list[dict[str, Any]], lacks: str, about: str, null: bool, position: int, tmp_path: Path
) -> None:
    """Such a row made the whole file another shape, or was itself read without the part that it lacks."""
    clean = examples(read(tmp_path, rows))
    assert len(clean) == len(rows)
    odd = dict(rows[position])
    del odd[lacks]
    if null:
        odd[lacks] = None
    result = read(tmp_path, [*rows[:position], odd, *rows[position + 1 :]])
    assert examples(result) == clean[:position] + clean[position + 1 :]
    (problem,) = problems(result)
    assert problem.row == position + 1
    assert problem.reason.startswith((about, "has the columns of"))


def test_every_container_agrees_about_a_row_without_its_instruction(tmp_path: Path) -> None:
    rows = [*ALPACA[:20], {"input": "alone", "output": "x"}]
    for name, write in (("a.jsonl", write_jsonl), ("a.parquet", write_parquet)):
        write(tmp_path / name, rows)
        result = list(read_source(tmp_path / name))
        assert [problem.row for problem in problems(result)] == [21]
        assert len(examples(result)) == 20


def test_a_row_with_the_columns_of_a_richer_shape_is_not_read_without_them(tmp_path: Path) -> None:
    plain = [{"question": f"q{i}", "answer": "B"} for i in range(120)]
    result = read(tmp_path, [*plain, CHOICES[0]])
    assert len(examples(result)) == 120
    (problem,) = problems(result)
    assert problem.reason.startswith("has the columns of multiple-choice (question, a, b, answer), where the file's")
    (stated,) = problems(read(tmp_path, [*plain, {"question": "q"}], format="question-answer"))
    assert stated.reason.startswith("no response")
    assert not problems(read(tmp_path, [*plain, CHOICES[0]], format="question-answer"))


def test_two_names_of_one_part_in_different_rows_are_both_read(tmp_path: Path) -> None:
    rows = [{"instruction": "a", "output": "b"}, {"instruction": "c", "response": "d"}]
    assert [row.turns[-1].content for row in examples(read(tmp_path, rows))] == ["b", "d"]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([*ALPACA[:50], *CHATS[:50]], ("messages", "alpaca")),
        ([{"instruction": "a", "output": "b"}, {"question": "a", "answer": "b"}], ("alpaca", "question-answer")),
        # Half of the rows without their instruction: neither reading explains the file.
        ([row if i % 2 else {**row, "instruction": None} for i, row in enumerate(ALPACA)], ("alpaca", "prompt-comp")),
        # Every row has two questions, of which each shape reads another.
        ([{"instruction": "Answer.", "question": f"q{i}", "answer": "b"} for i in range(9)], ("alpaca", "question-a")),
    ],
    ids=["two files in one", "one row each", "half without instruction", "two questions in each row"],
)
def test_a_near_tie_is_an_error_that_names_both(
    rows: list[dict[str, Any]], named: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, rows)
    for name in named:
        assert name in str(error.value)
    assert "rows.jsonl, rows from 1: " in str(error.value)
    assert "--format" in str(error.value)
    assert read(tmp_path, rows, format="alpaca")


def test_a_rendered_prompt_beside_its_instruction_is_no_second_question(tmp_path: Path) -> None:
    rows = [row | {"prompt": f"Below is a task.\n{row['instruction']}\n{row['input']}"} for row in ALPACA]
    assert examples(read(tmp_path, rows)) == examples(read(tmp_path, ALPACA))


def test_a_list_of_turns_outranks_the_columns_that_repeat_it(tmp_path: Path) -> None:
    assert [row.turns[0].content for row in examples(read(tmp_path, CHATS[:3]))] == ["a0", "a1", "a2"]


def test_the_text_before_a_question_with_options_is_read(tmp_path: Path) -> None:
    (row,) = examples(read(tmp_path, [CHOICES[0] | {"passage": "p"}]))
    assert row.turns[0].content == "p\n\nq0\n\nA. 1\nB. 2"


def test_tools_beside_an_instruction_are_read(tmp_path: Path) -> None:
    (row,) = examples(read(tmp_path, [ALPACA[0] | {"tools": '[{"name": "f"}]'}]))
    assert row.tools == '[{"name": "f"}]'


def test_an_empty_cell_of_a_csv_file_is_an_empty_text(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"instruction": "", "input": "x", "output": "y"}])
    assert [row.turns[0].content for row in examples(list(read_source(tmp_path / "a.csv")))] == ["x"]


@pytest.mark.parametrize(
    ("columns", "best"),
    [
        ("instruction input output", ["alpaca"]),
        ("input output", ["prompt-completion"]),
        ("question a b c d answer", ["multiple-choice"]),
        ("question context answer", ["question-answer"]),
        ("instruction input output prompt", ["alpaca", "prompt-completion"]),
        ("messages prompt completion", ["messages"]),
        ("conversations messages instruction output", ["sharegpt", "messages"]),
        ("title body", []),
    ],
)
def test_the_shapes_that_explain_a_row_best(columns: str, best: list[str]) -> None:
    assert [shape.name for shape in best_shapes(frozenset(columns.split()), SHAPES)] == best


@pytest.mark.parametrize(
    ("options", "answer", "response"),
    [
        (["two", "three"], "three", "B"),
        (["two", "three"], "0", "A"),
        (
            ["two", "three"],
            "1",
            "'1' may mean option A or B, and the other rows do not say where numbers count from; write labels",
        ),
        (["two", "three"], 1, "B"),
        (["two", "three"], "b", "B"),
        (["two", "three"], "A, B", "A, B"),
        (
            ["1", "0"],
            "0",
            "'0' may mean option A or B, and the other rows do not say where numbers count from; write labels",
        ),
        (["two", "three"], "2", "B"),
        (["two", "three"], "3", "'3' is neither a label nor one of the 2 options"),
        (["two", "three"], "four", "'four' is neither a label nor one of the 2 options"),
    ],
)
def test_an_answer_is_an_option_however_it_is_given(
    options: list[str], answer: object, response: str, tmp_path: Path
) -> None:
    (good, *rest) = read(tmp_path, [{"question": "q", "choices": options, "answer": a} for a in ("A", answer)])
    assert isinstance(good, Example)
    assert [row.turns[-1].content if isinstance(row, Example) else row.reason for row in rest] == [response]
