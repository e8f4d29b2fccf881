"""Scoring through the command line: known rows are reused, and one model at a time gives the same scores."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from corpora import write_corpus
from models import save_llama

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    Run = Callable[..., Any]

SIGNALS = ("cds", "don", "nod", "nll_original", "nll_compressed", "entropy", "el2n", "positive_excess")


@pytest.fixture
def score(curate: Run, tiny: tuple[Path, Path]) -> Run:
    """Return a function that scores a corpus with the tiny pair and returns the manifest and the table."""

    def run(corpus: Path, warehouse: Path, *more: object, compressed: Path = tiny[1]) -> tuple[Any, pa.Table]:
        models = ("--original", tiny[0], "--compressed", compressed)
        answer = curate("score", "--corpus", corpus, "-w", warehouse, *models, "--part-rows", "16", *more, "--json")
        assert answer.code == 0, answer.err
        opened = Warehouse(warehouse)
        return opened.manifest("scores", answer.value["id"]), opened.read("scores", answer.value["id"])

    return run


def test_scores_of_an_earlier_version_open_and_are_not_mixed_with_new_ones(
    curate: Run, score: Run, tmp_path: Path, tiny: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURATE_VERIFY", "false")  # the manifest has the checksums of the parts that are replaced here
    small = write_corpus(tmp_path / "small.jsonl", rows=20)
    first, table = score(small, tmp_path / "w")
    # As the version without these columns left them: the same id, fewer columns.
    old = table.drop_columns(["positive_excess", "unlikely_share"])
    for part in first.parts:
        pq.write_table(
            old.slice(0 if "00000" in part.file else 16, part.rows), tmp_path / "w/scores" / first.id / part.file
        )
    fixed = (
        "-c",
        small,
        "--original",
        tiny[0],
        "--compressed",
        tiny[1],
        "--part-rows",
        16,
        "-w",
        tmp_path / "w",
        "--json",
    )
    # The catalog remembers the columns of the parts, which no version replaces in place.
    assert curate("catalog", "rebuild", "-w", tmp_path / "w").code == 0
    summary = curate("select", "--method", "donod", "--budget", "5", *fixed).value
    assert (summary["inputs"]["scores"], summary["n_kept"]) == (first.id, 5)
    asked = curate("sql", "SELECT count(cds) AS cds, count(positive_excess) AS e FROM scores", *fixed[-3:])
    assert asked.code == 0, asked.err
    assert asked.value == [{"cds": 20, "e": 0}]
    answer = curate("select", "--method", "by-signal", "--signal", "positive_excess", *fixed)
    assert answer.code == 2
    assert "'positive_excess', which the scores do not hold; score with a pair of models; scores of an" in answer.err
    grown = tmp_path / "grown.jsonl"
    grown.write_text(small.read_text() + write_corpus(tmp_path / "new.jsonl", rows=30, seed=1).read_text())
    second, after = score(grown, tmp_path / "w")
    assert second.facts["n_reused"] == 0
    assert after["positive_excess"].null_count == 0


def test_a_grown_corpus_scores_its_new_rows_only(score: Run, tmp_path: Path) -> None:
    small = write_corpus(tmp_path / "small.jsonl", rows=40)
    lines = write_corpus(tmp_path / "new.jsonl", rows=70, seed=1).read_text().splitlines()
    grown = tmp_path / "grown.jsonl"
    old = small.read_text().splitlines()
    grown.write_text("\n".join([*lines[:10], *old, *lines[10:30]]) + "\n")
    first, before = score(small, tmp_path / "w")
    second, after = score(grown, tmp_path / "w")
    _, fresh = score(grown, tmp_path / "fresh")
    assert (first.facts["n_reused"], second.facts["n_reused"]) == (0, 40)
    assert second.facts["statuses"] == {"ok": 70}
    assert after.column("example_id") == fresh.column("example_id")
    for name in SIGNALS:
        assert after.column(name).to_pylist() == pytest.approx(fresh.column(name).to_pylist(), rel=1e-4, abs=1e-6), name
    kept = {row["example_id"]: row for row in before.to_pylist()}
    assert sum(row == kept.get(row["example_id"]) for row in after.to_pylist()) == 40


def test_a_part_of_a_scored_corpus_needs_no_model(score: Run, tmp_path: Path) -> None:
    full = write_corpus(tmp_path / "full.jsonl", rows=40)
    part = tmp_path / "part.jsonl"
    part.write_text("\n".join(full.read_text().splitlines()[5:25]) + "\n")
    first, before = score(full, tmp_path / "w")
    second, after = score(part, tmp_path / "w")
    assert second.facts["n_reused"] == len(after) == 20
    assert {row["example_id"]: row for row in before.to_pylist()}.items() >= {
        row["example_id"]: row for row in after.to_pylist()
    }.items()
    assert second.facts["template_digest"] == first.facts["template_digest"]


def test_other_settings_reuse_nothing(score: Run, tmp_path: Path) -> None:
    small = write_corpus(tmp_path / "small.jsonl", rows=20)
    score(small, tmp_path / "w")
    again, _ = score(small, tmp_path / "w", "--max-length", "64")
    assert again.facts["n_reused"] == 0


def test_one_model_at_a_time_gives_the_same_bytes(score: Run, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", rows=40)
    pair, _ = score(corpus, tmp_path / "pair")
    alone, _ = score(corpus, tmp_path / "alone", "--sequential")
    assert alone.id == pair.id
    assert [part.digest for part in alone.parts] == [part.digest for part in pair.parts]
    assert alone.facts["original"] == pair.facts["original"]


def test_the_next_compressed_model_uses_the_cache_of_the_original(score: Run, tmp_path: Path) -> None:
    corpus, warehouse = write_corpus(tmp_path / "corpus.jsonl", rows=40), tmp_path / "w"
    score(corpus, warehouse, "--sequential")
    files = sorted((warehouse / "cache" / "teachers").rglob("*.safetensors"))
    written = [path.stat().st_mtime_ns for path in files]
    assert len(files) == 4  # three parts and the output layer
    (done,) = (warehouse / "cache" / "teachers").glob("*/teacher.json")
    os.utime(done, (0, 0))
    other = save_llama(tmp_path / "other", seed=2)
    found, table = score(corpus, warehouse, "--sequential", compressed=other)
    assert done.stat().st_mtime > 0, "gc goes by the last use"
    assert sorted((warehouse / "cache" / "teachers").rglob("*.safetensors")) == files
    assert [path.stat().st_mtime_ns for path in files] == written
    expected, _ = score(corpus, tmp_path / "pair", compressed=other)
    assert [part.digest for part in found.parts] == [part.digest for part in expected.parts]


def test_an_incomplete_cache_of_the_original_is_completed(score: Run, tmp_path: Path) -> None:
    corpus, warehouse = write_corpus(tmp_path / "corpus.jsonl", rows=40), tmp_path / "w"
    pair, _ = score(corpus, tmp_path / "pair")
    score(corpus, warehouse, "--sequential")
    (folder,) = (warehouse / "cache" / "teachers").iterdir()
    for name in ("part-00002.safetensors", "head.safetensors", "teacher.json"):
        (folder / name).unlink()
    shutil.rmtree(warehouse / "scores")
    written = (folder / "part-00001.safetensors").stat().st_mtime_ns
    again, _ = score(corpus, warehouse, "--sequential")
    assert (folder / "part-00001.safetensors").stat().st_mtime_ns == written
    assert [part.digest for part in again.parts] == [part.digest for part in pair.parts]


def test_a_topk_cache_lowers_the_divergence_only(score: Run, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", rows=40)
    exact, truth = score(corpus, tmp_path / "w", "--sequential")
    short, found = score(corpus, tmp_path / "w", "--sequential", "--teacher-cache", "topk=4")
    assert short.id != exact.id
    for one, other in zip(found.to_pylist(), truth.to_pylist(), strict=True):
        assert 0 < one["cds"] <= other["cds"] + 1e-6
        assert one["nll_original"] == pytest.approx(other["nll_original"], rel=1e-5)
        assert all(one[name] == other[name] for name in ("don", "nod", "nll_compressed", "entropy", "el2n"))
    full, same = score(corpus, tmp_path / "w", "--sequential", "--teacher-cache", "topk=1000")
    assert same.column("cds").to_pylist() == pytest.approx(truth.column("cds").to_pylist(), abs=1e-6)


def test_a_teacher_cache_without_sequential_scoring_is_refused(
    curate: Run, tiny: tuple[Path, Path], corpus: Path
) -> None:
    models = ("--original", tiny[0], "--compressed", tiny[1])
    answer = curate("score", "--corpus", corpus, *models, "--teacher-cache", "topk=4")
    assert (answer.code, "--sequential" in answer.err) == (2, True)
    assert curate("score", "--corpus", corpus, *models, "--sequential", "--teacher-cache", "topk=0").code == 2


def test_all_layers_one_model_at_a_time_gives_the_same_bytes(score: Run, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", rows=40)
    pair, _ = score(corpus, tmp_path / "pair", "--layers", "all", "--batch-tokens", "64")
    alone, _ = score(corpus, tmp_path / "alone", "--layers", "all", "--batch-tokens", "64", "--sequential")
    assert [part.digest for part in alone.parts] == [part.digest for part in pair.parts]
    assert pair.facts["gradient_layers"] == "all"


def test_two_workers_give_the_same_bytes_as_one_process(score: Run, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", rows=90)
    alone, _ = score(corpus, tmp_path / "alone")
    shared, _ = score(corpus, tmp_path / "shared", "--workers", "2", "--threads", "2")
    assert shared.id == alone.id
    assert [part.digest for part in shared.parts] == [part.digest for part in alone.parts]
    workers = shared.facts.pop("workers")
    assert [one["device"] for one in workers] == ["cpu", "cpu"]
    assert sum(one["parts"] for one in workers) == len(shared.parts) == 6
    assert shared.facts == alone.facts
    assert shared.peak_memory_mb > sum(one["peak_memory_mb"] for one in workers) > 0


@pytest.mark.slow
def test_two_workers_cache_the_same_predictions_of_the_original(score: Run, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", rows=40)
    pair, _ = score(corpus, tmp_path / "pair")
    found, _ = score(corpus, tmp_path / "w", "--sequential", "--workers", "2")
    assert [part.digest for part in found.parts] == [part.digest for part in pair.parts]
    assert found.facts["original"] == pair.facts["original"]
    assert len(list((tmp_path / "w" / "cache" / "teachers").rglob("*.safetensors"))) == 4


def test_contradictory_worker_settings_are_refused(curate: Run, tiny: tuple[Path, Path], corpus: Path) -> None:
    models = ("--original", tiny[0], "--compressed", tiny[1])
    answer = curate("score", "--corpus", corpus, *models, "--device", "cpu,cpu", "--workers", "2")
    assert (answer.code, "'cpu,cpu' serves one worker, not 2" in answer.err) == (2, True)
    assert curate("score", "--corpus", corpus, *models, "--workers", "0").code == 2


def start(corpus: Path, models: tuple[Path, Path], warehouse: Path) -> subprocess.Popen[str]:
    """Start `curate score` with two workers."""
    words = ["score", "--corpus", corpus, "-w", warehouse, "--original", models[0], "--compressed", models[1],
             "--part-rows", "100", "--workers", "2", "--threads", "2"]  # fmt: skip
    command = [sys.executable, "-c", "from curate.flows.cli.main import main; main()", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if b"engines.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


def runs(process: int) -> bool:
    """Return whether a process exists and is not a zombie, whose command line is empty."""
    command_line = Path(f"/proc/{process}/cmdline")
    return command_line.exists() and command_line.read_bytes() != b""


def parts_of(warehouse: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in warehouse.glob("scores/*/part-*.parquet")}


def wait_until(condition: Callable[[], object]) -> None:
    """Wait five minutes at most: on a busy machine three processes that import torch take one to start."""
    end = time.monotonic() + 300
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["a worker", "the command"])
def test_a_killed_worker_or_command_loses_only_unfinished_parts(
    score: Run, tiny: tuple[Path, Path], tmp_path: Path, who: str
) -> None:
    corpus, warehouse = write_corpus(tmp_path / "corpus.jsonl", rows=3000), tmp_path / "w"
    running = start(corpus, tiny, warehouse)
    wait_until(lambda: len(parts_of(warehouse)) > 2)
    workers = workers_of(running)
    assert len(workers) == 2
    os.kill(workers[1] if who == "a worker" else running.pid, signal.SIGKILL)
    _, errors = running.communicate()
    kept = parts_of(warehouse)
    assert 2 < len(kept) < 30
    if who == "a worker":
        assert running.returncode == 1
        assert "worker 2 of 2 on cpu was killed by SIGKILL in part" in errors.splitlines()[-1]
    wait_until(lambda: not any(map(runs, workers)))
    again = start(corpus, tiny, warehouse)
    assert (again.wait(), again.communicate()[1] is None) == (0, False)
    assert kept.items() <= parts_of(warehouse).items(), "nothing is scored twice"
    expected, _ = score(corpus, tmp_path / "alone", "--part-rows", "100")
    (found,) = Warehouse(warehouse).list("scores")
    assert [part.digest for part in found.parts] == [part.digest for part in expected.parts]
