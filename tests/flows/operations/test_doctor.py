"""`curate status` and `curate doctor`: what they tell of a warehouse in good and in bad health."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
import warehouses

from curate.storage.catalog.publish import publish
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "w")


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, str]:
    made = warehouses.fill(warehouse)
    publish(warehouse)
    return made


def problems(curate: Run, warehouse: Warehouse) -> list[str]:
    answer = curate("doctor", "-w", warehouse.root, "--json")
    found: list[str] = answer.value["problems"]
    assert answer.code == int(bool(found))
    return found


def test_a_healthy_warehouse_and_its_environment(curate: Run, warehouse: Warehouse, ids: dict[str, str]) -> None:
    told = curate("doctor", "-w", warehouse.root, "--json").value
    assert told["problems"] == told["unfinished"] == []
    assert told["artefacts_checked"] == len(ids)
    assert {"python", "torch", "devices", "extras", "free disk"} <= told["environment"].keys()
    assert "no problem found" in curate("doctor", "-w", warehouse.root).out
    # An empty place is no illness.
    assert problems(curate, Warehouse(warehouse.root / "nothing" / "here")) == []


def test_a_changed_and_a_missing_part_are_named(curate: Run, warehouse: Warehouse, ids: dict[str, str]) -> None:
    changed, missing = (
        next(warehouse.folder(noun, ids[noun]).glob("part-*.parquet")) for noun in ("scores", "embeddings")
    )
    changed.write_bytes(changed.read_bytes()[:-1] + b"X")
    missing.unlink()
    found = problems(curate, warehouse)
    assert any(str(changed) in one and "not what was written" in one for one in found)
    assert any(str(missing) in one and "cannot be read" in one for one in found)
    assert any("table embeddings" in one for one in found)


def test_a_catalog_that_lags_behind_is_told(curate: Run, warehouse: Warehouse, ids: dict[str, str]) -> None:
    warehouses.selection(warehouse, {"corpus": ids["corpus"]}, "uniform", budget=12)
    (told,) = problems(curate, warehouse)
    assert "do not hold the same selections" in told
    assert "curate catalog rebuild" in told
    curate("catalog", "rebuild", "-w", warehouse.root)
    assert problems(curate, warehouse) == []
    (warehouse.root / "catalog.duckdb").unlink()
    assert "there is no" in problems(curate, warehouse)[0]


def test_a_moved_warehouse_needs_a_new_catalog(
    curate: Run, warehouse: Warehouse, ids: dict[str, str], tmp_path: Path
) -> None:
    shutil.move(warehouse.root, tmp_path / "moved")
    moved = Warehouse(tmp_path / "moved")
    assert any("curate catalog rebuild" in one for one in problems(curate, moved))
    curate("catalog", "rebuild", "-w", moved.root)
    assert problems(curate, moved) == []


def test_attempts_that_are_not_finished_are_listed(curate: Run, warehouse: Warehouse, ids: dict[str, str]) -> None:
    (warehouse.folder("scores", ids["scores"]) / "manifest.json").unlink()
    for verb in ("status", "doctor"):
        answer = curate(verb, "-w", warehouse.root)
        assert f"begun: scores {ids['scores']}" in answer.out
    assert curate("status", "-w", warehouse.root, "--json").value["unfinished"] == [
        {"noun": "scores", "id": ids["scores"]}
    ]


@pytest.mark.parametrize(
    ("package", "installed", "bad"),
    [("fastapi", "0.150.9", False), ("fastapi", "0.151.0", True), ("fastapi", "1.0", True),
     ("sqlalchemy", "2.0.44", False), ("sqlalchemy", "2.1.0b1", True)],
)  # fmt: skip
def test_versions_that_break_prefect_are_told(
    curate: Run, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, package: str, installed: str, bad: bool
) -> None:
    fine = {"fastapi": "0.140.0", "sqlalchemy": "2.0.40"}
    monkeypatch.setattr("curate.flows.operations.doctor.version", lambda name: {**fine, package: installed}[name])
    found = problems(curate, warehouse)
    assert bool(found) == bad
    assert all(f"{package} {installed}" in one and "pip install" in one for one in found)
