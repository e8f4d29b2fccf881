"""Read-only sessions and explain."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import warehouses

from curate.schemas.errors import UsageError, WarehouseError
from curate.storage.catalog.publish import publish
from curate.storage.catalog.queries import (
    explain,
    open_catalog,
    resolve_selection,
    run_named_query,
    run_sql,
)
from curate.storage.warehouse.warehouse import Warehouse


def test_no_catalog_yet(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="there is no catalog in .* yet; run `curate select`"):
        open_catalog(tmp_path)


def test_a_file_that_is_not_a_catalog(tmp_path: Path) -> None:
    (tmp_path / "catalog.duckdb").write_bytes(b"no database" * 2000)
    with pytest.raises(WarehouseError, match="cannot open .*catalog.duckdb: .*run `curate catalog rebuild`"):
        open_catalog(tmp_path)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) AS n FROM examples",
        "FROM (SELECT count(*) AS n FROM examples)",
        "WITH e AS (FROM examples) SELECT count(*) AS n FROM e;",
        "-- a comment; with a semicolon\nSELECT count(*) AS n FROM examples",
        "SELECT $n AS n",
    ],
)
def test_reading_statements_are_accepted(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    values = {"n": warehouses.ROWS} if "$n" in sql else None
    assert run_sql(con, sql, values).to_pylist() == [{"n": warehouses.ROWS}]


@pytest.mark.parametrize("sql", ["DESCRIBE scores", "SHOW TABLES", "SUMMARIZE scores", "EXPLAIN SELECT 1"])
def test_describing_statements_are_accepted(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert run_sql(con, sql).num_rows > 0


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE x (a INT)", "CREATE TEMP TABLE x (a INT)", "DROP VIEW examples", "DELETE FROM selections",
        "INSERT INTO runs BY NAME SELECT 'x' AS run_id", "UPDATE runs SET command = 'x'", "INSTALL httpfs", "LOAD json",
        "ATTACH 'other.duckdb'", "SET threads = 1", "COPY runs TO 'x.csv'", "EXPLAIN ANALYZE COPY runs TO 'x.csv'",
        "EXPLAIN (ANALYZE) COPY runs TO 'x.csv'", "EXPORT DATABASE 'x'", "CALL pragma_version()", "CHECKPOINT",
    ],
)  # fmt: skip
def test_writing_statements_are_refused(
    con: duckdb.DuckDBPyConnection, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="read-only and this is an? [A-Z_ ]+ statement"):
        run_sql(con, sql)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", "DuckDB rejects the SQL: Parser Error"),
        ("SELECT speed FROM examples", 'Referenced column "speed" not found'),
        ("FROM con", "Table with name con does not exist"),
        ("SELECT $n", "parameter"),
        ("SELECT 1/0 + CAST('x' AS INT)", "Could not convert string"),
        ("", "holds 0 statements"),
        ("SELECT 1; SELECT 2", "holds 2 statements"),
    ],
)
def test_invalid_sql_is_a_usage_error(con: duckdb.DuckDBPyConnection, sql: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run_sql(con, sql)


def test_selections_are_resolved_by_prefix_and_by_age(con: duckdb.DuckDBPyConnection, ids: dict[str, str]) -> None:
    assert resolve_selection(con, "latest") == ids["paser"]
    assert resolve_selection(con, "previous") == ids["uniform"]
    assert resolve_selection(con, ids["uniform"][:6]) == ids["uniform"]
    for given in ("zz", ""):
        with pytest.raises(UsageError, match=f"the newest are {ids['paser']}, {ids['uniform']}"):
            resolve_selection(con, given)


def test_missing_selections_are_usage_errors(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    publish(warehouse)
    with open_catalog(tmp_path) as con, pytest.raises(UsageError, match="holds no selection yet"):
        resolve_selection(con, "latest")
    only = warehouses.selection(warehouse, {"corpus": "x"})
    publish(warehouse)
    with open_catalog(tmp_path) as con, pytest.raises(UsageError, match=f"there is only one selection, {only}"):
        resolve_selection(con, "previous")


def test_explain_returns_everything(con: duckdb.DuckDBPyConnection, ids: dict[str, str]) -> None:
    loser, winner = warehouses.IDS[1], warehouses.IDS[-1]
    report = explain(con, loser[:12])
    assert json.loads(json.dumps(report)) == report
    assert report["example_id"] == loser
    assert [turn["role"] for turn in report["messages"]] == ["user", "assistant"]
    assert report["sources"] == [{"corpus_id": ids["corpus"], "source": "a.jsonl", "row": 2, "licence": "MIT"}]
    assert report["clusters"] == [
        {"clusters_id": ids["clusters"], "cluster": 1, "membership": 0.5, "size": 20, "terms": ["t1", "plus"]}
    ]
    assert report["scores"][0]["scores_id"] == ids["scores"]
    assert report["scores"][0]["cds"] == pytest.approx(0.01)
    paser, uniform = report["selections"]
    assert (uniform["selection_id"], uniform["kept"], uniform["rank"]) == (ids["uniform"], True, 2)
    assert (paser["selection_id"], paser["kept"], paser["reason"]) == (ids["paser"], False, "conflict")
    assert (paser["related_id"], paser["related_prompt"]) == (winner, warehouses.example(warehouses.ROWS - 1)["prompt"])


def test_explain_of_one_selection_has_only_its_inputs(con: duckdb.DuckDBPyConnection, ids: dict[str, str]) -> None:
    report = explain(con, warehouses.IDS[1], "previous")
    assert [one["selection_id"] for one in report["selections"]] == [ids["uniform"]]
    assert report["clusters"] == report["scores"] == []
    report = explain(con, warehouses.IDS[1], ids["paser"])
    assert [one["selection_id"] for one in report["selections"]] == [ids["paser"]]
    assert len(report["clusters"]) == len(report["scores"]) == 1


def test_explain_needs_one_example(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(UsageError, match="no example id begins with 'zz'"):
        explain(con, "zz")
    with pytest.raises(UsageError, match=r"could be any of .*, …; give more digits"):
        explain(con, "")
    with pytest.raises(UsageError, match="no selection begins with 'zz'"):
        explain(con, warehouses.IDS[0], "zz")


def test_explain_of_an_example_outside_the_selection(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    warehouses.corpus(warehouse)
    selection_id = warehouses.selection(warehouse, {"corpus": "gone"}, "uniform")
    publish(warehouse)
    with (
        open_catalog(tmp_path) as con,
        pytest.raises(UsageError, match=f"is not in the corpus of selection {selection_id}"),
    ):
        explain(con, warehouses.IDS[0], selection_id)


def test_the_latest_selection_is_refused_while_a_manifest_cannot_be_read(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    ids = warehouses.fill(warehouse)
    path = warehouse.folder("selection", ids["paser"]) / "manifest.json"
    path.write_text("{")
    publish(warehouse)
    with open_catalog(tmp_path) as con:
        with pytest.raises(WarehouseError, match=f"which selection is the latest: {path} is damaged"):
            run_named_query(con, "reasons")
        assert run_named_query(con, "reasons", {"selection": ids["uniform"]}).num_rows > 0


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ("1 AS a, 2 AS a, 3 AS a", ["a", "a_1", "a_2"]),
        ("1 AS a, 2 AS a, 3 AS a_1", ["a", "a_2", "a_1"]),
        ("1 AS a_1, 2 AS a, 3 AS a", ["a_1", "a", "a_2"]),
        ("1 AS a, 2 AS b, 3 AS c", ["a", "b", "c"]),
    ],
)
def test_columns_of_one_name_stay_distinct(
    curate: Callable[..., Any], tmp_path: Path, columns: str, names: list[str]
) -> None:
    publish(Warehouse(tmp_path))
    expected = dict(zip(names, [1, 2, 3], strict=True))
    query = ("sql", f"SELECT {columns}", "-w", tmp_path)
    assert curate(*query, "--json").value == [expected]
    assert curate(*query, "--csv").out.splitlines() == [",".join(f'"{name}"' for name in names), "1,2,3"]
    printed = curate(*query).out.splitlines()
    assert printed[1].split() == names
    assert printed[3].split() == ["1", "2", "3"]
    assert curate(*query, "--parquet", tmp_path / "rows.parquet").code == 0
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == [expected]
