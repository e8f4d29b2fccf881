"""``--allocation recoverability``: pilots trained for real on tiny models, from the command line to the ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attempts
import numpy as np
import pytest
from corpora import write_corpus

from curate.engines.recover import recover
from curate.schemas.corpus import Turn
from curate.schemas.recovery import RecoveryRequest
from curate.selectors.budgets.gain_curves import PilotLosses, cluster_curve
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

ROWS = 120


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all tests of the file: later tests reuse the artefacts of the first."""
    return tmp_path_factory.mktemp("pilots")


@pytest.fixture(scope="module")
def given(tiny: tuple[Path, Path], root: Path) -> list[str]:
    """Return the arguments of a selection: large enough clusters, and a compressed model that has much to learn."""
    pool = write_corpus(root / "pool.jsonl", rows=ROWS)
    rows = [json.loads(line) for line in pool.read_text().splitlines()]
    turns = [(Turn("user", row["instruction"]), Turn("assistant", row["output"])) for row in rows]
    recover(tiny[0], turns, root / "taught", RecoveryRequest(method="full", learning_rate=1e-2, epochs=4, batch=8))
    pair = ["--corpus", pool, "--original", root / "taught", "--compressed", tiny[1], "--clusters", "2"]
    return [str(word) for word in (*pair, "--threads", "1", "--json")]


@pytest.fixture(autouse=True)
def _learning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate at which a model of two small layers learns something from a dozen rows."""
    monkeypatch.setenv("CURATE_RECOVER__LEARNING_RATE", "1e-2")


def test_a_budget_by_recoverability_from_pilots_to_ledger(curate: Run, given: list[str], root: Path) -> None:
    how = [*given, "-w", root / "w", "--method", "paser", "--allocation", "recoverability"]
    before = {step["stage"]: step for step in curate("plan", *how).value}
    assert before["pilot"]["state"] == "to do"
    answer = curate("select", *how, "--budget", "20")
    assert answer.code == 0, answer.err
    warehouse = Warehouse(root / "w")
    (pilots,) = warehouse.list("pilots")
    assert answer.value["inputs"]["pilots"] == pilots.id
    trainings = warehouse.read("pilots", pilots.id).to_pylist()
    curves = {row["cluster"]: row for row in warehouse.read("pilots", pilots.id, "curves").to_pylist()}
    assert pilots.facts["n_pilots"] == len(trainings) == 3 * sum(not one["pooled"] for one in curves.values())
    assert pilots.facts["rows_trained"] == sum(row["rows"] for row in trainings)
    assert sum(one["usable"] for one in curves.values()) == ROWS
    assert all(row["loss_after"] < row["loss_before"] for row in trainings if row["rows"] >= 15)
    # The curves are those of the losses that are kept, and what is printed is what decided.
    table = warehouse.read("pilots", pilots.id, "losses").to_pandas()
    assert not table.duplicated(["rows", "example_id"]).any()
    for number, rows in table.groupby("cluster"):
        sizes, m = sorted(rows["rows"].unique()), rows["example_id"].nunique()
        n_tokens, first, after = (rows[name].to_numpy().reshape(-1, m) for name in ("n_tokens", "before", "after"))
        curve = cluster_curve(PilotLosses(np.array(sizes), n_tokens[0], first[0], after), 0)
        assert curve.ceiling == tuple(curves[number][f"ceiling{end}"] for end in ("", "_low", "_high"))
        assert curve.tau == tuple(curves[number][f"tau{end}"] for end in ("", "_low", "_high"))
    for row in answer.value["clusters"]:
        assert {name: row[name] for name in ("ceiling", "tau", "ceiling_low", "tau_high")} == {
            name: curves[row["cluster"]][name] for name in ("ceiling", "tau", "ceiling_low", "tau_high")
        }
        assert row["kept"] == row["budget"]
    assert sum(row["budget"] for row in answer.value["clusters"]) == 20
    kept = next(
        row["example_id"]
        for row in warehouse.read("selection", answer.value["selection_id"]).to_pylist()
        if row["kept"]
    )
    chosen = curate("explain", kept, "-w", root / "w", "--json").value["selections"]
    assert [(one["kept"], one["reason"]) for one in chosen] == [(True, "selected")]
    after = {step["stage"]: step["state"] for step in curate("plan", *how, "--budget", "20").value}
    assert {after.pop(later) for later in ("sample", "recover")} == {"after select"}
    assert set(after.values()) == {"cached"}


def test_another_budget_and_another_method_take_the_same_pilots(curate: Run, given: list[str], root: Path) -> None:
    how = [*given, "-w", root / "w", "--method", "paser", "--allocation", "recoverability"]
    first = curate("select", *how, "--budget", "20")
    assert first.code == 0, first.err
    pilots = [one.id for one in Warehouse(root / "w").list("pilots")]
    for more in (["--budget", "300-tokens"], ["--method", "donod", "--stratify", "clusters"], ["--rank", "random"]):
        answer = curate("select", *how, *more)
        assert answer.code == 0, answer.err
        assert answer.value["inputs"]["pilots"] == pilots[0]
    assert [one.id for one in Warehouse(root / "w").list("pilots")] == pilots
    text = curate("select", *[word for word in how if word != "--json"], "--budget", "20").out
    assert "gain of n rows: ceiling" in text
    # Other rows may not be drawn, and another seed draws others.
    assert curate("select", *how, "--exclude", kept_of(first, root)).code == 0
    assert len(Warehouse(root / "w").list("pilots")) == 2


def kept_of(answer: Any, root: Path) -> str:
    ledger = Warehouse(root / "w").read("selection", answer.value["selection_id"]).to_pylist()
    return str(next(row["example_id"] for row in ledger if row["kept"]))


def test_other_allocations_make_no_pilots_and_a_plan_prices_them(
    curate: Run, given: list[str], root: Path, tmp_path: Path
) -> None:
    answer = curate("select", "--method", "paser", *given, "-w", tmp_path / "w")
    assert answer.code == 0, answer.err
    assert "pilots" not in answer.value["inputs"]
    assert Warehouse(tmp_path / "w").list("pilots") == []
    assert all(row["ceiling"] is row["tau"] is None for row in answer.value["clusters"])
    steps = curate("plan", *given, "-w", tmp_path / "w", "--method", "paser", "--allocation", "recoverability").value
    (estimate,) = (step["estimate"] for step in steps if step["stage"] == "pilot")
    pilots = Warehouse(root / "w").list("pilots")[-1].facts
    assert estimate.startswith(f"{pilots['n_pilots']} trainings on {pilots['rows_trained']} rows in all, about ")


@pytest.mark.slow
def test_a_cell_of_a_comparison(curate: Run, given: list[str], root: Path) -> None:
    held = write_corpus(root / "held.jsonl", rows=20, seed=7)
    arms = "paser:allocation=recoverability,paser:allocation=recoverability:rank=random"
    trial = ["--methods", arms, "--seeds", "1", "--budgets", "0.2", "--tasks", held, "--metric", "token_accuracy"]
    how = [*[word for word in given if word not in ("--clusters", "2")], *trial, "--batch", "4", "-w", root / "trial"]
    how = [*how, "--learning-rate", "1e-2"]
    before = curate("compare", "--plan", *how).value
    assert (before["pilots"], before["pilots_done"]) == (1, 0)
    answer = curate("compare", *how)
    assert answer.code == 0, answer.err
    assert {line["method"] for line in answer.value["lines"]} >= set(arms.split(","))
    # Two arms of a seed share the pilots.
    assert len(Warehouse(root / "trial").list("pilots")) == 1
    after = curate("compare", "--plan", *how).value
    assert (after["done"], after["pilots"], after["pilots_done"]) == (after["cells"], 1, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--compressed", "{compressed}"], 2, "pass --compressed FOLDER and --original FOLDER"),
        (["--original", "{original}", "--compressed", "{compressed}", "--clusters", "8"], 3, "36 usable rows"),
        (["--original", "{original}", "--compressed", "{compressed}", "--method", "donod"], 0, ""),
    ],
)
def test_selections_that_cannot_have_pilots(
    curate: Run, tiny: tuple[Path, Path], corpus: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    words = [word.format(original=tiny[0], compressed=tiny[1]) for word in arguments]
    how = [
        "--corpus",
        corpus,
        "--method",
        "paser",
        "--allocation",
        "recoverability",
        "-w",
        tmp_path / "w",
        "--threads",
        "1",
    ]
    answer = curate("select", *how, *words)
    assert answer.code == code, answer.err
    assert message in answer.err
    assert Warehouse(tmp_path / "w").list("pilots") == []


@pytest.mark.slow
def test_killed_pilots_resume_at_the_next_cluster(given: list[str], tmp_path: Path) -> None:
    """Kill the run around every rename of the pilots; the final parts equal those of an uninterrupted run."""
    words = ["select", *given, "--method", "paser", "--allocation", "recoverability", "--budget", "20"]
    assert attempts.run([*words, "-w", str(tmp_path / "whole")]) == 0
    # Kills before the pilots are covered by another test.
    assert attempts.run(["select", "--method", "paser", *given, "--budget", "20", "-w", str(tmp_path / "w")]) == 0
    survived, code, finished = tmp_path / "survived", -9, dict[str, tuple[int, bytes]]()
    while code == -9:
        code = attempts.run([*words, "-w", str(tmp_path / "w")], attempts.Kill(survived))
        now = attempts.parts(tmp_path / "w")
        assert finished.items() <= now.items()
        finished = now
    assert code == 0
    died = survived.read_text()
    assert all(f"{name}-0000{index}.parquet" in died for name in ("losses", "part") for index in (0, 1))

    def content(warehouse: Path) -> dict[str, bytes]:
        return {name: data for name, (_, data) in attempts.parts(warehouse).items() if name.startswith("pilots")}

    assert content(tmp_path / "w") == content(tmp_path / "whole")
    assert len(content(tmp_path / "whole")) == 2 * 2 + 1
