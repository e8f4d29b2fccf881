"""A published warehouse, and a session on its catalog."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import warehouses

from curate.storage.catalog.publish import publish
from curate.storage.catalog.queries import open_catalog
from curate.storage.warehouse.warehouse import Warehouse


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("filled") / "w"
    warehouse = Warehouse(root)
    ids = warehouses.fill(warehouse)
    with warehouse.start_run("select", {}):
        pass
    publish(warehouse)
    return root, ids


@pytest.fixture
def con(filled: tuple[Path, dict[str, str]]) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_catalog(filled[0]) as session:
        yield session


@pytest.fixture
def ids(filled: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return filled[1]
