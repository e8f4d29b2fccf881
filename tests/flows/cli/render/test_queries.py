"""Answers of SQL that JSON, Python, a spreadsheet or a terminal cannot take as they are."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
import warehouses

from curate.schemas.terminal_text import visible

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return warehouses.published(tmp_path_factory.mktemp("filled") / "w")


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_numbers_that_json_has_no_word_for(curate: Run, root: Path) -> None:
    query = "SELECT 1/0 AS a, -1/0 AS b, 0/0 AS c, [1/0] AS d, {'e': 0/0} AS e"
    answer = curate("sql", query, "-w", root, "--json")
    value = json.loads(answer.out, parse_constant=refuse_constant)
    assert value == [{"a": "Infinity", "b": "-Infinity", "c": "NaN", "d": ["Infinity"], "e": {"e": "NaN"}}]
    printed = curate("sql", query, "-w", root)
    assert printed.code == 0
    assert printed.out.split("\n")[3].split()[:3] == ["inf", "-inf", "nan"]


@pytest.mark.parametrize("time", ["'infinity'::date", "'-infinity'::timestamp", "'290000-01-01'::date"])
def test_times_that_python_has_no_value_for(curate: Run, root: Path, time: str) -> None:
    answer = curate("sql", f"SELECT {time} AS day, 7 AS seven", "-w", root, "--json")
    assert answer.code == 0, answer.err
    assert answer.value[0]["seven"] == 7
    assert isinstance(answer.value[0]["day"], str)
    nested = curate("sql", f"SELECT [{time}] AS days", "-w", root)
    assert nested.code == 2
    assert "cast them in the query, as in days::VARCHAR" in nested.err


def test_lists_and_structs_in_csv(curate: Run, root: Path) -> None:
    answer = curate("sql", "SELECT [1, 2] AS l, {'a': 'ä'} AS s, NULL::INT[] AS n, 'x' AS t", "-w", root, "--csv")
    assert list(csv.reader(answer.out.splitlines())) == [["l", "s", "n", "t"], ["[1, 2]", '{"a": "ä"}', "", "x"]]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_formulas_are_quoted_on_request(curate: Run, root: Path, text: str) -> None:
    query = f"SELECT '{text}' AS a, -1 AS b, 'a=1' AS c, '{text}' AS \"=d\""
    exact = list(csv.reader(io.StringIO(curate("sql", query, "-w", root, "--csv").out, newline="")))
    assert exact == [["a", "b", "c", "=d"], [text, "-1", "a=1", text]]
    safe = list(csv.reader(io.StringIO(curate("sql", query, "-w", root, "--csv-safe").out, newline="")))
    assert safe == [["a", "b", "c", "'=d"], [f"'{text}", "-1", "a=1", f"'{text}"]]


HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a corpus whose texts, sources, licences and unusable rows try to act on the terminal."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = [{"instruction": f"say {i} {HOSTILE}", "input": "", "output": f"{HOSTILE} {i}"} for i in range(12)]
    rows.append({"instruction": HOSTILE, "input": "", "output": ""})
    path = folder / f"rows{HOSTILE.replace('/', '')}.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_no_verb_prints_what_acts_on_a_terminal(curate: Run, hostile: Path, tmp_path: Path) -> None:
    where = ("-w", tmp_path / "w")
    chosen = curate(
        "select", "--method", "uniform", "-b", "4", "--corpus", hostile, "--licence", HOSTILE, *where, "--json"
    )
    assert chosen.code == 0, chosen.err
    example = curate("sql", "SELECT example_id FROM ledger WHERE kept LIMIT 1", *where, "--json").value[0]["example_id"]
    answers = [chosen] + [
        curate(*words, *where)
        for words in (
            ("select", "--method", "uniform", "-b", "3", "--corpus", hostile, "--licence", HOSTILE),
            ("explain", example),
            ("explain", example, "--json"),
            ("sql", f"SELECT *, '{HOSTILE}' AS \"{HOSTILE}\" FROM examples"),
            ("sql", "SELECT * FROM sources", "--json"),
            ("sql", f'SELECT "{HOSTILE}"'),
            ("sql", "--named", "quarantine_reasons"),
            ("status",),
            ("export", "--to", "trl", "--out", tmp_path / "out"),
            ("forget", example),
            ("ingest", hostile.with_suffix(".txt")),
        )
    ]
    for answer in answers:
        for text in (answer.out, answer.err):
            assert visible(text) == text
    assert any(r"\x1b[2J" in answer.out for answer in answers)
