"""`curate status` and `curate doctor`: their reports on intact and damaged warehouses."""

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

    from curate.schemas.artefacts import Noun

    Run = Callable[..., Any]


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "w")


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, str]:
    artefact_ids = warehouses.fill(warehouse)
    publish(warehouse)
    return artefact_ids


def problems(curate: Run, warehouse: Warehouse) -> list[str]:
    answer = curate("doctor", "-w", warehouse.root, "--json")
    listed: list[str] = answer.value["problems"]
    assert answer.code == int(bool(listed))
    return listed


def test_an_intact_warehouse_and_its_environment(curate: Run, warehouse: Warehouse, ids: dict[str, str]) -> None:
    report = curate("doctor", "-w", warehouse.root, "--json").value
    assert report["problems"] == report["unfinished"] == []
    assert report["artefacts_checked"] == len(ids)
    assert {"python", "torch", "devices", "extras", "free disk"} <= report["environment"].keys()
    assert "no problem found" in curate("doctor", "-w", warehouse.root).out
    # A warehouse that does not exist yet is not a problem.
    assert problems(curate, Warehouse(warehouse.root / "nothing" / "here")) == []


def test_a_changed_and_a_missing_part_are_named(curate: Run, warehouse: Warehouse, ids: dict[str, str]) -> None:
    changed, missing = (
        next(warehouse.folder(noun, ids[noun]).glob("part-*.parquet")) for noun in ("scores", "embeddings")
    )
    changed.write_bytes(changed.read_bytes()[:-1] + b"X")
    missing.unlink()
    problems_found = problems(curate, warehouse)
    assert any(str(changed) in one and "changed after it was written" in one for one in problems_found)
    assert any(str(missing) in one and "is missing" in one for one in problems_found)
    assert any("table embeddings" in one for one in problems_found)


def test_a_stale_catalog_is_reported(curate: Run, warehouse: Warehouse, ids: dict[str, str]) -> None:
    warehouses.selection(warehouse, {"corpus": ids["corpus"]}, "uniform", budget=12)
    (problem,) = problems(curate, warehouse)
    assert "do not hold the same selections" in problem
    assert "curate catalog rebuild" in problem
    curate("catalog", "rebuild", "-w", warehouse.root)
    assert problems(curate, warehouse) == []
    (warehouse.root / "catalog.duckdb").unlink()
    assert "there is no" in problems(curate, warehouse)[0]


@pytest.mark.parametrize(
    ("noun", "name", "file"),
    [
        ("scores", "scores", "part-00000.parquet"),
        ("selection", "uniform", "manifest.json"),
        ("selection", "paser", "allocation-00000.parquet"),
    ],
)
def test_a_rebuilt_catalog_that_lacks_something_ends_with_1(
    curate: Run, warehouse: Warehouse, ids: dict[str, str], caplog: Any, noun: Noun, name: str, file: str
) -> None:
    rebuild, catalog = ("catalog", "rebuild", "-w", warehouse.root), str(warehouse.root / "catalog.duckdb")
    assert curate(*rebuild)[:2] == (0, f"{catalog}\n")
    (warehouse.folder(noun, ids[name]) / file).write_bytes(b"{")
    assert curate(*rebuild)[:2] == (1, f"{catalog}\n")
    assert ids[name] in caplog.text
    assert curate("sql", "SELECT count(*) FROM ledger", "-w", warehouse.root).code == 0


def test_a_moved_warehouse_has_no_problem(
    curate: Run, warehouse: Warehouse, ids: dict[str, str], tmp_path: Path
) -> None:
    shutil.move(warehouse.root, tmp_path / "moved")
    moved = Warehouse(tmp_path / "moved")
    assert problems(curate, moved) == []
    curate("catalog", "rebuild", "-w", moved.root)
    assert problems(curate, moved) == []


def test_unfinished_artefacts_are_listed(curate: Run, warehouse: Warehouse, ids: dict[str, str]) -> None:
    (warehouse.folder("scores", ids["scores"]) / "manifest.json").unlink()
    for verb in ("status", "doctor"):
        answer = curate(verb, "-w", warehouse.root)
        assert f"unfinished: scores {ids['scores']}" in answer.out
    assert curate("status", "-w", warehouse.root, "--json").value["unfinished"] == [
        {"noun": "scores", "id": ids["scores"]}
    ]


@pytest.mark.parametrize(
    ("package", "installed", "bad"),
    [("fastapi", "0.150.9", False), ("fastapi", "0.151.0", True), ("fastapi", "1.0", True),
     ("sqlalchemy", "2.0.44", False), ("sqlalchemy", "2.1.0b1", True)],
)  # fmt: skip
def test_versions_that_break_prefect_are_reported(
    curate: Run, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, package: str, installed: str, bad: bool
) -> None:
    fine = {"fastapi": "0.140.0", "sqlalchemy": "2.0.40"}
    monkeypatch.setattr("curate.flows.operations.doctor.version", lambda name: {**fine, package: installed}[name])
    problems_found = problems(curate, warehouse)
    assert bool(problems_found) == bad
    assert all(f"{package} {installed}" in one and "pip install" in one for one in problems_found)
