"""Named queries against counts computed by hand."""

from pathlib import Path

import duckdb
import pytest
import warehouses

from curate.schemas.errors import UsageError
from curate.storage.catalog.publish import publish
from curate.storage.catalog.queries import (
    find_query,
    named_queries,
    open_catalog,
    run_named_query,
    run_sql,
)
from curate.storage.warehouse.warehouse import Warehouse

NAMES = {
    "budget_edge", "coverage", "degraded_clusters", "kept_by_source", "lost_to", "overlap", "quarantine_reasons",
    "reasons", "runs", "signal_quantiles", "token_histogram",
}  # fmt: skip


def test_there_are_ten_named_queries_with_descriptions() -> None:
    known = named_queries()
    assert NAMES <= known.keys()
    assert all(about.endswith(".") and "\n" not in about for about in known.values())
    for name in known:
        question = find_query(name)
        assert {one.name for one in question.parameters} == set(duckdb_parameters(question.sql))


def duckdb_parameters(sql: str) -> set[str]:
    return set(duckdb.extract_statements(sql)[0].named_parameters)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_named_query_runs_with_its_defaults_and_on_an_empty_catalog(
    con: duckdb.DuckDBPyConnection, name: str, tmp_path: Path
) -> None:
    assert run_named_query(con, name).num_rows > 0
    warehouse = Warehouse(tmp_path)
    for method in ("uniform", "full"):
        warehouses.make(warehouse, "selection", {"corpus": "gone"}, {"method": method, "budget": "1"}, {})
    publish(warehouse)
    with open_catalog(tmp_path) as empty:
        assert run_named_query(empty, name).num_rows == (name == "overlap")


def test_reasons(con: duckdb.DuckDBPyConnection) -> None:
    assert run_named_query(con, "reasons").to_pylist() == [
        {"reason": "budget", "kept": False, "examples": 53, "share": 53 / 60},
        {"reason": "selected", "kept": True, "examples": 6, "share": 0.1},
        {"reason": "conflict", "kept": False, "examples": 1, "share": 1 / 60},
    ]


def test_degraded_clusters(con: duckdb.DuckDBPyConnection) -> None:
    result = run_named_query(con, "degraded_clusters", {"limit": "2"}).to_pylist()
    assert [(row["cluster"], row["kept"], row["terms"]) for row in result] == [(2, 2, "t2, plus"), (1, 2, "t1, plus")]
    assert run_named_query(con, "degraded_clusters", {"selection": "previous"}).num_rows == 0


def test_the_edge_of_the_budget(con: duckdb.DuckDBPyConnection, ids: dict[str, str]) -> None:
    """Compare with the whole ledger, sorted by hand."""
    for selection in ids["paser"], ids["uniform"]:
        ledger = run_sql(con, f"SELECT * FROM ledger WHERE selection_id = '{selection}'").to_pylist()
        clusters = sorted({row["cluster"] for row in ledger}, key=lambda one: (one is None, one))
        kept = {one: [row for row in ledger if row["cluster"] == one and row["kept"]] for one in clusters}
        expected = []
        for cluster in sorted(clusters, key=lambda one: -len(kept[one]))[:2]:
            last = sorted(kept[cluster], key=lambda row: row["rank"])[-2:]
            others = [row for row in ledger if row["cluster"] == cluster and row["reason"] == "budget"]
            best = sorted(others, key=lambda row: (row["score"] is None, -(row["score"] or 0), row["example_id"]))[:2]
            expected += [row["example_id"] for row in (*last, *best)]
        result = run_named_query(con, "budget_edge", {"selection": selection, "clusters": "2"}).to_pylist()
        assert [row["example_id"] for row in result] == expected


def test_overlap(con: duckdb.DuckDBPyConnection, ids: dict[str, str]) -> None:
    result = run_named_query(con, "overlap").to_pylist()[0]
    assert (result["selection_id"], result["other_id"]) == (ids["paser"], ids["uniform"])
    assert [result[name] for name in ("kept", "other_kept", "both_kept", "jaccard")] == [6, 6, 0, 0.0]
    same = run_named_query(con, "overlap", {"other": ids["paser"][:8]}).to_pylist()[0]
    assert [same[name] for name in ("kept", "other_kept", "both_kept", "jaccard")] == [6, 6, 6, 1.0]


def test_coverage(con: duckdb.DuckDBPyConnection) -> None:
    result = run_named_query(con, "coverage").to_pylist()
    assert [(row["cluster"], row["examples"], row["kept"], row["terms"]) for row in result] == [
        (k, 20, 2, f"t{k}, plus") for k in range(3)
    ]


def test_kept_by_source(con: duckdb.DuckDBPyConnection) -> None:
    """Example 0, which uniform keeps, also stands in the source a second time, without a licence."""
    result = run_named_query(con, "kept_by_source", {"selection": "previous"}).to_pylist()
    assert [(row["source"], row["licence"], row["examples"], row["kept"]) for row in result] == [
        ("a.jsonl", "MIT", 60, 6),
        ("a.jsonl", None, 1, 1),
    ]


def test_lost_to(con: duckdb.DuckDBPyConnection) -> None:
    prompt = warehouses.example(59)["prompt"]
    expected = {"example_id": warehouses.IDS[-1], "lost": 1, "reasons": ["conflict"], "prompt": prompt}
    assert run_named_query(con, "lost_to").to_pylist() == [expected]


def test_quarantine_reasons(con: duckdb.DuckDBPyConnection, ids: dict[str, str]) -> None:
    assert run_named_query(con, "quarantine_reasons").to_pylist() == [
        {
            "corpus_id": ids["corpus"],
            "source": "a.jsonl",
            "reason": "not valid JSON",
            "quarantined": 3,
            "first_row": 500,
        }
    ]


def test_token_histogram(con: duckdb.DuckDBPyConnection) -> None:
    """Example i has 7 + i tokens; the last six are kept."""
    result = [tuple(row.values())[:4] for row in run_named_query(con, "token_histogram").to_pylist()]
    assert result == [(4, 7, 1, 0), (8, 15, 8, 0), (16, 31, 16, 0), (32, 63, 32, 3), (64, 127, 3, 3)]


def test_signal_quantiles(con: duckdb.DuckDBPyConnection) -> None:
    result = {(row["signal"], row["kept"]): row for row in run_named_query(con, "signal_quantiles").to_pylist()}
    assert result["cds", True]["median"] == pytest.approx(0.565)
    assert (result["cds", True]["examples"], result["cds", False]["examples"]) == (6, 54)
    assert result["cds", False]["q25"] == pytest.approx(0.1325)
    assert ("ifd", True) not in result


def test_runs(con: duckdb.DuckDBPyConnection) -> None:
    assert [(row["command"], row["status"]) for row in run_named_query(con, "runs").to_pylist()] == [
        ("select", "finished")
    ]


def test_unknown_queries_and_parameters_are_usage_errors(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(UsageError, match="there is no named query 'reason', did you mean 'reasons'"):
        find_query("reason")
    with pytest.raises(UsageError, match="query 'runs' has no parameter 'limits', did you mean 'limit'"):
        run_named_query(con, "runs", {"limits": "3"})
    with pytest.raises(UsageError, match="has no parameter 'x'; it has none"):
        run_named_query(con, "quarantine_reasons", {"x": "3"})
    with pytest.raises(UsageError, match="parameter limit is 'many', which is not a whole number"):
        run_named_query(con, "runs", {"limit": "many"})
