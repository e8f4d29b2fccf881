"""Sketches are made when a selection reads them, and never change an id of what does without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from corpora import write_corpus

from curate.flows.stages.selecting.vectors import read_vectors
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Run


@pytest.fixture
def select(curate: Run, tiny: tuple[Path, Path], tmp_path: Path) -> Callable[..., Any]:
    pool = write_corpus(tmp_path / "pool.jsonl", rows=30)
    fixed = ["-c", pool, "--original", tiny[0], "--compressed", tiny[1], "--part-rows", "16", "-w", tmp_path / "w"]

    def run(*words: object, verb: str = "select") -> Any:
        answer = curate(verb, *fixed, *words, "--json")
        assert answer.code == 0, answer.err
        return answer.value

    return run


def test_coverage_makes_the_sketches_that_it_reads(select: Callable[..., Any], tmp_path: Path) -> None:
    plain = select(verb="score")["id"]
    summary = select("--method", "coverage", "--groups", "source", "--budget", "6")
    sketched = summary["inputs"]["scores"]
    assert (summary["n_kept"], sketched != plain) == (6, True)
    assert select("--sketch", verb="score")["id"] == sketched
    warehouse = Warehouse(tmp_path / "w")
    vectors = read_vectors(warehouse, sketched, "gradients")
    assert vectors.unit.shape == (30, 4096)
    np.testing.assert_allclose(np.linalg.norm(vectors.unit.astype(float), axis=1), 1.0, atol=1e-3)
    assert (vectors.length > 0).all()
    assert read_vectors(warehouse, sketched, "states").unit.shape[0] == 30
    table, other = (warehouse.read("scores", one) for one in (plain, sketched))
    assert table.equals(other)


def test_scores_with_sketches_serve_a_selection_without(select: Callable[..., Any], tmp_path: Path) -> None:
    sketched = select("--sketch", verb="score")["id"]
    plain = select("--method", "donod", "--budget", "5")["inputs"]["scores"]
    warehouse = Warehouse(tmp_path / "w")
    assert warehouse.manifest("scores", plain).facts["n_reused"] == 30
    assert warehouse.read("scores", plain).equals(warehouse.read("scores", sketched))
    assert "sketch" not in warehouse.manifest("scores", plain).settings


@pytest.mark.parametrize("method", ["coverage", "rds"])
def test_a_target_file_is_scored_with_the_same_models(
    select: Callable[..., Any], curate: Run, tmp_path: Path, method: str
) -> None:
    target = write_corpus(tmp_path / "target.jsonl", rows=5, seed=8)
    summary = select("--method", method, "--target", target, "--budget", "7")
    warehouse = Warehouse(tmp_path / "w")
    manifest = warehouse.manifest("selection", summary["selection_id"])
    scores = warehouse.manifest("scores", manifest.inputs["target"])
    assert (summary["n_kept"], scores.rows(), scores.settings["sketch"]) == (7, 5, True)
    assert sorted(summary["inputs"]) == ["corpus", "scores", "target"]
    assert select("--method", method, "--target", target, "--budget", "7")["selection_id"] == summary["selection_id"]
    plan = curate("plan", "-c", tmp_path / "pool.jsonl", "-w", tmp_path / "w", "--method", method)
    assert plan.code == 3
    assert "reads scores, and no model was given" in plan.err


def test_rds_reads_one_model(curate: Run, tiny: tuple[Path, Path], tmp_path: Path) -> None:
    pool = write_corpus(tmp_path / "pool.jsonl", rows=20)
    fixed = ("-c", pool, "--compressed", tiny[1], "-w", tmp_path / "w", "--groups", "source", "--budget", "4")
    assert curate("select", "--method", "rds", *fixed, "--json").value["n_kept"] == 4
    answer = curate("select", "--method", "coverage", "--allocation", "uniform", *fixed)
    assert (answer.code, "compares two models, and only one was given" in answer.err) == (2, True)
