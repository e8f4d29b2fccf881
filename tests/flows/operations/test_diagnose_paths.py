"""``curate diagnose paths`` on a model into which a layer of random weights was inserted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from models import WORDS, save_llama
from trained_models import insert_random_layer, train_answers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

OPTIONS = ["yes", "no", "apple", "two"]
SUBJECTS = [word for word in WORDS if word not in (*OPTIONS, "what", "is", "the")]
QUESTIONS = {f"what is {one} {other}": OPTIONS[i] for i, one in enumerate(SUBJECTS[:4]) for other in SUBJECTS[4:8]}
BAD = 2
"""Place of the inserted layer."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model that answers rightly without layer `BAD`, and hardly better than chance with it."""
    folder = save_llama(tmp_path_factory.mktemp("planted") / "model", layers=4)
    assert train_answers(folder, list(QUESTIONS.items()), steps=100, rate=0.005) < 0.05
    insert_random_layer(folder, BAD, seed=0)
    return folder


@pytest.fixture
def tasks(tmp_path: Path) -> str:
    rows = [{"question": question, "choices": OPTIONS, "answer": answer} for question, answer in QUESTIONS.items()]
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"choice:{tmp_path / 'quiz.jsonl'}"


def test_a_bad_layer_is_skipped_and_the_path_holds_on_other_items(
    curate: Run, planted: Path, tasks: str, tmp_path: Path
) -> None:
    command = ("diagnose", "paths", planted, "--tasks", tasks, "--simulations", 60, "-w", tmp_path / "w")
    answer = curate(*command, "--json")
    assert answer.code == 0, answer.err
    report = answer.value
    assert report["layers"] == 5
    assert report["searched"]["items"] == report["held_out"]["items"] == len(report["items"]) == 8
    assert report["held_out"]["accuracy_full"] <= 0.5
    first = report["held_out"]["paths"][0]
    assert str(BAD) not in layers_of(first["path"])
    # Right for nine in ten of the searched items, and unchanged for the others, as the model before the insertion.
    assert first["votes"] >= 0.9 * 8
    assert first["accuracy"] >= 0.95
    assert first["accuracy_random"] <= first["accuracy"] / 2
    assert all(item["simulations"] == 60 for item in report["items"])
    assert sum(item["full_right"] for item in report["items"]) == report["searched"]["full_right"]
    assert sum(item["best_right"] for item in report["items"]) == report["searched"]["best_right"]

    assert curate(*command, "--json").value == report
    query = "SELECT count(*) AS n FROM diagnoses WHERE kind = 'paths' AND metric = 'simulations'"
    assert curate("sql", query, "-w", tmp_path / "w", "--json").value == [{"n": 8}]
    text = curate(*command).out
    assert "experimental" in text
    # The searched half is never printed without the other one.
    assert text.index("held out") < text.index("an upper bound")
    assert first["path"] in text


def layers_of(path: str) -> set[str]:
    """Return the layers of a path such as ``0-2,5``."""
    ends = [run.partition("-") for run in path.split(",")]
    return {str(layer) for start, _, end in ends for layer in range(int(start), int(end or start) + 1)}


@pytest.mark.parametrize("options", [("--held-out", 0.01), ("--limit", 1)])
def test_a_search_without_held_out_items_is_refused(
    curate: Run, tiny: tuple[Path, Path], tasks: str, tmp_path: Path, options: tuple[object, ...]
) -> None:
    result = curate("diagnose", "paths", tiny[0], "--tasks", tasks, *options, "-w", tmp_path / "w")
    assert result.code == 2
    assert "cannot be divided into two parts" in result.err
