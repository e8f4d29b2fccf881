"""A catalog that is continued from the last one equals one that is built anew, and costs no more the larger it is."""

from __future__ import annotations

import itertools
import logging
import random
import shutil
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import warehouses

from curate.storage.catalog import tiers
from curate.storage.catalog.publish import publish
from curate.storage.catalog.stored_tables import STORED
from curate.storage.catalog.views import VIEWS
from curate.storage.warehouse import listing, part_file, runs
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path


def content(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every public table and view, sorted."""
    names = [view.name for view in VIEWS] + [table.name for table in STORED]
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as con:
        return {name: sorted(con.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr) for name in names}


@pytest.mark.parametrize("seed", range(3))
def test_a_continued_catalog_is_that_of_a_build_from_all_manifests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(tiers, "MOST_RECENT", 5)
    warehouse, draw, number = Warehouse(tmp_path / "w"), random.Random(seed), itertools.count()
    corpus = warehouses.fill(warehouse)["corpus"]

    def clusters() -> str:
        return warehouses.clusters(warehouse, corpus, warehouses.embeddings(warehouse, corpus))

    def add() -> None:
        warehouses.brief_selection(warehouse, next(number), corpus=corpus, clusters=clusters())

    def remove() -> None:
        shutil.rmtree(draw.choice(sorted((warehouse.root / "selection").glob("[!.]*"))))

    def remove_clusters() -> None:
        shutil.rmtree(warehouse.folder("clusters", clusters()))

    def damage() -> None:
        folder = draw.choice(sorted((warehouse.root / "selection").glob("[!.]*")))
        draw.choice(sorted(folder.glob("*.parquet"))).unlink(missing_ok=True)

    def unreadable() -> None:
        draw.choice(sorted((warehouse.root / "selection").glob("[!.]*"))).joinpath("manifest.json").write_text("{")

    def run() -> None:
        record = runs.start(warehouse.root, f"command {next(number)}", {})
        if draw.random() < 0.7:
            record.finish()

    def forget_runs() -> None:
        shutil.rmtree(warehouse.root / "runs", ignore_errors=True)

    deeds = [add, add, add, run, run, remove, remove_clusters, clusters, damage, unreadable, forget_runs]
    add()
    publish(warehouse)
    for _ in range(4):
        for deed in draw.choices(deeds, k=4):
            deed()
        add()
        publish(warehouse)
        continued = content(warehouse.root)
        publish(warehouse, anew=True)
        assert continued == content(warehouse.root)


def test_publishing_reads_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cost is counted, not timed: manifests, footers and run records that are read, and the text that is written."""
    counts: dict[str, int] = {}

    def counted(module: Any, name: str) -> None:
        real = getattr(module, name)

        def call(*given: Any, **named: Any) -> Any:
            counts[name] = counts.get(name, 0) + 1
            return real(*given, **named)

        monkeypatch.setattr(module, name, call)

    counted(listing, "read_manifest")
    counted(part_file, "schema")
    counted(runs, "_check_types")
    warehouse = Warehouse(tmp_path)
    for number in range(2 * tiers.MOST_RECENT + 10):
        warehouses.brief_selection(warehouse, number)
        runs.start(tmp_path, "select", {}).finish()
        if number in (0, tiers.MOST_RECENT + 2, 2 * tiers.MOST_RECENT + 2):
            publish(warehouse)
            counts.clear()
            publish(warehouse)
            assert counts == {}
            warehouses.brief_selection(warehouse, number + 1)
            counts.clear()
            publish(warehouse)
            assert counts == {"read_manifest": 2, "schema": 2}  # the second reading is that of the allocation
            with duckdb.connect(str(tmp_path / "catalog.duckdb"), read_only=True) as con:
                sql = "SELECT length(sql) FROM duckdb_views() WHERE schema_name = 'recent' AND view_name = 'ledger'"
                assert con.execute(sql).fetchall()[0][0] < 2_000 + 60 * tiers.MOST_RECENT


def test_a_catalog_of_another_format_is_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(tmp_path)
    warehouses.brief_selection(warehouse, 0)
    publish(warehouse)
    with duckdb.connect(str(tmp_path / "catalog.duckdb")) as con:
        con.execute("DELETE FROM recent.selections; CREATE TABLE foreign_table (x INTEGER)")
    publish(warehouse)
    assert content(tmp_path)["selections"] == []  # nobody writes to a catalog; it is continued as it is
    monkeypatch.setattr(tiers, "FORMAT", tiers.FORMAT + 1)
    publish(warehouse)
    assert len(content(tmp_path)["selections"]) == 1


def test_a_damaged_catalog_is_built_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    warehouse = Warehouse(tmp_path)
    warehouses.brief_selection(warehouse, 0)
    catalog = publish(warehouse).path
    catalog.write_bytes(catalog.read_bytes()[:9000])
    with caplog.at_level(logging.WARNING):
        publish(warehouse)
    assert "is built anew" in caplog.text
    assert len(content(tmp_path)["ledger"]) == 3


def test_every_table_is_cleared_of_an_artefact_that_is_gone(tmp_path: Path) -> None:
    assert tiers.KEYS.keys() == {table.name for table in tiers.TABLES}
    warehouse = Warehouse(tmp_path)
    warehouses.fill(warehouse)
    runs.start(tmp_path, "select", {}).finish()
    publish(warehouse)
    for noun in ("corpus", "embeddings", "clusters", "scores", "selection", "recovery", "runs"):
        shutil.rmtree(tmp_path / noun)
    publish(warehouse)
    assert {name: rows for name, rows in content(tmp_path).items() if rows} == {}
