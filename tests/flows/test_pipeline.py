"""The main job through the command line, with real models and a real encoder on a small corpus."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from corpora import write_corpus

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One warehouse for the file: what the first test makes, the others find cached."""
    return tmp_path_factory.mktemp("warehouse")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("pool") / "pool.jsonl", rows=60)


@pytest.fixture
def here(curate: Run) -> Run:
    return curate


@pytest.fixture
def select(curate: Run, pool: Path, tiny: tuple[Path, Path], warehouse: Path) -> Run:
    """Return `curate select --json` on the pool and the tiny pair."""
    fixed = ["--corpus", pool, "--original", tiny[0], "--compressed", tiny[1], "--warehouse", warehouse, "--json"]

    def run(*arguments: object) -> Any:
        answer = curate("select", "--method", "paser", *fixed, *arguments)
        assert answer.code == 0, answer.err
        return answer.value

    return run


def ledger(warehouse: Path, selection: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Warehouse(warehouse).read("selection", selection).to_pylist()
    return rows


@pytest.mark.parametrize(
    ("method", "noun_counts"),
    [("paser", (1, 1, 1)), ("donod", (0, 0, 1)), ("anchored", (1, 1, 1)), ("uniform", (0, 0, 0)),
     ("longest", (0, 0, 0)), ("high-nll", (0, 0, 1)), ("k-center", (1, 0, 0)),
     ("length-matched", (0, 0, 0)), ("full", (0, 0, 0))],
)  # fmt: skip
def test_every_method_keeps_its_budget_and_explains_every_row(
    select: Run, warehouse: Path, method: str, noun_counts: tuple[int, int, int]
) -> None:
    summary = select("--method", method, "--budget", "25%")
    rows = ledger(warehouse, summary["selection_id"])
    assert len(rows) == summary["n_examples"] == 60
    wanted = 60 if method == "full" else 15
    assert sum(row["kept"] for row in rows) == summary["n_kept"] == wanted
    assert sorted(row["rank"] for row in rows if row["kept"]) == list(range(1, wanted + 1))
    assert {row["reason"] for row in rows if row["kept"]} == {"selected"}
    assert all(row["reason"] for row in rows)
    kept = {row["example_id"] for row in rows if row["kept"]}
    assert all(row["related_id"] in kept for row in rows if row["reason"] == "conflict")
    assert tuple(int(noun in summary["inputs"]) for noun in ("embeddings", "clusters", "scores")) == noun_counts
    assert ("tokens" in summary["inputs"]) == (method in ("longest", "length-matched"))


def test_another_budget_runs_the_selection_only(select: Run, warehouse: Path, curate: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in warehouse.glob("*/*/*.parquet")}
    first = select("--budget", "0.1")
    second = select("--budget", "0.2")
    assert (first["n_kept"], second["n_kept"]) == (6, 12)
    assert first["inputs"] == second["inputs"]
    for path, modified in before.items():
        assert path.stat().st_mtime_ns == modified
    assert select("--budget", "0.1")["selection_id"] == first["selection_id"]


def test_the_seed_decides_a_draw_and_nothing_else(select: Run, warehouse: Path) -> None:
    draws = [select("--method", "uniform", "--budget", "12", "--seed", seed) for seed in (1, 1, 2)]
    kept = [{row["example_id"] for row in ledger(warehouse, draw["selection_id"]) if row["kept"]} for draw in draws]
    assert kept[0] == kept[1] != kept[2]


def test_token_budgets_are_never_exceeded(select: Run) -> None:
    summary = select("--method", "uniform", "--budget", "100-tokens")
    assert 60 < summary["n_tokens_kept"] <= 100


def test_pinned_and_excluded_rows(select: Run, warehouse: Path, tmp_path: Path) -> None:
    rows = ledger(warehouse, select("--budget", "0.1")["selection_id"])
    left, kept = (next(row["example_id"] for row in rows if row["kept"] is flag) for flag in (False, True))
    names = tmp_path / "ids.txt"
    names.write_text(kept + "\n")
    summary = select("--budget", "0.1", "--pin", left, "--exclude", f"@{names}")
    after = {row["example_id"]: row for row in ledger(warehouse, summary["selection_id"])}
    assert after[left]["kept"]
    assert (after[kept]["kept"], after[kept]["reason"]) == (False, "excluded")
    assert summary["n_kept"] == 6


def test_a_forgotten_row_is_never_kept_again(select: Run, warehouse: Path, curate: Run, tmp_path: Path) -> None:
    copied = tmp_path / "w"
    first = select("--budget", "0.1")
    shutil.copytree(warehouse, copied)
    assert curate("catalog", "rebuild", "-w", copied).code == 0
    kept = [row["example_id"] for row in ledger(copied, first["selection_id"]) if row["kept"]]
    summary = curate("forget", kept[0][:12], "-w", copied, "--json").value
    assert (summary["example_id"], summary["already"]) == (kept[0], False)
    assert first["selection_id"] in {one["selection_id"] for one in summary["selections"]}
    assert curate("forget", kept[0], "-w", copied, "--json").value["already"]
    again = select("--budget", "0.1", "--warehouse", copied)
    after = {row["example_id"]: row for row in ledger(copied, again["selection_id"])}
    assert again["selection_id"] != first["selection_id"]
    assert (after[kept[0]]["kept"], after[kept[0]]["reason"], again["n_kept"]) == (False, "forgotten", 6)
    rows = ledger(copied, first["selection_id"])
    assert [row["example_id"] for row in rows if row["kept"]] == kept


def test_a_forgotten_row_cannot_be_pinned(curate: Run, corpus: Path, tmp_path: Path) -> None:
    fixed = ("--method", "uniform", "--corpus", corpus, "--warehouse", tmp_path / "w")
    row = ledger(tmp_path / "w", curate("select", *fixed, "--json").value["selection_id"])[0]["example_id"]
    curate("forget", row, "-w", tmp_path / "w")
    answer = curate("select", *fixed, "--pin", row)
    assert (answer.code, "was forgotten" in answer.err) == (2, True)
    (tmp_path / "w" / "forgotten.json").write_text("{")
    answer = curate("select", *fixed, "--budget", "5")
    assert (answer.code, "lists the rows that must not be used" in answer.err) == (1, True)


def test_questions_agree_with_the_summary(select: Run, curate: Run, warehouse: Path) -> None:
    summary = select("--budget", "0.2")
    where = ("--warehouse", warehouse, "--json")
    sql = f"SELECT reason, count(*) AS n FROM ledger WHERE selection_id = '{summary['selection_id']}' GROUP BY reason"
    assert {row["reason"]: row["n"] for row in curate("sql", sql, *where).value} == summary["reasons"]
    worst = curate(
        "sql", "--named", "degraded_clusters", "--with", f"selection={summary['selection_id']}", *where
    ).value
    assert [row["cluster"] for row in worst] == [row["cluster"] for row in summary["clusters"]][:10]
    found = curate("status", *where).value
    assert summary["selection_id"] in {one["id"] for one in found["artefacts"]}
    assert {run["status"] for run in found["runs"]} == {"finished"}
    kept = next(row for row in ledger(warehouse, summary["selection_id"]) if row["kept"])
    why = curate("explain", kept["example_id"], "--selection", summary["selection_id"], *where).value
    assert why["selections"][0]["reason"] == "selected"
    assert why["selections"][0]["rank"] == kept["rank"]
    assert why["sources"][0]["source"] == "pool.jsonl"


def test_two_selections_compared(select: Run, curate: Run, warehouse: Path) -> None:
    one, other = select("--budget", "0.2"), select("--budget", "0.2", "--method", "donod")
    summary = curate("compare", one["selection_id"], other["selection_id"], "--warehouse", warehouse, "--json").value
    sides = [{r["example_id"] for r in ledger(warehouse, each["selection_id"]) if r["kept"]} for each in (one, other)]
    assert summary["kept_both"] == len(sides[0] & sides[1])
    assert summary["jaccard"] == pytest.approx(len(sides[0] & sides[1]) / len(sides[0] | sides[1]))


def test_a_plan_runs_nothing(curate: Run, pool: Path, tiny: tuple[Path, Path], tmp_path: Path, warehouse: Path) -> None:
    models = ("--original", tiny[0], "--compressed", tiny[1])
    fixed = ("--method", "paser", "--corpus", pool, *models, "--json", "--warehouse")
    fresh = curate("plan", *fixed, tmp_path / "fresh").value
    assert [step["stage"] for step in fresh] == ["ingest", "embed", "cluster", "score", "select"]
    assert {step["state"] for step in fresh} == {"to do"}
    assert not list((tmp_path / "fresh").glob("corpus/*"))
    curate("select", *fixed, warehouse)
    cached = curate("select", "--dry-run", *fixed, warehouse).value
    assert {step["state"] for step in cached} == {"cached"}


def test_a_single_model_gives_the_donod_signals_alone(curate: Run, pool: Path, tiny: tuple[Path, Path]) -> None:
    answer = curate("select", "--method", "donod", "--corpus", pool, "--compressed", tiny[1], "--json")
    assert answer.code == 0, answer.err
    nulls = "SELECT count(cds) AS cds, count(nll_original) AS original, count(don) AS don FROM scores"
    assert curate("sql", nulls, "--json").value == [{"cds": 0, "original": 0, "don": 60}]


def test_settings_come_from_flags_then_the_environment_then_the_file(
    curate: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("curate.toml", "w") as file:
        file.write(f'corpus = [{json.dumps(str(corpus))}]\n[select]\nmethod = "uniform"\nbudget = "10"\n')
    assert curate("run", "--json").value["n_kept"] == 10
    monkeypatch.setenv("CURATE_SELECT__BUDGET", "12")
    assert curate("select", "--json").value["n_kept"] == 12
    assert curate("select", "--budget", "14", "--json").value["n_kept"] == 14


def test_a_run_that_fails_says_so_in_its_record(curate: Run, corpus: Path, tmp_path: Path) -> None:
    warehouse = tmp_path / "w"
    assert curate("select", "--method", "uniform", "--corpus", corpus, "--budget", "99", "-w", warehouse).code == 2
    runs = curate("status", "-w", warehouse, "--json").value["runs"]
    assert (runs[0]["status"], "larger than the corpus" in runs[0]["error"]) == ("failed", True)


def test_init_writes_settings_once(curate: Run) -> None:
    assert curate("init").code == 0
    assert os.path.exists("curate.toml")
    assert curate("init").code == 2


def test_a_pair_made_by_compress(curate: Run, pool: Path, tiny: tuple[Path, Path], tmp_path: Path) -> None:
    for method, amount in (("magnitude", "0.5"), ("magnitude", "2:4"), ("wanda", "0.5"), ("blocks", "1")):
        out = tmp_path / f"{method}-{amount.replace(':', '-')}"
        answer = curate("compress", tiny[0], "--method", method, "-s", amount, "-o", out, "--corpus", pool, "--json")
        assert answer.code == 0, answer.err
        if method != "blocks":
            assert answer.value["sparsity"] == pytest.approx(0.5, abs=1e-3)
        scored = curate("score", "--corpus", pool, "--original", tiny[0], "--compressed", out, "--json")
        assert scored.code == 0, scored.err
        assert scored.value["facts"]["statuses"] == {"ok": 60}
        record = json.loads((out / "compression.json").read_text())
        # The same digest of the original as in the manifest of the scores.
        assert record["digests"]["model"] == Warehouse(Path("warehouse")).list("scores")[0].inputs["original"]
    assert curate("compress", tiny[0], "--method", "magnitude", "-s", "0.5", "-o", tmp_path / "magnitude-0.5").code == 2
    assert curate("compress", tiny[0], "-s", "half", "-o", tmp_path / "new").code == 2
    answer = curate("compress", tiny[0], "-s", "0.5", "-o", tmp_path / "new")
    assert answer.code == 2
    assert "--method wanda calibrates on data; pass --corpus FILE, or use --method magnitude" in answer.err


def test_one_row_and_the_whole_corpus_are_two_selections(select: Run) -> None:
    one, everything = (select("--method", "longest", "--budget", budget) for budget in ("1", "1.0"))
    assert one["selection_id"] != everything["selection_id"]
    assert (one["n_kept"], everything["n_kept"]) == (1, everything["n_examples"])


def test_a_budget_that_keeps_nothing_is_refused(
    curate: Run, pool: Path, tiny: tuple[Path, Path], warehouse: Path
) -> None:
    words = ["--corpus", pool, "--compressed", tiny[1], "--warehouse", warehouse, "--method", "longest"]
    answer = curate("select", *words, "--budget", "2-tokens")
    assert answer.code == 3
    assert "budget 2-tokens keeps no row: the shortest that may be kept has" in answer.err
    assert "give at least" in answer.err
