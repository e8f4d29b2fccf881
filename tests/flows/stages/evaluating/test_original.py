"""``divergence:`` tasks through the command line, on tiny models and rows made here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from corpora import write_corpus
from models import save_llama

from curate.flows.stages.comparison_cell import recipe as cell_recipe
from curate.flows.stages.evaluation import recipe
from curate.schemas.recovery import RecoveryRequest
from curate.schemas.settings import Settings
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.fixture
def tasks(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "text.txt").write_text("name a fruit what is the sum of two\n" * 60)
    rows = write_corpus(tmp_path / "held.jsonl", rows=20, seed=7)
    return ("--tasks", f"divergence:{rows}", "--tasks", f"divergence:{tmp_path / 'text.txt'}", "--tasks", str(rows))


def test_the_compressed_and_the_recovered_model_are_measured_from_the_original(
    curate: Run, tiny: tuple[Path, Path], tasks: tuple[str, ...], tmp_path: Path
) -> None:
    recovered = save_llama(tmp_path / "recovered", seed=2)
    models = (recovered, "--original", tiny[0], "--compressed", tiny[1])
    fixed = ("evaluate", *models, *tasks, "--warehouse", tmp_path / "w")
    answer = curate(*fixed, "--json")
    assert answer.code == 0, answer.err
    report, warehouse = answer.value, Warehouse(tmp_path / "w")
    assert {row["task"] for row in report["divergence"]} == {"divergence:held", "divergence:text"}
    for line in report["divergence"]:
        totals = {}
        for role in ("model", "compressed", "original"):
            rows = warehouse.read("evaluation", report["evaluations"][role]).to_pylist()
            own = [row for row in rows if row["task"] == line["task"]]
            assert all(row["score"] is None and row["nll"] > 0 for row in own)
            totals[role] = sum(row["divergence"] * row["n_tokens"] for row in own)
            assert (len(own), sum(row["n_tokens"] for row in own)) == (line["items"], line["tokens"])
            # Rows of other kinds have no divergence.
            assert all(row["divergence"] is None for row in rows if row["kind"] == "rows")
        assert totals["original"] == 0
        assert line["model"]["value"] == pytest.approx(totals["model"] / line["tokens"])
        assert line["model"]["low"] < line["model"]["value"] < line["model"]["high"]
        assert line["gap_closed"]["value"] == pytest.approx(1 - totals["model"] / totals["compressed"])
    assert {row["task"] for row in report["retention"]["groups"]} == {"rows:held"}
    assert report["window"] == 128  # the models' context
    summary = {row["task"]: row["divergence"] for row in report["summary"]}
    assert summary == {row["task"]: row["model"]["value"] for row in report["divergence"]} | {"rows:held": None}
    manifest = warehouse.manifest("evaluation", report["evaluation_id"])
    assert (manifest.facts["original"], manifest.facts["window"]) == (str(tiny[0]), 128)
    shown = curate(*fixed).out
    assert "gap closed = 1 − model / compressed" in shown
    assert "plain texts were read in windows of 128 tokens" in shown
    sql = "SELECT task, divergence FROM evaluation_summary WHERE evaluation_id = ? AND kind = 'divergence'"
    found = curate("sql", sql.replace("?", f"'{report['evaluation_id']}'"), "--warehouse", tmp_path / "w", "--json")
    assert {row["task"]: row["divergence"] for row in found.value} == {
        task: value for task, value in summary.items() if value is not None
    }


def test_a_task_needs_an_original_that_fits(curate: Run, tiny: tuple[Path, Path], tmp_path: Path) -> None:
    task = ("--tasks", f"divergence:{write_corpus(tmp_path / 'held.jsonl', rows=3, seed=7)}")
    fixed = ("evaluate", tiny[1], *task, "--warehouse", tmp_path / "w")
    alone = curate(*fixed)
    assert (alone.code, "pass --original with the folder" in alone.err) == (2, True)
    wider = curate(*fixed, "--original", save_llama(tmp_path / "wider", extra_rows=8))
    assert (wider.code, "an output head of" in wider.err) == (3, True)
    other = curate(*fixed, "--original", save_llama(tmp_path / "other", words=["x", "y"]))
    assert other.code == 3
    assert "Traceback" not in alone.err + wider.err + other.err


def test_the_original_is_an_input_only_of_divergence_tasks(tiny: tuple[Path, Path], tmp_path: Path) -> None:
    warehouse, file = Warehouse(tmp_path / "w"), tmp_path / "held.jsonl"
    file.write_text(json.dumps({"question": "name a fruit", "answer": "apple"}) + "\n")

    def plans(task: str, original: Path) -> list[tuple[dict[str, str], str]]:
        settings = Settings(original=str(original), compressed=str(tiny[1]), evaluate={"tasks": (task,)})
        request = RecoveryRequest(method="full", learning_rate=1e-3)
        made = recipe(warehouse, settings, str(tiny[1]), None, {}), cell_recipe(warehouse, settings, "s", request)
        return [(plan.inputs, plan.id) for plan in made]

    assert plans(str(file), tiny[0]) == plans(str(file), tiny[1])
    for one, other in zip(plans(f"divergence:{file}", tiny[0]), plans(f"divergence:{file}", tiny[1]), strict=True):
        assert one[0]["original"] != other[0]["original"]
        assert one[1] != other[1]
