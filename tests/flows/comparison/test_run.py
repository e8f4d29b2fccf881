"""``curate compare`` without selections: methods × budgets × seeds, trained and evaluated for real on tiny models."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import attempts
import pytest
from corpora import write_corpus

from curate.engines.recover import recover
from curate.flows import demo
from curate.flows.cli import render
from curate.flows.comparison.recipes import training_words
from curate.schemas.corpus import Turn
from curate.schemas.recovery import RecoveryRequest
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

ARMS = ["donod", "length-matched", "uniform", "full"]


@pytest.fixture(scope="module")
def taught(tiny: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny model that has learnt when an answer ends: there is something to retain."""
    folder = tmp_path_factory.mktemp("taught")
    pool = [json.loads(line) for line in write_corpus(folder / "pool.jsonl", rows=60).read_text().splitlines()]
    rows = [(Turn("user", row["instruction"]), Turn("assistant", row["output"])) for row in pool]
    recover(tiny[0], rows, folder / "model", RecoveryRequest(method="full", learning_rate=1e-2, epochs=6, batch=8))
    return folder / "model"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the file: cells that the first test makes, the others find done."""
    return tmp_path_factory.mktemp("trial")


@pytest.fixture(scope="module")
def given(taught: Path, tiny: tuple[Path, Path], root: Path) -> list[str]:
    """Return the arguments of a small trial; the first row of the pool is asked, too."""
    pool = write_corpus(root / "pool.jsonl", rows=60)
    held = write_corpus(root / "held.jsonl", rows=30, seed=7)
    held.write_text(held.read_text() + pool.read_text().splitlines()[0] + "\n")
    fixed = ["--corpus", pool, "--original", taught, "--compressed", tiny[1], "--warehouse", root / "w"]
    how = ["--methods", "donod", "--budgets", "25%", "--seeds", "2", "--tasks", held, "--metric", "token_accuracy"]
    return [str(word) for word in (*fixed, *how, "--learning-rate", "1e-3", "--batch", "4", "--threads", "1")]


def test_a_trial_from_beginning_to_verdict(curate: Run, given: list[str], root: Path) -> None:
    before = curate("compare", "--plan", *given, "--json").value
    assert (before["cells"], before["done"]) == (8, 0)
    one = curate("compare", *given, "--seeds", "1", "--json")
    assert one.code == 0, one.err
    half = curate("compare", "--plan", *given, "--json").value
    assert (half["cells"], half["done"]) == (8, 4)
    assert "at the pace of the cells that are done" in half["estimate"]
    parts = attempts.parts(root / "w")
    answer = curate("compare", *given, "--json")
    assert answer.code == 0, answer.err
    summary = answer.value
    assert [line["method"] for line in summary["lines"]] == ARMS
    assert summary["primary"] == "donod against uniform at 25%"
    assert summary["training"] == "lora, divergence from the original's predictions (KL)"
    assert [line["word"] == "baseline" for line in summary["lines"]] == [False, False, True, False]
    assert all(line["seeds"] == 2 and line["sentence"] for line in summary["lines"])
    assert all(
        set(line["retention"]) == set(summary["retention_compressed"]) == {"rows:held"} for line in summary["lines"]
    )
    assert all(set(line["harmed"]) <= {"rows:held"} for line in summary["lines"])
    # The row that is asked is trained on by nobody.
    assert summary["n_excluded"] == 1
    warehouse = Warehouse(root / "w")
    assert parts.items() <= attempts.parts(root / "w").items()
    asked = warehouse.read("corpus", warehouse.list("corpus")[0].id, columns=["example_id"])["example_id"][0].as_py()
    for cell in summary["cells"].values():
        ledger = {row["example_id"]: row for row in warehouse.read("selection", cell["selection"]).to_pylist()}
        assert (ledger[asked]["kept"], ledger[asked]["reason"]) == (False, "excluded")
    # Equal training tokens, whatever the rows: within two steps of the same number.
    tokens = [warehouse.manifest("evaluation", cell["evaluation"]).facts["training"]["tokens"]
              for cell in summary["cells"].values()]  # fmt: skip
    assert max(tokens) - min(tokens) <= 2 * 4 * 30
    assert len({cell["evaluation"] for cell in summary["cells"].values()}) == 8
    assert json.loads((root / "w" / summary["files"][0]).read_text())["lines"] == summary["lines"]
    assert not list((root / "w" / "models").glob("trial-*"))
    after = curate("compare", "--plan", *given, "--json").value
    assert (after["cells"], after["done"], after["estimate"]) == (8, 8, "nothing is left to do")


def test_cells_that_are_done_are_not_run_again(curate: Run, given: list[str], root: Path) -> None:
    first = curate("compare", *given, "--json").value
    parts = attempts.parts(root / "w")
    again = curate("compare", *given, "--json").value
    assert again == first
    assert parts == attempts.parts(root / "w")
    text = curate("compare", *given).out
    assert "primary comparison: donod against uniform at 25%" in text
    assert sum(line.startswith("donod at 25%") for line in text.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--methods", "donid"], 2, "did you mean 'donod'"),
        (["--budgets", "lots"], 2, "not a number"),
        (["--recipes", "ce,lk"], 2, "known: ce, kl"),
        (["--recipes", "ce,kl", "--teacher", "none"], 2, "leave out --teacher"),
        (["--seeds", "0"], 2, "greater than or equal to 1"),
        (["--compressed", "{tiny}", "--corpus", "{corpus}"], 3, "needs the original and the compressed model"),
        (["--compressed", "{tiny}", "--original", "{tiny}", "--corpus", "{corpus}"], 2, "needs evaluation tasks"),
        (["--compressed", "{tiny}"], 2, "without a corpus"),
    ],
)
def test_errors_come_before_anything_is_computed(
    curate: Run, tiny: tuple[Path, Path], corpus: Path, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    words = [word.format(tiny=tiny[0], corpus=corpus) for word in arguments]
    answer = curate("compare", *words, "--warehouse", tmp_path / "w")
    assert answer.code == code, answer.err
    assert said in answer.err
    assert not list((tmp_path / "w").glob("scores/*/manifest.json"))


@pytest.mark.slow
def test_a_killed_trial_goes_on_where_it_was(given: list[str], tmp_path: Path) -> None:
    """Kill the trial over and over after a while; the tables in the end are those of an uninterrupted one."""
    whole = ["compare", *given, "--seeds", "1"]
    place = given.index("--warehouse") + 1
    whole[place + 1] = str(tmp_path / "whole")
    assert attempts.run(whole) == 0
    broken = ["compare", *given, "--seeds", "1"]
    broken[place + 1] = str(tmp_path / "w")
    survived, killed = tmp_path / "survived", 0
    while attempts.run(broken, attempts.Kill(survived)) != 0 and killed < 12:
        killed += 1
    assert killed == 12
    assert attempts.run(broken) == 0

    def content(warehouse: Path) -> dict[str, bytes]:
        return {name: data for name, (_, data) in attempts.parts(warehouse).items() if name.startswith("evaluation")}

    assert content(tmp_path / "w") == content(tmp_path / "whole")
    assert len(content(tmp_path / "whole")) >= 2 * 6


@pytest.mark.slow
def test_two_methods_on_a_piece_of_the_demo(curate: Run, tmp_path: Path) -> None:
    """Two methods × one budget × two seeds: every arm brings the demo's pruned model up, and the noise is reported."""
    pruned = tmp_path / "pruned"
    assert curate("compress", demo.model_path(), "-m", "magnitude", "--sparsity", "0.6", "--out", pruned).code == 0
    pool = tmp_path / "pool.jsonl"
    with gzip.open(demo.pool_path(), "rt") as lines:
        pool.write_text("".join(line for line, _ in zip(lines, range(600), strict=False)))
    pair = ("--original", demo.model_path(), "--compressed", pruned, "--corpus", pool, "--tasks", "demo")
    how = ("--methods", "paser,anchored", "--seeds", "2", "--budgets", "0.2", "--clusters", "8", "--limit", "330")
    answer = curate("compare", *pair, *how, "--learning-rate", "1e-3", "--batch", "8", "-w", tmp_path / "w", "--json")
    assert answer.code == 0, answer.err
    summary = answer.value
    assert len(summary["cells"]) == 2 * 5
    assert summary["left_out"] == ["recall"]
    for line in summary["lines"]:
        assert line["mean"]["value"] > summary["compressed"]["value"] + 0.02
        assert line["worst"]["value"] < line["mean"]["value"]
        assert line["seconds_training"] < 120
    assert all(line["noise"] is None for line in summary["lines"])  # a piece of the pool is not the demo's corpus


@pytest.mark.slow
def test_cells_learn_from_the_original(curate: Run, given: list[str], root: Path) -> None:
    taught_cells = ["--seeds", "1", "--teacher", "original", "--teacher-weight", "0.25", "--reconstruct"]
    answer = curate("compare", *given, *taught_cells, "--json")
    assert answer.code == 0, answer.err
    assert answer.value["training"] == (
        "every layer fitted to the original's output, then lora, "
        "0.75 × cross-entropy + 0.25 × divergence from the original's predictions (KL)"
    )
    # One pass of the original serves every cell with the same rows.
    caches = list((root / "w" / "cache" / "teachers").iterdir())
    assert 0 < len(caches) <= len(answer.value["cells"])


@pytest.mark.slow
def test_two_losses_on_the_same_rows(curate: Run, given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Cells of ``--recipes`` are those that other ways of saying the same have made, and are compared at equal rows."""
    one_seed = [*given, "--seeds", "1"]
    alone = {
        name: curate("compare", *one_seed, *how, "--json").value
        for name, how in (("ce", ["--teacher", "none"]), ("kl", []))
    }
    planned = curate("compare", "--plan", *one_seed, "--recipes", "ce,kl", "--json").value
    assert (planned["cells"], planned["done"]) == (8, 8)
    assert [line["recipe"] for line in planned["arms"][:2]] == ["ce", "kl"]
    answer = curate("compare", *one_seed, "--recipes", "ce,kl", "--json")
    assert answer.code == 0, answer.err
    summary = answer.value
    assert summary["primary"] == "donod against uniform at 25% with ce"
    assert summary["recipes"] == {name: one["training"] for name, one in alone.items()}
    for name, one in alone.items():
        cells = {cell.replace("seed", f"{name}, seed"): ids for cell, ids in one["cells"].items()}
        assert cells.items() <= summary["cells"].items()
        lines = [line for line in summary["lines"] if line["recipe"] == name]
        assert [(line["method"], line["mean"], line["gain"]) for line in lines] == [
            (line["method"], line["mean"], line["gain"]) for line in one["lines"]
        ]
        assert all(("recipe_effect" in line) == (name != "ce") for line in lines)
    assert summary["lines"][1]["recipe_effect"]["against"] == "ce"
    render.comparison(summary, as_json=False)
    text = capsys.readouterr().out
    assert "ce trained by lora, cross-entropy of the answers" in text
    assert "on the rows of donod at 25%" in text


def test_the_training_is_told_in_words() -> None:
    assert training_words(RecoveryRequest(), {"lora"}) == "lora, cross-entropy of the answers"
    taught_alone = training_words(RecoveryRequest(teacher_weight=1.0), {"mask_lora", "lora"})
    assert taught_alone == "lora and mask_lora, divergence from the original's predictions (KL)"
