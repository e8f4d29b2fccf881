"""Continuation items: the true option follows the context in the text, the others follow elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from curate.schemas.errors import InputError
from curate.storage.inputs.continuations import CONTEXT_WORDS, OPTION_WORDS, OPTIONS, continuations, passages
from curate.storage.inputs.task_files import parse_task, read_items

if TYPE_CHECKING:
    from pathlib import Path

LINES = ["  ".join(f"line{i}word{k}" for k in range(130)) for i in range(6)]
TEXT = "\n".join([*LINES, "a short line", ""])


def test_passages_are_disjoint_and_within_a_line() -> None:
    found = passages([TEXT])
    assert len(found) == 6 * 2
    words = [word for context, option in found for word in (context + " " + option).split()]
    assert len(words) == len(set(words)) == 12 * (CONTEXT_WORDS + OPTION_WORDS)
    assert all(len({word.split("word")[0] for word in f"{c} {o}".split()}) == 1 for c, o in found)


def test_only_one_option_follows(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT)
    items = list(read_items(parse_task(f"continuation:{tmp_path / 't.txt'}")))
    one_line = " ".join(TEXT.split())
    assert len(items) == 12
    for item in items:
        context, options = item["messages"][-1]["content"], item["references"]
        assert len(set(options)) == OPTIONS
        follows = [f"{context} {option}" in one_line for option in options]
        assert follows.index(True) == item["answer"]
        assert sum(follows) == 1
        assert all(option in one_line and len(option.split()) == OPTION_WORDS for option in options)
        assert item["chance"] == 1 / OPTIONS
    assert len({item["answer"] for item in items}) > 1
    assert len({item["item_id"] for item in items}) == 12


def test_rows_of_text_and_repeated_passages(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in [*LINES[:2], LINES[0]]))
    items = list(read_items(parse_task(f"continuation:{path}"), limit=5))
    assert len(items) == 5
    assert all(len(set(item["references"])) == OPTIONS for item in items)
    assert parse_task(str(path)).kind == "perplexity"


def test_rows_with_endings_are_asked_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    rows = [{"ctx": f"context {i}", "endings": ["w", "x", "y", "z"], "label": str(i)} for i in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = parse_task(str(path))
    assert task.kind == "continuation"
    items = list(read_items(task))
    assert [item["answer"] for item in items] == [0, 1, 2, 3]
    assert items[2]["messages"][-1]["content"] == "context 2"
    assert items[2]["references"] == ["w", "x", "y", "z"]


def test_too_little_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="notes has 2 different passages of 50 words on one line .* needs 4"):
        list(continuations("notes", LINES[:1]))
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"question": "q", "answer": "a"}) + "\n")
    with pytest.raises(InputError, match="row 1, column 'text': no text; a continuation task needs one"):
        list(read_items(parse_task(f"continuation:{path}")))
