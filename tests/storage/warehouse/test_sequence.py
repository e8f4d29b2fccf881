"""The latest artefact is the one finished last, whatever the clock says."""

from __future__ import annotations

import json
import multiprocessing
from typing import TYPE_CHECKING

import warehouses

from curate.schemas.artefacts import NOUNS
from curate.storage.catalog.publish import publish
from curate.storage.catalog.queries import open_catalog, resolve_selection
from curate.storage.warehouse import sequence
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path


def date(warehouse: Warehouse, selection: str, created: str) -> None:
    path = warehouse.folder("selection", selection) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "created": created}))


def test_a_clock_set_back_does_not_change_the_latest(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    ids = warehouses.fill(warehouse)
    date(warehouse, ids["paser"], "2001-01-01T00:00:00+00:00")
    date(warehouse, ids["uniform"], "2031-01-01T00:00:00+00:00")
    publish(warehouse)
    assert warehouse.find("selection", "latest").id == ids["paser"]
    assert warehouse.find("selection", "previous").id == ids["uniform"]
    with open_catalog(tmp_path) as con:
        assert resolve_selection(con, "latest") == ids["paser"]
        assert resolve_selection(con, "previous") == ids["uniform"]


def test_artefacts_without_a_number_are_older(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    ids = warehouses.fill(warehouse)
    path = warehouse.folder("selection", ids["paser"]) / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["sequence"]
    path.write_text(json.dumps({**manifest, "created": "2031-01-01T00:00:00+00:00"}))
    assert warehouse.find("selection", "latest").id == ids["uniform"]


def test_numbers_go_on_without_their_file(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    warehouses.fill(warehouse)
    largest = max(one.sequence for noun in NOUNS for one in warehouse.list(noun))
    for content in (None, b"", b"x", b"\xff"):
        (tmp_path / sequence.FILE).unlink()
        if content is not None:
            (tmp_path / sequence.FILE).write_bytes(content)
        assert sequence.next_number(tmp_path, 1.0) == largest + 1


def take(root: Path, count: int) -> list[int]:
    return [sequence.next_number(root, 60.0) for _ in range(count)]


def test_no_two_processes_get_one_number(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        taken = pool.starmap(take, [(tmp_path, 20)] * 3)
    assert all(numbers == sorted(numbers) for numbers in taken)
    assert sorted(sum(taken, [])) == list(range(1, 61))
