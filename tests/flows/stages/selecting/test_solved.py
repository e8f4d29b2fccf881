"""Rows by what a model's samples solve: shares and their gap, from sampling to a selection."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from curate import flows
from curate.flows.stages.selecting.solved import read_solved
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

ROWS = 16
DRAWING = ("--best-of", 4, "--max-new-tokens", 24, "--seed", 1)
SELECT = ("select", "--method", "by-signal", "-b", 5)


@pytest.fixture(scope="module")
def demo_selection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "w"
    flows.select(flows.settings(warehouse=folder, select={"method": "uniform", "budget": str(ROWS)}))
    return folder


@pytest.fixture
def root(demo_selection: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_selection, tmp_path / "w"))


def slow_shares(warehouse: Warehouse, targets: str) -> dict[str, float]:
    """Count the right samples of every row."""
    passed: dict[str, list[bool]] = {}
    for sample in warehouse.read("targets", targets).to_pylist():
        passed.setdefault(sample["example_id"], []).append(sample["passed"])
    return {name: sum(values) / len(values) for name, values in passed.items()}


def test_rows_that_only_the_original_solves_are_kept(curate: Run, root: Path) -> None:
    drawn = [curate("sample", *DRAWING, "--from", role, "-w", root, "--json") for role in ("original", "compressed")]
    assert [one.code for one in drawn] == [0, 0]
    warehouse = Warehouse(root)
    ids = warehouse.read("corpus", warehouse.list("corpus")[0].id)["example_id"].to_numpy(zero_copy_only=False)
    first, second = (slow_shares(warehouse, one.value["targets_id"]) for one in drawn)
    gap = {name: first[name] - second[name] for name in first}
    values = read_solved(warehouse, ",".join(one.value["targets_id"] for one in drawn), ids.astype(np.str_))
    assert np.isfinite(values).sum() == ROWS
    assert {str(name): value for name, value in zip(ids, values, strict=True) if np.isfinite(value)} == gap
    assert max(gap.values()) > 0

    chosen = curate(*SELECT, "--signal", "solved_gap", "-w", root, "--json")
    assert chosen.code == 0, chosen.err
    ledger = warehouse.read("selection", chosen.value["selection_id"]).to_pylist()
    kept = [row["example_id"] for row in ledger if row["kept"]]
    assert sorted(kept) == sorted(sorted(gap, key=lambda name: (-gap[name], name))[:5])
    assert chosen.value["reasons"]["filtered:no_value"] == len(ids) - ROWS
    low = curate(*SELECT, "--signal", "solved_original", "--prefer", "low", "-w", root, "--json").value
    ledger = warehouse.read("selection", low["selection_id"]).to_pylist()
    least = sorted(first, key=lambda name: (first[name], name))[:5]
    assert sorted(row["example_id"] for row in ledger if row["kept"]) == sorted(least)


def test_errors_say_what_to_sample(curate: Run, root: Path) -> None:
    nothing = curate(*SELECT, "--signal", "solved_original", "-w", root)
    assert (nothing.code, "run `curate sample --from original`" in nothing.err) == (2, True)
    assert curate("sample", *DRAWING, "-w", root).code == 0
    half = curate(*SELECT, "--signal", "solved_gap", "-w", root)
    assert (half.code, "run `curate sample --from compressed`" in half.err) == (2, True)
    assert curate("sample", "--best-of", 2, "--seed", 1, "--from", "compressed", "-w", root).code == 0
    unlike = curate(*SELECT, "--signal", "solved_gap", "-w", root)
    assert (unlike.code, "differ in selection or settings" in unlike.err) == (2, True)
    assert curate(*SELECT, "--signal", "solved_compressed", "-w", root).code == 0


def test_the_model_must_be_known(curate: Run, corpus: Path, tmp_path: Path) -> None:
    unknown = curate(*SELECT, "--signal", "solved_compressed", "--corpus", corpus, "-w", tmp_path / "w")
    assert (unknown.code, "pass --compressed FOLDER" in unknown.err) == (2, True)
