"""What `curate sql` may read."""

from __future__ import annotations

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
def root(tmp_path: Path) -> Path:
    warehouse = Warehouse(tmp_path / "w")
    warehouses.fill(warehouse)
    publish(warehouse)
    (tmp_path / "secret.csv").write_text("a\n1\n")
    return warehouse.root


@pytest.mark.parametrize(
    "source",
    [
        "read_csv('{0}/../secret.csv')",
        "read_text('{0}/../secret.csv')",
        "read_blob('/proc/self/environ')",
        "glob('/etc/*')",
        "'{0}/corpus/../../secret.csv'",
        "'https://example.invalid/a.parquet'",
    ],
)
def test_files_outside_the_warehouse_are_refused(curate: Run, root: Path, source: str) -> None:
    answer = curate("sql", f"SELECT * FROM {source.format(root)}", "-w", root)
    assert answer.code == 2
    assert "pass --allow-files" in answer.err


def test_files_are_read_on_request(curate: Run, root: Path) -> None:
    query = f"SELECT a, (SELECT count(*) FROM examples) AS n FROM '{root.parent}/secret.csv'"
    assert curate("sql", query, "-w", root, "--allow-files", "--json").value == [{"a": 1, "n": warehouses.ROWS}]


def test_files_of_the_warehouse_are_read(curate: Run, root: Path) -> None:
    query = f"SELECT count(*) AS n FROM read_parquet('{root}/corpus/*/part-*.parquet')"
    assert curate("sql", query, "-w", root, "--json").value == [{"n": warehouses.ROWS}]
