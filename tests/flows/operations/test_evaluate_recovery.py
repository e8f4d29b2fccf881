"""``curate evaluate`` of a recovery, by its id and by its folder: beside the models that it was made from."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from corpora import write_corpus

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

PAIR = ("original", "compressed")
QUESTIONS = [
    {"question": "what is red", "choices": ["apple", "two"], "answer": 0, "group": "colours"},
    {"question": "what is the sum", "choices": ["say", "five", "no"], "answer": "five", "group": "sums"},
]


@pytest.mark.slow
def test_the_latest_recovery_is_evaluated_with_its_own_pair(
    curate: Run, tiny: tuple[Path, Path], tmp_path: Path, corpus: Path
) -> None:
    where = ("--warehouse", tmp_path / "w", "--json")
    pair = ("--original", tiny[0], "--compressed", tiny[1])
    chosen = curate("select", "--method", "donod", "--budget", "0.5", "--corpus", corpus, *pair, *where).value
    recovery = curate("recover", "--epochs", "1", "--learning-rate", "1e-3", *where)
    assert recovery.code == 0, recovery.err
    held = write_corpus(tmp_path / "held.jsonl", rows=20, seed=7)
    answer = curate("evaluate", "--tasks", held, *where, "--metric", "token_accuracy")
    assert answer.code == 0, answer.err
    assert set(answer.value["evaluations"]) == {"model", "original", "compressed"}
    (row,) = curate(
        "sql", "SELECT recovery_id, selection_id, model FROM evaluations WHERE recovery_id IS NOT NULL", *where
    ).value
    assert row["selection_id"] == chosen["selection_id"]
    assert row["model"] == answer.value["model"]
    assert curate("evaluate", row["recovery_id"][:6], "--tasks", held, *where, "--metric", "token_accuracy").value == (
        answer.value
    )
    unknown = curate("evaluate", "0123abcd", "--tasks", held, *where)
    assert (unknown.code, "begins with '0123abcd'" in unknown.err) == (2, True)


@pytest.mark.slow
def test_rows_drawn_for_two_pairs_leave_each_recovery_its_own(
    curate: Run, tiny: tuple[Path, Path], tmp_path: Path, corpus: Path
) -> None:
    """One draw serves both pairs; what was recovered with the first is evaluated beside the first, by id and folder."""
    where = ("--warehouse", tmp_path / "w")
    select = ("select", "--method", "uniform", "--budget", "0.5", "--corpus", corpus, *where)
    assert curate(*select, "--original", tiny[0], "--compressed", tiny[1]).code == 0
    assert curate("recover", "--epochs", "1", "--learning-rate", "1e-3", *where).code == 0
    assert curate(*select, "--original", tiny[1], "--compressed", tiny[0]).code == 0
    (recovery,) = Warehouse(tmp_path / "w").list("recovery")
    held = write_corpus(tmp_path / "held.jsonl", rows=20, seed=7)
    measure = ("--tasks", held, "--metric", "token_accuracy", *where)
    answer = curate("evaluate", recovery.id, *measure, "--json")
    assert answer.code == 0, answer.err
    pair = {role: Warehouse(tmp_path / "w").manifest("evaluation", answer.value["evaluations"][role]) for role in PAIR}
    assert {role: one.facts["model"] for role, one in pair.items()} == {
        "original": str(tiny[0]),
        "compressed": str(tiny[1]),
    }
    copied = shutil.copytree(recovery.facts["model"], tmp_path / "copied")
    for folder in (recovery.facts["model"], copied):
        again = curate("evaluate", folder, "--original", tiny[0], *measure, "--json")
        assert f"recovered from {tiny[1]}, which is evaluated beside it" in again.err


def test_a_recovered_folder_is_compared_with_the_model_that_it_was_made_from(
    curate: Run, tiny: tuple[Path, Path], tmp_path: Path, corpus: Path
) -> None:
    where = ("--warehouse", tmp_path / "w", "--original", tiny[0])
    select = ("select", "--method", "donod", "--budget", "0.5", "--corpus", corpus, "--compressed", tiny[1])
    selection = curate(*select, *where, "--json").value["selection_id"]
    recovered = shutil.copytree(tiny[0], tmp_path / "recovered")
    choice = tmp_path / "choice.jsonl"
    choice.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    evaluate = ("evaluate", recovered, "--tasks", choice, *where)
    assert set(curate(*evaluate, "--json").value["evaluations"]) == {"model", "original"}

    report = {"lineage": {"selection": selection}}
    (recovered / "recovery.json").write_text(json.dumps(report))
    answer = curate(*evaluate, "--json")
    assert f"recovered from {tiny[1]}, which is evaluated beside it" in answer.err
    assert all(row["compressed"] is not None for row in answer.value["retention"]["groups"])
    given = curate(*evaluate, "--compressed", tiny[1], "--json")
    assert given.value == answer.value
    assert "beside it" not in given.err

    for lineage in ({"selection": "0123456789abcdef"}, {"selection": "../x"}, None):
        (recovered / "recovery.json").write_text(json.dumps({"lineage": lineage}))
        answer = curate(*evaluate, "--json")
        assert set(answer.value["evaluations"]) == {"model", "original"}
        assert ("pass --compressed FOLDER" in answer.err) == (lineage == {"selection": "0123456789abcdef"})
