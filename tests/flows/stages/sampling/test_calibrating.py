"""``--accept likelihood`` and ``selfeval`` on rows of the demo, some of them with answers too long to repeat."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import attempts
import pyarrow.parquet as pq
import pytest

from curate import flows
from curate.flows import demo
from curate.flows.demo.disk import read_rows
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

CHECKED, LONG = 120, 16
WORDS = " as anyone can see who reads the question above with some care"
RESPONSES = "SELECT response FROM examples"
DRAWING = (
    "--from",
    demo.model_path(),
    "--best-of",
    3,
    "--temperature",
    1.5,
    "--max-new-tokens",
    24,
    "--part-items",
    50,
)


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a warehouse with a selection of rows with right answers, of which some are long."""
    folder = tmp_path_factory.mktemp("rows")
    truth = pq.read_table(demo.truth_path()).to_pylist()
    rows = [dict(row) for row, one in zip(read_rows(demo.pool_path()), truth, strict=True)
            if one["usable"] and not one["label_noise"] and not one["contradiction"]]  # fmt: skip
    rows = rows[:: len(rows) // (CHECKED + LONG)][: CHECKED + LONG]
    for row in rows[:LONG]:
        row["output"] += WORDS
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = flows.settings(
        warehouse=folder / "w", corpus=[str(folder / "rows.jsonl")], select={"method": "full", "budget": "1.0"}
    )
    flows.select(options)
    return folder / "w"


@pytest.fixture
def root(selected: Path, tmp_path: Path) -> Path:
    return shutil.copytree(selected, tmp_path / "w")


def by_row(root: Path, targets: str) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for sample in Warehouse(root).read("targets", targets).to_pylist():
        rows.setdefault(sample["example_id"], []).append(sample)
    return rows


@pytest.mark.parametrize("by", ["likelihood", "selfeval"])
def test_rows_without_a_check_are_judged_by_a_score(curate: Run, root: Path, by: str) -> None:
    answer = curate("sample", *DRAWING, "--accept", by, "-w", root, "--json")
    assert answer.code == 0, answer.err
    measured = answer.value["calibration"]
    assert measured["prompts"] == CHECKED
    assert measured["samples"] == 3 * CHECKED
    assert measured["auroc"][by] > 0.8
    rows = by_row(root, answer.value["targets_id"])
    checked = [samples for samples in rows.values() if samples[0]["passed"] is not None]
    scored = [samples for samples in rows.values() if samples[0]["passed"] is None]
    assert (len(checked), len(scored)) == (CHECKED, LONG)
    for samples in checked:
        assert len(samples) == 3
        passed = [one["passed"] for one in samples]
        assert [one["accepted"] for one in samples] == [
            True in passed and at == passed.index(True) for at in range(len(samples))
        ]
    accepted = []
    for samples in scored:
        reached = [one["score"] >= measured["threshold"] for one in samples]
        assert [one["accepted"] for one in samples] == [
            True in reached and at == reached.index(True) for at in range(len(samples))
        ]
        assert len(samples) == 3 or any(reached)
        accepted += [one["text"] for one in samples if one["accepted"]]
    assert len(accepted) >= LONG // 2
    given = {row["response"].removesuffix(WORDS) for row in curate("sql", RESPONSES, "-w", root, "--json").value}
    assert sum(text in given for text in accepted) >= 0.75 * len(accepted)
    said = curate("sample", *DRAWING, "--accept", by, "-w", root).out
    assert f"On {CHECKED} rows with a check: AUROC {measured['auroc'][by]:.2f}" in said
    assert f"the likeliest answer {measured['greedy']:.0%}" in said


def test_a_given_threshold_is_the_score_that_is_accepted(curate: Run, root: Path) -> None:
    strict = curate("sample", *DRAWING, "--accept", "likelihood", "--threshold", 1, "-w", root, "--json").value
    assert strict["calibration"]["threshold"] == 1.0
    assert not any(one["accepted"] for samples in by_row(root, strict["targets_id"]).values()
                   for one in samples if one["passed"] is None)  # fmt: skip


def test_too_few_checked_rows_are_refused_and_what_was_drawn_is_kept(curate: Run, root: Path) -> None:
    corpus = Warehouse(root).manifest("corpus", Warehouse(root).list("corpus")[0].id).facts["files"]
    flows.select(flows.settings(warehouse=root, corpus=corpus, select={"method": "uniform", "budget": "40"}))
    command = ("sample", *DRAWING, "--accept", "selfeval", "-w", root)
    for _ in range(2):
        refused = curate(*command)
        assert refused.code == 4
        assert "--accept selfeval needs" in refused.err
        assert "at least 100 checked prompts" in refused.err
        parts = attempts.parts(root)
        assert [name for name in parts if name.startswith("targets/")]
    assert not Warehouse(root).list("targets")


def test_agreement_of_half_the_samples_is_a_usage_error(curate: Run, root: Path) -> None:
    refused = curate("sample", "--accept", "agreement", "--threshold", 0.5, *DRAWING, "-w", root)
    assert (refused.code, "give a share above 0.5" in refused.err) == (2, True)
    wrong = curate("sample", "--threshold", 1.2, "-w", root)
    assert (wrong.code, "'sample.threshold' is '1.2'" in wrong.err) == (2, True)


@pytest.mark.slow
def test_a_killed_run_resumes(curate: Run, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "broken")

    def arguments(warehouse: Path) -> list[str]:
        return ["sample", *map(str, DRAWING), "--accept", "selfeval", "--threads", "1", "--warehouse", str(warehouse)]

    assert attempts.run(arguments(root)) == 0
    killed = 0
    while attempts.run(arguments(tmp_path / "broken"), attempts.Kill(tmp_path / "survived")) != 0:
        killed += 1
        assert killed < 60
    assert killed >= 8
    one, two = ({name: data for name, (_, data) in attempts.parts(w).items()} for w in (root, tmp_path / "broken"))
    assert one == two
