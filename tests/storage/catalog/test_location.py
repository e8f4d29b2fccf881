"""A copied or moved warehouse reads its own files in every client, or says that it does not."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import duckdb
import pyarrow.parquet as pq
import pytest
import warehouses

from curate.schemas.errors import WarehouseError
from curate.storage.catalog.publish import publish
from curate.storage.catalog.queries import open_catalog, run_sql
from curate.storage.catalog.views import VIEWS
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

COUNT = "SELECT count(*) AS n FROM sources"


@pytest.fixture
def copies(tmp_path: Path) -> tuple[Path, Path]:
    """Return a warehouse and its copy, of which some rows of the table ``sources`` were deleted."""
    original = Warehouse(tmp_path / "it's the original")
    corpus = warehouses.fill(original)["corpus"]
    publish(original)
    copy = Warehouse(shutil.copytree(original.root, tmp_path / "copy"))
    for part in copy.folder("corpus", corpus).glob("sources-*.parquet"):
        # Not through DuckDB: its lazy reader would hold the connection that writes the file, and wait for itself.
        pq.write_table(pq.read_table(part).slice(0, 1), part)
    return original.root, copy.root


def count(root: Path) -> int:
    with open_catalog(root, verify=False) as con:  # the copy's parts were changed on purpose
        return int(run_sql(con, COUNT)["n"][0].as_py())


def test_a_copy_reads_its_own_files(copies: tuple[Path, Path]) -> None:
    original, copy = copies
    assert (count(original), count(copy)) == (61, 3)
    shutil.rmtree(original)
    assert count(copy) == 3


def test_a_moved_warehouse_reads_itself(copies: tuple[Path, Path]) -> None:
    original, _ = copies
    moved = original.rename(original.with_name("moved"))
    assert count(moved) == 61


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_another_client_is_refused_on_the_copy(copies: tuple[Path, Path], view: object) -> None:
    original, copy = copies
    name = view.name  # type: ignore[attr-defined]
    with duckdb.connect(str(original / "catalog.duckdb"), read_only=True) as con:
        if con.execute(f'SELECT count(*) FROM "{name}"').fetchall() == [(0,)]:
            return  # made from no artefact: there is no file that it could read
    with duckdb.connect(str(copy / "catalog.duckdb"), read_only=True) as con:
        with pytest.raises(duckdb.Error, match="opened from elsewhere.*curate catalog rebuild"):
            con.execute(f'SELECT * FROM "{name}"').fetchall()
        con.execute(f"SET VARIABLE curate_root = '{copy}'")
        con.execute(f'SELECT * FROM "{name}"').fetchall()


def test_another_client_reads_it_by_a_relative_path_and_a_link(
    copies: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original, _ = copies
    (tmp_path / "link").symlink_to(original)
    monkeypatch.chdir(original)
    for name in ("catalog.duckdb", str(tmp_path / "link" / "catalog.duckdb")):
        with duckdb.connect(name, read_only=True) as con:
            assert con.execute(COUNT).fetchall() == [(61,)]


def test_a_rebuilt_copy_is_read_by_every_client(copies: tuple[Path, Path]) -> None:
    _, copy = copies
    publish(Warehouse(copy))
    with duckdb.connect(str(copy / "catalog.duckdb"), read_only=True) as con:
        assert con.execute(COUNT).fetchall() == [(3,)]


def test_a_catalog_of_an_older_version_is_refused_where_it_reads_other_files(copies: tuple[Path, Path]) -> None:
    original, copy = copies
    for root in (original, copy):
        with duckdb.connect(str(root / "catalog.duckdb")) as con:
            part = next((original / "corpus").rglob("sources-*.parquet"))
            for view in VIEWS:
                con.execute(f'DROP VIEW "{view.name}"')
            con.execute("DROP SCHEMA settled CASCADE; DROP SCHEMA recent CASCADE")
            quoted = str(part).replace("'", "''")
            con.execute(f"CREATE VIEW sources AS SELECT * FROM read_parquet(['{quoted}'])")
    with pytest.raises(WarehouseError, match="published elsewhere by an older version.*curate catalog rebuild"):
        open_catalog(copy)
