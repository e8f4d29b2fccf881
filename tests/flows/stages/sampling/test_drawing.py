"""``--prune-at`` on rows of the demo: which samples stop, what they count for, and that a run can be continued."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attempts
import numpy as np
import pytest

from curate import flows
from curate.engines.sample.adaptive import waves
from curate.flows.stages.selecting.solved import read_solved
from curate.storage.report.page import write_report
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

ROWS, AT, BEST_OF = 24, 3, 8
DRAWING = ("--max-new-tokens", 24, "--seed", 1, "--temperature", 1.5)
PRUNED = ("--prune-at", AT)


@pytest.fixture(scope="module")
def demo_selection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "w"
    flows.select(flows.settings(warehouse=folder, select={"method": "uniform", "budget": str(ROWS)}))
    return folder


@pytest.fixture
def root(demo_selection: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_selection, tmp_path / "w"))


def sampled(curate: Run, root: Path, *options: object) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    answer = curate("sample", *DRAWING, *options, "-w", root, "--json")
    assert answer.code == 0, answer.err
    return answer.value, Warehouse(root).read("targets", answer.value["targets_id"]).to_pylist()


def stopped(sample: dict[str, Any]) -> bool:
    return bool(sample["stopped_early"] and sample["n_tokens"] == AT)


def test_half_of_a_waves_partials_stop_and_count_for_nothing(curate: Run, root: Path) -> None:
    plain, whole = sampled(curate, root)
    report, samples = sampled(curate, root, *PRUNED)
    assert report["targets_id"] != plain["targets_id"]
    assert (report["prune_at"], report["prune_keep"], plain["prune_at"], plain["pruned"]) == (AT, 0.5, None, 0)
    full = {(one["example_id"], one["number"]): one for one in whole}
    by_row: dict[str, list[dict[str, Any]]] = {}
    for one in samples:
        by_row.setdefault(one["example_id"], []).append(one)
        other = full.get((one["example_id"], one["number"]))
        if stopped(one):
            assert (one["passed"], one["accepted"], one["score"]) == (None, False, 0.0)
            assert other is None or other["n_tokens"] > AT
        elif other is not None:
            assert one["text"] == other["text"]
            assert one["passed"] == other["passed"]
    for own in by_row.values():
        for wave in waves(BEST_OF):
            partials = [one for one in own if one["number"] in wave and (one["n_tokens"] > AT or stopped(one))]
            expected = len(partials) - max(1, len(partials) // 2) if partials else 0
            assert sum(map(stopped, partials)) == expected
    assert report["pruned"] == sum(map(stopped, samples)) > 0
    assert report["stopped_early"] == sum(one["stopped_early"] for one in samples)
    assert report["samples"] == len(samples)
    assert report["tokens"] == sum(one["n_tokens"] for one in samples)
    always = [BEST_OF * np.mean([one["n_tokens"] for one in own if not stopped(one)]) for own in by_row.values()]
    assert report["tokens_always"] == round(sum(always))
    said = curate("sample", *DRAWING, *PRUNED, "-w", root).out
    assert f"{report['pruned']} of {report['samples']} samples were stopped at 3 tokens" in said


def test_an_unknown_answer_is_left_out_of_a_rows_share(curate: Run, root: Path) -> None:
    report, samples = sampled(curate, root, *PRUNED)
    passed: dict[str, list[bool]] = {}
    for one in samples:
        passed.setdefault(one["example_id"], []).extend([] if stopped(one) else [one["passed"]])
    ids = np.array(sorted(passed))
    shares = read_solved(Warehouse(root), report["targets_id"], ids)
    assert shares.tolist() == [sum(passed[name]) / len(passed[name]) for name in ids]
    summary = Warehouse(root).read("targets", report["targets_id"], "summary").to_pylist()
    assert sum(row["n_drawn"] for row in summary) == len(samples)
    page = root / "report.html"
    warehouse = Warehouse(root)
    write_report(warehouse, report["selection_id"], page, str, lambda labels, read: {})
    assert f"{report['pruned']} samples were stopped at {AT} tokens" in page.read_text("utf-8")


def test_a_gap_compares_targets_that_were_pruned_alike(curate: Run, root: Path) -> None:
    sampled(curate, root, *PRUNED)
    sampled(curate, root, "--from", "compressed")
    command = ("select", "--method", "by-signal", "-b", 5, "--signal", "solved_gap", "-w", root)
    unlike = curate(*command)
    assert (unlike.code, "differ in selection or settings" in unlike.err) == (2, True)
    sampled(curate, root, "--from", "compressed", *PRUNED)
    assert curate(*command).code == 0


def targets_parts(warehouse: Path) -> dict[str, bytes]:
    return {
        name: data
        for name, (_, data) in attempts.parts(warehouse).items()
        if not Path(name).match("targets/.tmp*/*") and name.startswith("targets/")
    }


def test_parts_are_drawn_alike_whatever_their_size_and_by_themselves(
    curate: Run, root: Path, demo_selection: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(demo_selection, tmp_path / "other")
    report, samples = sampled(curate, root, *PRUNED, "--part-items", 9)
    again, same = sampled(curate, other, *PRUNED)
    assert again["targets_id"] == report["targets_id"]
    for one, two in zip(samples, same, strict=True):
        assert one.pop("mean_logp") == pytest.approx(two.pop("mean_logp"), abs=1e-4)
        assert one == two
    before = targets_parts(root)
    part = Warehouse(root).folder("targets", report["targets_id"]) / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    assert curate("doctor", "--repair", "-w", root).code == 0
    assert targets_parts(root) == before


@pytest.mark.slow
def test_a_killed_run_resumes(root: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(root, tmp_path / "broken")

    def arguments(warehouse: Path) -> list[str]:
        command = ("sample", *DRAWING, *PRUNED, "--part-items", 9, "--threads", 1, "--warehouse", warehouse)
        return list(map(str, command))

    assert attempts.run(arguments(root)) == 0
    killed = 0
    while attempts.run(arguments(broken), attempts.Kill(tmp_path / "survived")) != 0:
        killed += 1
        assert killed < 60
    assert killed >= 8
    assert targets_parts(broken) == targets_parts(root)


def test_agreement_counts_the_samples_that_ended(curate: Run, root: Path) -> None:
    report, samples = sampled(curate, root, *PRUNED, "--accept", "agreement")
    assert report["pruned"] == sum(map(stopped, samples)) > 0
    assert not any(one["accepted"] for one in samples if one["stopped_early"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--prune-keep", 0.3), "--prune-keep 0.3 has no effect without --prune-at TOKENS"),
        (("--prune-at", 24), "--prune-at 24 prunes nothing, since answers end at --max-new-tokens 24"),
        (("--prune-at", 3, "--best-of", 3), "--prune-at 3 prunes nothing with --best-of 3"),
        (("--prune-at", 0), "'sample.prune_at' is 0"),
        (("--prune-at", 3, "--prune-keep", 1), "'sample.prune_keep' is 1"),
    ],
)
def test_settings_that_prune_nothing_are_usage_errors(
    curate: Run, demo_selection: Path, options: tuple[object, ...], message: str
) -> None:
    refused = curate("sample", *DRAWING, *options, "-w", demo_selection)
    assert refused.code == 2
    assert message in " ".join(refused.err.split())
