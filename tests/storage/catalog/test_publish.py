"""The catalog: its tables and its content."""

import json
import logging
from pathlib import Path
from typing import Any

import duckdb
import pytest
import warehouses
from documents import ROOT
from warehouses import described, rows

from curate.schemas.errors import UsageError, WarehouseError
from curate.schemas.scores import SCORES
from curate.storage.catalog.publish import publish
from curate.storage.catalog.queries import open_catalog, run_sql
from curate.storage.catalog.stored_tables import STORED, StoredTable
from curate.storage.catalog.tables_page import tables_markdown
from curate.storage.catalog.views import VIEWS, View
from curate.storage.warehouse.warehouse import Warehouse

PROMISED = {
    "allocation", "cluster_curve", "cluster_summary", "cluster_terms", "clusters", "concepts", "diagnoses",
    "embeddings", "evaluation_items", "evaluation_summary", "evaluations", "examples", "imported_scores", "ledger",
    "ledger_summary", "lineage", "pilot_curves", "pilots", "quarantine", "recoveries", "recovery_steps", "runs",
    "scores", "selections", "sources", "targets", "targets_summary", "token_counts",
}  # fmt: skip


def promised() -> dict[str, list[tuple[str, str]]]:
    def spelt(kind: str) -> str:
        return str(duckdb.sql(f"SELECT NULL::{kind} AS x").types[0])

    tables = [(view.name, view.columns) for view in VIEWS] + [(table.name, table.columns) for table in STORED]
    return {name: [(one.name, spelt(one.type)) for one in columns] for name, columns in tables}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("filled") / "w"
    warehouse = Warehouse(root)
    ids = warehouses.fill(warehouse)
    with warehouse.start_run("select", {"seed": 0}) as run:
        run.add("selection", ids["paser"])
    publish(warehouse)
    return root, ids


def test_an_empty_warehouse_has_every_table_typed(tmp_path: Path) -> None:
    publish(Warehouse(tmp_path))
    assert described(tmp_path) == promised()
    assert set(promised()) == PROMISED
    assert all(rows(tmp_path, f"SELECT count(*) FROM {name}") == [(0,)] for name in PROMISED)


def test_a_filled_warehouse_has_the_same_tables(filled: tuple[Path, dict[str, str]]) -> None:
    assert described(filled[0]) == promised()


def test_every_table_and_column_describes_itself_to_any_client(filled: tuple[Path, dict[str, str]]) -> None:
    with duckdb.connect(str(filled[0] / "catalog.duckdb"), read_only=True) as con:
        tables = con.execute(
            "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'"
        ).fetchall()
        columns = con.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal AND schema_name = 'main'"
        ).fetchall()
    every: tuple[View | StoredTable, ...] = (*VIEWS, *STORED)
    promised_tables = {one.name: one for one in every}
    assert dict(tables) == {name: one.about for name, one in promised_tables.items()}
    about = {(name, column.name): column.about for name, one in promised_tables.items() for column in one.columns}
    assert {(table, column): comment for table, column, comment in columns} == about


def test_the_page_matches_the_catalog() -> None:
    page = ROOT / "docs" / "tables.md"
    text = tables_markdown()
    assert page.read_text() == text, "run `python -m curate.storage.catalog.tables_page > docs/tables.md`"
    assert all(f"## {name}\n" in text for name in PROMISED)


def test_every_row_is_in_its_view(filled: tuple[Path, dict[str, str]]) -> None:
    root, ids = filled
    n, k = warehouses.ROWS, warehouses.CLUSTERS_MADE
    counts = {
        "examples": n, "sources": n + 1, "quarantine": 3, "embeddings": n, "clusters": n, "cluster_terms": k,
        "cluster_curve": 3, "concepts": n, "scores": n, "ledger": 2 * n, "allocation": k, "cluster_summary": k,
        "selections": 2, "recoveries": 1, "recovery_steps": 4, "evaluations": 0, "runs": 1,
    }  # fmt: skip
    assert {name: rows(root, f"SELECT count(*) FROM {name}")[0][0] for name in counts} == counts
    assert rows(root, "SELECT DISTINCT corpus_id FROM examples") == [(ids["corpus"],)]
    assert rows(root, "SELECT DISTINCT selection_id FROM ledger WHERE kept ORDER BY ALL") == sorted(
        [(ids["paser"],), (ids["uniform"],)]
    )


def test_a_recovery_has_its_steps_and_inputs(filled: tuple[Path, dict[str, str]]) -> None:
    root, ids = filled
    columns = "recovery_id, method, selection_id, merged, steps, sparsity_after, perplexity_before, perplexity_after"
    assert rows(root, f"SELECT {columns} FROM recoveries") == [
        (ids["recovery"], "mask_lora", ids["paser"], True, 4, 0.5, 3.5, None)  # infinite in the manifest
    ]
    assert rows(root, "SELECT recovery_id, sum(tokens) FROM recovery_steps GROUP BY ALL") == [(ids["recovery"], 400)]
    assert rows(root, "SELECT role, input_id FROM lineage WHERE noun = 'recovery' ORDER BY ALL") == [
        ("compressed", "2" * 16), ("selection", ids["paser"]),
    ]  # fmt: skip


def test_stored_tables_match_the_manifests(filled: tuple[Path, dict[str, str]]) -> None:
    root, ids = filled
    assert rows(
        root,
        "SELECT selection_id, method, budget, corpus_id, clusters_id, scores_id, n_examples, n_kept, n_tokens_kept, "
        "warnings, settings->>'method' FROM selections ORDER BY created",
    ) == [
        (ids["uniform"], "uniform", "6", ids["corpus"], None, None, 60, 6, 54, ["small corpus"], "uniform"),
        (
            ids["paser"],
            "paser",
            "6",
            ids["corpus"],
            ids["clusters"],
            ids["scores"],
            60,
            6,
            54,
            ["small corpus"],
            "paser",
        ),
    ]
    assert rows(root, "SELECT * FROM cluster_summary ORDER BY cluster LIMIT 1") == [
        (ids["paser"], ids["clusters"], 0, 20, ["t0", "plus"], 20, 0.1, 2.0, 2, 0, 0, None, None, None)
    ]
    assert rows(root, f"SELECT role, input_id FROM lineage WHERE artefact_id = '{ids['clusters']}'") == [
        ("corpus", ids["corpus"]), ("embeddings", ids["embeddings"]),
    ]  # fmt: skip
    assert rows(root, "SELECT command, status, artefacts, settings->>'seed', seconds >= 0 FROM runs") == [
        ("select", "finished", [f"selection/{ids['paser']}"], "0", True)
    ]


def test_an_example_lists_its_sources(filled: tuple[Path, dict[str, str]]) -> None:
    first, second = (
        {"source": "a.jsonl", "row": row, "licence": licence} for row, licence in ((1, "MIT"), (1000, None))
    )
    result = rows(filled[0], f"SELECT sources FROM examples WHERE example_id = '{warehouses.IDS[0]}'")
    assert result == [([first, second],)]
    assert rows(filled[0], "SELECT count(*) FROM examples WHERE len(sources) = 1") == [(warehouses.ROWS - 1,)]


def test_embeddings_of_two_widths_are_one_view(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    corpus = warehouses.corpus(warehouse)
    warehouses.embeddings(warehouse, corpus, 4)
    warehouses.embeddings(warehouse, corpus, 7)
    publish(warehouse)
    assert rows(tmp_path, "SELECT len(embedding), count(*) FROM embeddings GROUP BY 1 ORDER BY 1") == [(4, 60), (7, 60)]


def test_a_plain_duckdb_client_can_read_it(filled: tuple[Path, dict[str, str]]) -> None:
    with duckdb.connect(str(filled[0] / "catalog.duckdb"), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM examples").fetchall() == [(60,)]
        assert con.execute("SELECT count(*) FROM cluster_summary").fetchall() == [(3,)]


@pytest.mark.parametrize(
    "name", ["it's", 'a "b"', "back\\slash", "sp ace", "ü漢🙂", "b[1]*", "a\nb", "row=7", "$x#%41:y"]
)
def test_a_warehouse_of_any_name(tmp_path: Path, name: str) -> None:
    warehouse = Warehouse(tmp_path / name / "w")
    ids = warehouses.fill(warehouse)
    publish(warehouse)
    assert rows(warehouse.root, 'SELECT max("row") FROM sources') == [(1000,)]
    assert rows(warehouse.root, "SELECT DISTINCT scores_id FROM scores") == [(ids["scores"],)]


@pytest.mark.parametrize("name", ["what?", "\udcff"])
def test_a_warehouse_name_that_duckdb_cannot_open_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="DuckDB cannot work in the folder"):
        Warehouse(tmp_path / name)


def test_unfinished_artefacts_are_not_published(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    ids = warehouses.fill(warehouse)
    (warehouse.folder("scores", ids["scores"]) / "manifest.json").unlink()
    (tmp_path / "selection" / "junk").mkdir()
    publish(warehouse)
    assert rows(tmp_path, "SELECT count(*) FROM scores") == [(0,)]
    assert described(tmp_path) == promised()


def test_damaged_artefacts_are_logged_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    warehouse = Warehouse(tmp_path)
    ids = warehouses.fill(warehouse)
    manifest = warehouse.folder("selection", ids["uniform"]) / "manifest.json"
    manifest.write_text("{")
    part = warehouse.folder("scores", ids["scores"]) / "part-00000.parquet"
    part.unlink()
    (warehouse.folder("clusters", ids["clusters"]) / "part-00001.parquet").unlink()
    allocation = warehouse.folder("selection", ids["paser"]) / "allocation-00000.parquet"
    allocation.write_bytes(b"PAR1")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "20990101T000000000000-beef.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        publish(warehouse)
    for name in (
        str(manifest),
        f"scores {ids['scores']} is left out of scores",
        "is left out of clusters:",
        "left out of cluster_summary",
        "beef",
    ):
        assert name in caplog.text
    assert rows(tmp_path, "SELECT selection_id FROM selections") == [(ids["paser"],)]
    assert rows(tmp_path, "SELECT count(*) FROM ledger") == [(60,)]
    assert rows(tmp_path, "SELECT count(*) FROM scores") == [(0,)]


def test_facts_of_wrong_types_become_null(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    facts: dict[str, Any] = {"n_kept": "many", "n_examples": float("nan"), "warnings": "no list", "x": float("inf")}
    warehouses.make(warehouse, "selection", {}, {"method": "m\ud800", "budget": 3}, {}, **facts, text="a\0b \udcff")
    with pytest.raises(ValueError, match="halt"), warehouse.start_run("select \udcff", {"path": "\udcff"}):
        raise ValueError("halt \udcff")
    publish(warehouse)
    result = rows(tmp_path, "SELECT method, budget, n_kept, n_examples, warnings, facts FROM selections")
    assert result[0][:5] == ("m?", "3", None, None, [])
    assert json.loads(result[0][5])["x"] is None
    assert rows(tmp_path, "SELECT command, status, error FROM runs") == [("select ?", "failed", "halt ?")]


def test_a_column_that_an_older_artefact_lacks_is_null(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    corpus = warehouses.corpus(warehouse)
    older = SCORES.remove(SCORES.get_field_index("ifd"))
    row = {"example_id": "x", "status": "ok", "n_prompt_tokens": 1, "n_response_tokens": 1, "truncated": False}
    warehouses.make(warehouse, "scores", {"corpus": "old"}, {}, {"part": ([{**row, "cds": 0.5}], older)})
    warehouses.scores(warehouse, corpus)
    publish(warehouse)
    assert described(tmp_path) == promised()
    assert rows(tmp_path, "SELECT cds, ifd FROM scores WHERE example_id = 'x'") == [(0.5, None)]


def test_publishing_opens_one_part_per_table(tmp_path: Path) -> None:
    """O(artefacts): what is in every part but the first does not matter."""
    warehouse = Warehouse(tmp_path)
    corpus = warehouses.corpus(warehouse)
    for path in warehouse.folder("corpus", corpus).glob("*-00001.parquet"):
        path.write_bytes(b"no Parquet")
    publish(warehouse)
    with open_catalog(tmp_path) as con, pytest.raises(WarehouseError, match="-00001.parquet.*curate doctor"):
        run_sql(con, "SELECT sum(len(prompt)) FROM examples")


def test_one_process_sees_each_new_catalog_while_an_old_session_is_open(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    corpus = warehouses.corpus(warehouse)
    publish(warehouse)
    with open_catalog(tmp_path) as old:
        for count in range(1, 4):
            warehouses.selection(warehouse, {"corpus": corpus}, f"method {count}")
            publish(warehouse)
            assert rows(tmp_path, "SELECT count(*) FROM selections") == [(count,)]
            assert old.execute("SELECT count(*) FROM selections").fetchall() == [(0,)]
