"""The trial on a real model: its cells, the gap closed, and intervals that find a planted gain."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmark_scripts import load_script
from documents import ROOT
from models import save_llama
from transformers import AutoTokenizer

from curate.engines.compress import CompressionRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

NAMES = ("arc-easy", "kl:alpaca52k", "kl:codealpaca", "openbookqa", "wikitext")
ITEMS = 40
SHARES = {"kl:alpaca52k": 0.75, "kl:codealpaca": 0.25}


def values(accuracy: float, divergence: float, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Return answers to `ITEMS` items of every measure; the two sources differ in their size."""
    right = {name: (np.arange(ITEMS) < accuracy * ITEMS).astype(float) for name in NAMES if ":" not in name}
    scale = {"kl:codealpaca": 10.0, "kl:alpaca52k": 1.0}
    return right | {name: divergence * size * rng.uniform(0.9, 1.1, ITEMS) for name, size in scale.items()}


def write(file: Path, answers: dict[str, NDArray[np.float64]], facts: dict[str, Any]) -> None:
    rows = [
        {"measure": name, "item": number, "value": value, "weight": 1}
        for name, column in answers.items()
        for number, value in enumerate(column.tolist())
    ]
    schema = pa.schema(
        [("measure", pa.string()), ("item", pa.int32()), ("value", pa.float32()), ("weight", pa.int32())],
        metadata={"trial": json.dumps(facts)},
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return results of random rows, which close half the divergence, and of a method that closes seven tenths."""
    rng = np.random.default_rng(0)
    write(tmp_path / "original.parquet", values(0.8, 0.0, rng), {"model": "original"})
    write(tmp_path / "compressed.parquet", values(0.4, 1.0, rng), {"model": "compressed"})
    for arm, recipe, accuracy, divergence in (
        ("uniform", "ce", 0.6, 0.5),
        ("uniform", "kl", 0.6, 0.5),
        ("paser", "kl", 0.7, 0.3),
    ):
        for seed in range(3):
            facts = {"arm": arm, "recipe": recipe, "seed": seed, "seconds": 1200.0}
            write(tmp_path / f"{arm}-{recipe}-{seed}.parquet", values(accuracy, divergence, rng), facts)
    return tmp_path


def test_the_gap_closed_is_that_of_its_definition(folder: Path) -> None:
    trial = load_script("real_model.report")
    answers = trial.read_answers(folder)

    tables = {name: pq.read_table(folder / f"{name}.parquet").to_pylist() for name in ("original", "compressed")}
    cells = [pq.read_table(folder / f"paser-kl-{seed}.parquet").to_pylist() for seed in range(3)]

    def mean(rows: list[dict[str, Any]], name: str) -> float:
        return float(np.mean([row["value"] for row in rows if row["measure"] == name]))

    for measure, sources in (("arc-easy", ("arc-easy",)), ("kl", ("kl:codealpaca", "kl:alpaca52k"))):
        expected = np.mean([
            (np.mean([mean(cell, one) for cell in cells]) - mean(tables["compressed"], one))
            / (mean(tables["original"], one) - mean(tables["compressed"], one))
            for one in sources
        ])  # fmt: skip
        assert trial.closed(answers, ("paser", "kl"), measure).value == pytest.approx(expected)
    # The pool has three rows of general instructions for each of code.
    left = sum(share * np.mean([mean(cell, name) for cell in cells]) for name, share in SHARES.items())
    before = sum(share * mean(tables["compressed"], name) for name, share in SHARES.items())
    assert trial.closed(answers, ("paser", "kl"), "kl pool").value == pytest.approx(1 - left / before)


def test_a_planted_gain_and_its_ratio_are_found(folder: Path) -> None:
    trial = load_script("real_model.report")
    answers = trial.read_answers(folder)
    gain = trial.gain(answers, ("paser", "kl"), "kl")
    assert gain.low < 0.2 < gain.high
    assert gain.low > 0.1
    ratio = trial.ratio(answers, ("paser", "kl"), "kl")
    assert ratio.low > 1.2
    assert ratio.value == pytest.approx(1.4, abs=0.05)
    same = trial.ratio(answers, ("uniform", "kl"), "kl")
    assert same.low < 1 < same.high


def test_the_report_has_a_line_for_every_arm_and_the_cost(folder: Path) -> None:
    report = load_script("real_model.report")
    text = report.report(report.read_answers(folder))
    assert "| kl:codealpaca | 40 | 0.000 |" in text
    assert text.count("\n| paser | kl |") == 2
    assert text.endswith("3.0 core hours.")


def test_the_plans_comparisons_are_those_of_the_report(folder: Path) -> None:
    planned, report = load_script("real_model.planned"), load_script("real_model.report")
    answers = report.read_answers(folder)
    ratio = planned.Comparison(("paser", "kl"), ("uniform", "ce"), "kl", ratio=True).interval(answers)
    assert ratio == report.ratio(answers, ("paser", "kl"), "kl")
    gain = planned.Comparison(("paser", "kl"), ("uniform", "kl"), "kl pool", ratio=False).interval(answers)
    assert gain == report.gain(answers, ("paser", "kl"), "kl pool")


def test_the_confirmation_names_what_its_cells_hold_and_shows_what_there_is(folder: Path) -> None:
    planned, plan = load_script("real_model.planned"), load_script("real_model.plan")
    for one in (planned.FIRST, *planned.SECONDARY):
        assert {one.ours, one.other} <= set(plan.CONFIRMED)
    (folder / "paser-kl-0.parquet").rename(folder / "kept.parquet")
    table = pq.read_table(folder / "kept.parquet")
    (folder / "kept.parquet").unlink()
    for seed in range(3):
        facts = {"arm": "coverage-source", "recipe": "kl-full", "seed": seed, "seconds": 1.0}
        named = table.replace_schema_metadata({"trial": json.dumps(facts)})
        pq.write_table(named, folder / f"coverage-source-kl-full-{seed}.parquet")
    lines = planned.planned(load_script("real_model.report").read_answers(folder)).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| primary: coverage-source kl-full / uniform ce", "| coverage-source kl-full / uniform ce",
    ]  # fmt: skip
    assert lines[2].split(" | ")[2] == "3"


def test_the_pages_have_the_figures_of_the_answers_that_are_kept() -> None:
    planned, report = load_script("real_model.planned"), load_script("real_model.report")
    results = ROOT / "benchmarks" / "real_model" / "results" / "confirmation"
    answers, page = report.read_answers(results / "blocks-clean"), (ROOT / "docs" / "real-model.md").read_text()
    assert planned.planned(answers) in page
    assert planned.planned(answers, planned.PROMPTS) in page
    repeats = [report.read_answers(one) for one in results.iterdir() if one.name != "blocks-clean"]
    assert all(planned.planned(one, planned.REPEATED) in page for one in repeats)
    summary = (ROOT / "docs" / "results.md").read_text().replace("**", "")
    arms = [arm for arm, seeds in answers.cells.items() if len(seeds) == 6]
    assert len(arms) == 7
    for arm in arms:
        for measure in ("kl", "kl pool"):
            found = report.closed(answers, arm, measure)
            assert f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]" in summary, (arm, measure)


def test_the_screenings_page_has_the_tables_of_the_answers_that_are_kept() -> None:
    report = load_script("real_model.report")
    answers = report.read_answers(ROOT / "benchmarks" / "real_model" / "results" / "screening" / "blocks-clean")
    tables = [part for part in report.report(answers).split("\n\n") if part.startswith("|")]
    page = (ROOT / "docs" / "results" / "real-model-screening.md").read_text()
    assert len(tables) == 3
    assert all(table in page for table in tables)


def test_draws_of_items_without_a_loss_are_left_out() -> None:
    report = load_script("real_model.report")
    means = np.array([[[0.5], [0.5], [0.5]], [[0.6], [0.4], [0.8]]])  # (draw, model, measure)
    assert np.isnan(report.gaps(means, ["arc-easy"], "arc-easy")[0])
    assert report.gaps(means, ["arc-easy"], "arc-easy")[1] == pytest.approx(0.5)


def test_an_arm_without_random_rows_of_its_recipe_is_not_compared(folder: Path) -> None:
    for file in folder.glob("uniform-kl-*"):
        file.unlink()
    report = load_script("real_model.report")
    text = report.report(report.read_answers(folder))
    assert [line for line in text.splitlines() if line.startswith("| paser | kl |")][1].startswith(
        "| paser | kl |  |  |"
    )


def test_a_run_that_is_stopped_has_whole_seeds() -> None:
    plan = load_script("real_model.plan")
    todo = plan.cells(plan.SIZES["screening"], "blocks", "clean")
    assert [cell.seed for cell in todo] == sorted(cell.seed for cell in todo)
    assert len({cell.file for cell in todo}) == len(todo)
    assert {cell.arm for cell in todo if cell.recipe == "half"} == {"uniform"}
    assert {cell.seed for cell in todo} & set(plan.SIZES["confirmation"].seeds) == set()


def write_corpora(folder: Path, names: Iterable[str]) -> None:
    """Write files with the names and columns of the real corpora."""
    for name in names:
        number = range(300)
        asked = [f"question: {name} {one}? Answer1: yes Answer2: no" for one in number]
        columns = {"instruction": asked, "input": [""] * 300, "output": [f"o {one}" for one in number]}
        pq.write_table(pa.table(columns | {"answer": ["answer1"] * 300}), folder / f"{name}.parquet")


class Words:
    """A tokenizer of words."""

    def __call__(self, text: str) -> Any:
        return SimpleNamespace(input_ids=text.split())

    def apply_chat_template(self, turns: list[dict[str, str]], **_: Any) -> str:
        return " ".join(turn["content"] for turn in turns)


def test_held_out_rows_of_the_confirmation_are_new_and_its_pool_is_that_of_the_screening(tmp_path: Path) -> None:
    rows, plan = load_script("real_model.rows"), load_script("real_model.plan")
    write_corpora(tmp_path, rows.POOL)
    sizes = {name: replace(plan.SIZES[name], pool=0.05) for name in ("screening", "confirmation")}
    made = {name: rows.prepare(tmp_path, tmp_path / name, Words(), size) for name, size in sizes.items()}
    pools = {name: [Path(file).read_text() for file in one.pools["clean"]] for name, one in made.items()}
    assert pools["screening"] == pools["confirmation"]
    pool = {json.loads(line)["prompt"] for text in pools["confirmation"] for line in text.splitlines()}
    seen, fresh = ({row["prompt"] for row in made[name].heldout} for name in sizes)
    assert len(seen) == 20 * len(rows.POOL)
    assert len(fresh) == 40 * len(rows.POOL)
    assert not pool & seen | pool & fresh | seen & fresh


CHAT = (
    "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)


def save_chat_model(folder: Path, seed: int) -> Path:
    """Save a tiny model whose tokenizer has a chat template."""
    save_llama(folder, seed=seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    return folder


def test_the_independent_check_agrees(tmp_path: Path) -> None:
    """`gap_closed.py` knows nothing of the product, and finds the same gap to three digits."""
    models = [save_chat_model(tmp_path / name, seed) for name, seed in (("a", 0), ("b", 1), ("c", 2))]
    heldout = [
        {"source": f"s{number % 2}", "prompt": f"name a fruit {'red ' * number}", "response": "apple red two " * 2}
        for number in range(4)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, heldout)))
    command = [sys.executable, str(ROOT / "benchmarks" / "gap_closed.py"), "--rows", str(tmp_path / "rows.jsonl")]
    for name, folder in zip(("original", "compressed", "recovered"), models, strict=True):
        command += [f"--{name}", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measures = load_script("real_model.measures")
    tests = measures.Tests({}, heldout, models[0], tmp_path / "states.pt")
    divergence = [measures.measure(folder, tests).to_pylist() for folder in models[1:]]
    closed = [
        1
        - sum(row["value"] for row in divergence[1][source::2]) / sum(row["value"] for row in divergence[0][source::2])
        for source in range(2)
    ]
    assert json.loads(done.stdout)["mean"] == pytest.approx(np.mean(closed), abs=5e-4)


def test_another_pair_repeats_a_part_of_the_confirmation_and_the_screening_has_every_arm() -> None:
    plan = load_script("real_model.plan")
    confirmation, screening = plan.SIZES["confirmation"], plan.SIZES["screening"]
    first = [cell for cell in plan.cells(confirmation, "wanda", "clean") if cell.seed == 10]
    assert [(cell.arm, cell.recipe) for cell in first] == list(plan.REPEATED["wanda-clean"])
    assert len(plan.cells(confirmation, "blocks", "clean")) == 6 * len(plan.CONFIRMED)
    assert {cell.arm for cell in plan.cells(screening, "wanda", "clean")} == set(plan.ARMS)
    assert {name.split("-")[0] for name in plan.REPEATED} <= set(load_script("real_model.pair").PAIRS)


def test_a_cell_is_selected_trained_measured_and_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, plan, measures = (load_script(f"real_model.{name}") for name in ("cells", "plan", "measures"))
    monkeypatch.setitem(cells.pair.PAIRS, "blocks", CompressionRequest("blocks", n_blocks=1, dtype="float32"))
    original = save_chat_model(tmp_path / "original", 0)
    rows = [{"source": "s", "prompt": f"name a fruit {'red ' * one}", "response": "apple red two"} for one in range(12)]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = load_script("real_model.rows").TrialRows(tmp_path, {"clean": [str(tmp_path / "s.jsonl")]}, rows[:2])
    size = plan.Size(tokens=400, epochs=1, seeds=(0,), items=1, trained=(("uniform", "kl-full"),))
    tests = measures.Tests({}, files.heldout, original, tmp_path / "states.pt", size.device)
    tokenizer = AutoTokenizer.from_pretrained(original)
    trial = cells.Trial(original, tokenizer, files, tests, size, tmp_path / "work", tmp_path / "results")
    (cell,) = plan.cells(size, "blocks", "clean")
    assert cells.attempt(trial, cell) == "done"
    table = pq.read_table(tmp_path / "results" / cell.file)
    facts = json.loads(table.schema.metadata[b"trial"])
    assert (facts["arm"], facts["method"], facts["rows"]) == ("uniform", "full", 400 // plan.ROW_TOKENS["uniform"])
    assert table["measure"].to_pylist() == ["kl:s", "kl:s"]
    assert min(table["value"].to_pylist()) > 0
    assert not list((tmp_path / "work" / "trained").rglob("*.safetensors"))
    assert cells.attempt(trial, cell) == "was done, or runs elsewhere"
