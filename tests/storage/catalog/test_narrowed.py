"""A query over one selection reads its ledger only, and exactly what a query has read is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import warehouses

from curate.schemas.errors import WarehouseError
from curate.storage.catalog.explain import NEWEST
from curate.storage.catalog.narrowed import narrowed
from curate.storage.catalog.publish import publish
from curate.storage.catalog.queries import explain, open_catalog, run_named_query, run_sql
from curate.storage.catalog.read_files import tables_read
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

MANY = NEWEST + 4


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Warehouse, list[str]]:
    warehouse = Warehouse(tmp_path_factory.mktemp("many") / "w")
    corpus = warehouses.corpus(warehouse)
    ids = [warehouses.brief_selection(warehouse, number, corpus=corpus) for number in range(MANY)]
    publish(warehouse)
    return warehouse, ids


def test_a_condition_on_the_id_opens_one_file(many: tuple[Warehouse, list[str]]) -> None:
    warehouse, ids = many
    with open_catalog(warehouse.root) as con:
        sql = "SELECT * FROM ledger JOIN selections USING (selection_id) WHERE selection_id = $id"
        assert run_sql(con, sql, {"id": ids[3]}).num_rows == 3
        con.execute(sql, {"id": ids[3]}).fetchall()
        read = tables_read(con.get_profiling_information("json"), warehouse.root)
        assert read == ({("selection", ids[3], "part")}, set())
        con.execute("SELECT count(example_id) FROM ledger").fetchall()
        assert tables_read(con.get_profiling_information("json"), warehouse.root)[1] == {("selection", "part")}


def test_a_narrowed_session_holds_some_ledgers_for_a_while(many: tuple[Warehouse, list[str]]) -> None:
    warehouse, ids = many
    count = "SELECT count(*) FROM ledger"
    with open_catalog(warehouse.root) as con:
        for chosen in ([], ids[:1], ids[:7]):
            with narrowed(con, chosen):
                assert run_sql(con, count)[0].to_pylist() == [3 * len(chosen)]
        assert run_sql(con, count)[0].to_pylist() == [3 * MANY]
        assert run_named_query(con, "reasons").num_rows == 1


def test_explain_shows_the_newest_selections(many: tuple[Warehouse, list[str]]) -> None:
    warehouse, ids = many
    with open_catalog(warehouse.root) as con:
        report = explain(con, warehouses.IDS[0])
        assert [one["selection_id"] for one in report["selections"]] == ids[::-1][:NEWEST]
        assert report["older_selections"] == MANY - NEWEST
        report = explain(con, warehouses.IDS[0], ids[0])
        assert [one["selection_id"] for one in report["selections"]] == [ids[0]]
        assert report["older_selections"] == 0


def test_every_file_that_was_read_is_checked(tmp_path: Path) -> None:
    """DuckDB's profile names five files of a scan; the damaged one is not among them."""
    warehouse = Warehouse(tmp_path)
    ids = [warehouses.brief_selection(warehouse, number) for number in range(9)]
    publish(warehouse)
    for path in warehouse.folder("selection", ids[-1]).glob("part-*"):
        path.write_bytes(path.read_bytes().replace(b"budget", b"bodget"))
    with open_catalog(tmp_path) as con:
        assert run_sql(con, f"SELECT * FROM ledger WHERE selection_id = '{ids[0]}'").num_rows == 3
        assert run_named_query(con, "reasons", {"selection": ids[0]}).num_rows == 1
        with pytest.raises(WarehouseError, match=f"{ids[-1]}.*changed after it was written"):
            run_sql(con, "SELECT * FROM ledger")


@pytest.mark.parametrize("content", [None, b"no Parquet"])
def test_a_ledger_that_is_lost_after_publishing_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    warehouse = Warehouse(tmp_path)
    corpus = warehouses.corpus(warehouse)
    selection = warehouses.brief_selection(warehouse, 0, corpus=corpus)
    publish(warehouse)
    (part,) = warehouse.folder("selection", selection).glob("part-*")
    part.unlink()
    if content is not None:
        part.write_bytes(content)
    with open_catalog(tmp_path) as con:
        with pytest.raises(WarehouseError, match="cannot be read.*curate doctor --repair"):
            explain(con, warehouses.IDS[0])
        with pytest.raises(WarehouseError, match="cannot be read.*curate doctor --repair"):
            run_named_query(con, "reasons")
        assert run_sql(con, "SELECT count(*) FROM selections")[0].to_pylist() == [1]
