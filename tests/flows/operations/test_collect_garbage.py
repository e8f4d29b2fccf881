"""`curate gc` through the command line: it lists first, and removes only when asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import warehouses

from curate.storage.catalog.publish import publish
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


def test_garbage_is_listed_first_and_removed_when_asked(curate: Run, tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    ids = warehouses.fill(warehouse)
    unused = warehouses.embeddings(warehouse, ids["corpus"], width=5)
    publish(warehouse)
    where = ("-w", warehouse.root)
    assert "Nothing to remove" in curate("gc", *where).out
    listed = curate("gc", "--grace-days", "0", *where)
    assert listed.code == 0
    assert f"embeddings/{unused}" in listed.out
    assert "--delete" in listed.out
    assert warehouse.has("embeddings", unused)
    report = curate("gc", "--grace-days", "0", "--delete", *where, "--json").value
    assert [one["path"] for one in report["garbage"]] == [f"embeddings/{unused}"]
    assert report["bytes"] > 0
    assert not warehouse.has("embeddings", unused)
    assert curate("doctor", *where).code == 0


def test_a_negative_grace_and_a_run_under_way_are_refused(curate: Run, tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    warehouses.fill(warehouse)
    answer = curate("gc", "--grace-days", "-1", "-w", warehouse.root)
    assert (answer.code, "is negative" in answer.err) == (2, True)
    with warehouse.start_run("select", {}):
        answer = curate("gc", "--grace-days", "0", "--delete", "-w", warehouse.root)
    assert (answer.code, "is in progress" in answer.err, answer.err.count("\n")) == (4, True, 1)


def test_an_unreadable_manifest_stops_it_with_exit_code_4(curate: Run, tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    ids = warehouses.fill(warehouse)
    path = warehouse.folder("selection", ids["paser"]) / "manifest.json"
    path.write_text("")
    for flags in ((), ("--delete",)):
        answer = curate("gc", "--grace-days", "0", *flags, "-w", warehouse.root)
        assert (answer.code, answer.err.count("\n")) == (4, 1)
        assert f"{path} is damaged; see `curate doctor`" in answer.err
    assert all(warehouse.has(noun, ids[noun]) for noun in ("corpus", "embeddings", "clusters", "scores", "recovery"))
    answer = curate("doctor", "-w", warehouse.root)
    assert (answer.code, f"{path} is damaged" in answer.out) == (1, True)
    assert f"{path} is damaged" in curate("status", "-w", warehouse.root, "--json").value["problems"][0]
