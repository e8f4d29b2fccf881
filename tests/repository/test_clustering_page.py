"""The commands of docs/clustering.md run on a corpus that grew, with the effect that the page describes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from corpora import write_corpus
from documents import ROOT

if TYPE_CHECKING:
    from conftest import Run

PAGE = ROOT / "docs" / "clustering.md"


def commands() -> list[list[str]]:
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [shlex.split(line, comments=True) for line in block.splitlines()]


def test_links_lead_somewhere_and_lines_are_short() -> None:
    for link in re.findall(r"\]\(([^)#]+)", PAGE.read_text()):
        assert (PAGE.parent / link).exists(), link
    assert max(map(len, PAGE.read_text().splitlines())) <= 120


@pytest.mark.slow
def test_the_commands_do_what_the_page_says(curate: Run) -> None:
    write_corpus(Path("data.jsonl"), rows=60)
    write_corpus(Path("grown.jsonl"), rows=70)
    first = json.loads(Path("grown.jsonl").read_text().splitlines()[0])
    Path("eval.jsonl").write_text(json.dumps(first) + "\n")
    outputs = []
    for program, *arguments in commands():
        assert program == "curate"
        answer = curate(*arguments)
        assert answer.code == 0, answer.err
        outputs.append(answer.out + answer.err)
    fit, grown, refit, stable, selected, queried = outputs
    assert "10 new rows joined" in grown
    assert "joined" not in fit + refit
    assert "agreement of labels" in stable
    assert "contaminated" in selected
    assert "contaminated" in queried
