"""``judged:`` tasks through the command line; the judges are tiny models, so only the data flow is tested."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attempts
import pytest

from curate.flows import demo
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
def facts(tmp_path: Path) -> Path:
    path = tmp_path / "facts.jsonl"
    rows = [{"question": f"name a fruit {'again ' * i}", "answer": ["apple", "red apple"]} for i in range(7)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_demo_judges_itself(curate: Run, facts: Path, tmp_path: Path) -> None:
    model = demo.model_path()
    where = ("--warehouse", tmp_path / "w", "--max-new-tokens", "4", "--limit", "3", "--json")
    both = ("--tasks", f"judged:{facts}", "--tasks", f"knowledge:{facts}")
    answer = curate("evaluate", model, *both, "--judge", model, *where)
    assert answer.code == 0, answer.err
    rows = Warehouse(tmp_path / "w").read("evaluation", answer.value["evaluation_id"]).to_pylist()
    judged = [row for row in rows if row["kind"] == "judged"]
    assert (len(rows), len(judged)) == (6, 3)
    assert {row["status"] for row in judged} == {"ok"}
    assert any(row["said"] for row in judged)
    assert all(0 < row["score"] < 1 if row["said"] else row["score"] == 0 for row in judged)
    assert {row["task"] for row in answer.value["summary"]} == {"judged:facts", "knowledge:facts"}
    assert any("a model's opinion" in warning for warning in answer.value["warnings"])
    manifest = Warehouse(tmp_path / "w").manifest("evaluation", answer.value["evaluation_id"])
    assert manifest.facts["judge"] == str(model)
    assert curate("evaluate", model, *both, "--judge", model, *where).value == answer.value


@pytest.mark.parametrize("verb", ["evaluate", "compare", "compare --plan"])
def test_a_judged_task_needs_a_judge(curate: Run, tiny: tuple[Path, Path], facts: Path, verb: str) -> None:
    models = ("--original", tiny[0], "--compressed", tiny[1])
    answer = curate(*verb.split(), "--tasks", f"judged:{facts}", *models)
    assert answer.code == 2
    assert "needs a model that reads the answers; pass --judge" in answer.err
    assert not list(facts.parent.glob("here/warehouse/evaluation/*"))


def test_a_missing_judge_model(curate: Run, tiny: tuple[Path, Path], facts: Path, tmp_path: Path) -> None:
    answer = curate(
        "evaluate", tiny[0], "--tasks", f"judged:{facts}", "--judge", "nowhere", "--warehouse", tmp_path / "w"
    )
    assert (answer.code, "no model folder 'nowhere'" in answer.err) == (3, True)


def test_a_judge_without_judged_tasks_changes_nothing(
    curate: Run, tiny: tuple[Path, Path], facts: Path, tmp_path: Path
) -> None:
    fixed = ("evaluate", tiny[0], "--tasks", f"knowledge:{facts}", "--warehouse", tmp_path / "w", "--json")
    alone = curate(*fixed)
    beside = curate(*fixed, "--judge", tiny[1])
    assert beside.value == alone.value
    assert "--judge has no effect" in beside.err
    assert "--judge has no effect" not in alone.err


def test_the_judge_is_an_input_only_with_judged_tasks(tiny: tuple[Path, Path], facts: Path, tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")

    def causes(*tasks: str, judge: Path | None) -> list[tuple[dict[str, str], str]]:
        evaluation = {"tasks": tasks, "judge": None if judge is None else str(judge)}
        settings = Settings(compressed=str(tiny[1]), evaluate=evaluation)
        request = RecoveryRequest(method="full", learning_rate=1e-3)
        plans = recipe(warehouse, settings, str(tiny[0]), None, {}), cell_recipe(warehouse, settings, "s", request)
        return [(plan.inputs, plan.id) for plan in plans]

    plain = [causes(f"knowledge:{facts}", judge=judge) for judge in (None, *tiny)]
    assert plain[0] == plain[1] == plain[2]
    assert all("judge" not in inputs for inputs, _ in plain[0])
    first, second = (causes(f"judged:{facts}", judge=judge) for judge in tiny)
    for one, other in zip(first, second, strict=True):
        assert one[0] | {"judge": ""} == other[0] | {"judge": ""}
        assert one[0]["judge"] != other[0]["judge"]
        assert one[1] != other[1]


def test_items_of_the_corpus_are_not_judged(curate: Run, tiny: tuple[Path, Path], facts: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text(json.dumps({"instruction": "NAME a fruit", "input": "", "output": "yes"}) + "\n")
    task = ("--tasks", f"judged:{facts}", "--judge", tiny[1], "--max-new-tokens", "2")
    answer = curate("evaluate", tiny[0], *task, "--corpus", pool, "--warehouse", tmp_path / "w", "--json")
    assert answer.code == 0, answer.err
    assert (answer.value["n_items"], answer.value["n_contaminated"]) == (6, 1)


@pytest.mark.slow
def test_a_killed_judged_evaluation_resumes(tiny: tuple[Path, Path], facts: Path, tmp_path: Path) -> None:
    """Kill it after every part; the final content equals that of an uninterrupted run."""

    def arguments(warehouse: Path) -> list[str]:
        task = ["evaluate", str(tiny[0]), "--tasks", f"judged:{facts}", "--judge", str(tiny[1])]
        return [*task, "--max-new-tokens", "2", "--part-items", "3", "--threads", "1", "--warehouse", str(warehouse)]

    assert attempts.run(arguments(tmp_path / "whole")) == 0
    survived, killed = tmp_path / "survived", 0
    while attempts.run(arguments(tmp_path / "broken"), attempts.Kill(survived)) != 0:
        killed += 1
        assert killed < 40
    assert killed >= 4

    def content(warehouse: Path) -> dict[str, bytes]:
        return {name: data for name, (_, data) in attempts.parts(warehouse).items()}

    assert content(tmp_path / "broken") == content(tmp_path / "whole")
