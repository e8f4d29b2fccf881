"""A user's own signal, from a file to a selection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


def test_an_imported_signal_decides(curate: Run, corpus: Path, tmp_path: Path) -> None:
    warehouse = tmp_path / "w"
    scores = tmp_path / "mine.csv"
    scores.write_text("row,quality,length\n" + "".join(f"{row},{(row * 7) % 40},{row}\n" for row in range(1, 39)))
    summary = curate("import-scores", scores, "--corpus", corpus, "-w", warehouse, "--json").value
    assert summary["signals"] == {"length": 38, "quality": 38}
    fixed = ("--corpus", corpus, "-w", warehouse, "--method", "by-signal", "--signal", "quality")
    chosen = curate("select", *fixed, "--budget", "5", "--json").value
    assert chosen["inputs"] == {"corpus": summary["corpus_id"]}
    assert chosen["reasons"] == {"budget": 33, "filtered:no_value": 2, "selected": 5}
    places = {
        row["example_id"]: row["row"]
        for row in Warehouse(warehouse).read("corpus", summary["corpus_id"], "sources").to_pylist()
    }
    ledger = Warehouse(warehouse).read("selection", chosen["selection_id"]).to_pylist()
    assert sorted((places[row["example_id"]] * 7) % 40 for row in ledger if row["kept"]) == [35, 36, 37, 38, 39]
    low = curate("select", *fixed, "--prefer", "low", "--budget", "5", "--json").value
    assert low["selection_id"] != chosen["selection_id"]
    sql = "SELECT signal, count(*) AS n FROM imported_scores GROUP BY signal ORDER BY signal"
    assert curate("sql", sql, "-w", warehouse, "--json").value == [
        {"signal": "length", "n": 38},
        {"signal": "quality", "n": 38},
    ]
    assert "imported: length, quality" in curate("status", "-w", warehouse, "--json").out
    again = curate("import-scores", scores, "-w", warehouse)
    assert (again.code, "quality" in again.out, "0 match no example" in again.out) == (0, True, True)


def test_a_signal_that_was_not_imported(curate: Run, corpus: Path, tmp_path: Path) -> None:
    fixed = ("select", "--corpus", corpus, "-w", tmp_path / "w", "--method", "by-signal")
    assert "--signal NAME" in curate(*fixed).err
    answer = curate(*fixed, "--signal", "quality")
    assert (answer.code, "curate import-scores FILE" in answer.err) == (2, True)
    empty = curate("import-scores", tmp_path / "absent.csv", "-w", tmp_path / "none")
    assert (empty.code, "pass --corpus FILE" in empty.err) == (2, True)
    absent = curate("import-scores", tmp_path / "absent.csv", "--corpus", corpus, "-w", tmp_path / "w")
    assert (absent.code, "there is no file" in absent.err) == (3, True)
