"""JSON lines may hold what JSON documents may, and what joining files leaves behind."""

import json
from pathlib import Path
from typing import Any

import pytest
from references.conversations import examples, problems

from curate.storage.formats import read_source

ROWS = [{"prompt": f"p{i}", "completion": f'c{i} {{"a": [1, 2]}}'} for i in range(4)]
LINES = [json.dumps(row) for row in ROWS]
PRETTY = [json.dumps(row, indent=2) for row in ROWS]
BOM = "\ufeff"


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson", "json"])
@pytest.mark.parametrize(
    "text",
    [
        "\n".join(LINES),
        "".join(LINES),
        LINES[0] + "\n" + "".join(LINES[1:]),
        ",\n".join(LINES) + ",",
        ", ".join(LINES),
        "\n".join(PRETTY),
        "".join(PRETTY),
        ",\n".join(PRETTY),
        "[" + ",\n".join(LINES) + "]",
        "[\n" + "\n,".join(PRETTY) + "\n]\n",
        json.dumps({"data": ROWS}),
        json.dumps({"version": 1, "data": ROWS}, indent=1),
        "".join(f"\x1e{line}\n" for line in LINES),
        "".join(f"\x1e{one}\n" for one in PRETTY),
        BOM + "\n".join(LINES),
        BOM + "\n".join(LINES[:2]) + "\n" + BOM + "\n".join(LINES[2:]),
        BOM + "".join(LINES[:2]) + BOM + "".join(LINES[2:]),
        BOM + "\n".join(PRETTY[:2]) + "\n" + BOM + "\n".join(PRETTY[2:]),
        "\r\n".join(LINES),
        "\n\n" + "\n \n".join(LINES),
    ],
    ids=range(20),
)
def test_rows_are_read_however_they_are_separated(text: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows.{suffix}"
    path.write_text(text, encoding="utf-8", newline="")
    result = list(read_source(path))
    assert [(row.turns[0].content, row.turns[1].content) for row in examples(result)] == [
        (row["prompt"], row["completion"]) for row in ROWS
    ]
    assert not problems(result)


@pytest.mark.parametrize(
    "line", [LINES[1] + " garbage", LINES[1] + "{", "[" + LINES[1] + "]", LINES[1] + LINES[2][:-1]]
)
def test_a_line_that_is_partly_broken_is_quarantined(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join([LINES[0], line, LINES[3]]))
    result = list(read_source(tmp_path / "a.jsonl"))
    assert [row.turns[0].content for row in examples(result)] == ["p0", "p3"]
    assert [problem.row for problem in problems(result)] == [2]


@pytest.mark.parametrize("first", ["[1]", "[]", '["a"] '])
@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_an_array_in_the_first_line_takes_no_row_with_it(first: str, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a.{suffix}").write_text("\n".join([first, *LINES]))
    result = list(read_source(tmp_path / f"a.{suffix}"))
    assert len(examples(result)) == len(LINES)
    assert [problem.row for problem in problems(result)] == [1]


def csv_rows(tmp_path: Path, text: str) -> list[Any]:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8", newline="")
    return list(read_source(tmp_path / "a.csv"))


def test_joined_csv_files_are_read_without_their_marks_and_headers(tmp_path: Path) -> None:
    one = f'{BOM}prompt,completion\n"a, b",c\n'
    result = csv_rows(tmp_path, one + one + f'{BOM}"x, y",z\n')
    assert [row.turns[0].content for row in examples(result)] == ["a, b", "a, b", "x, y"]
    assert [problem.reason for problem in problems(result)] == ["repeats the header row"]


def test_empty_headers_as_spreadsheets_write_them_are_no_error(tmp_path: Path) -> None:
    result = csv_rows(tmp_path, "prompt,completion,,\na,b,,\nc,d,note,\n")
    assert [row.turns[0].content for row in examples(result)] == ["a", "c"]
    assert not problems(result)
