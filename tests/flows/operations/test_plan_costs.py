"""What `curate plan` says a recovery costs: the rows of the budget, their operations, the time at a known rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from models import save_llama
from transformers import AutoModelForCausalLM

from curate.engines.models import speed
from curate.flows.operations.plan import existing_selection
from curate.schemas.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]
RATE = 1e6


@pytest.fixture
def given(curate: Run, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    monkeypatch.setattr(speed, "operations_per_second", lambda *_: RATE)
    models = [save_llama(tmp_path / name, seed=seed) for seed, name in enumerate(("original", "compressed"))]
    assert curate("ingest", "--corpus", corpus, "-w", tmp_path / "w").code == 0
    return ["--corpus", corpus, "--original", models[0], "--compressed", models[1], "-w", tmp_path / "w"]


def recovery(curate: Run, *words: object) -> tuple[dict[str, Any], dict[str, Any]]:
    steps = {step["stage"]: step for step in curate("plan", "--method", "donod", *words, "--json").value}
    return steps["score"], steps["recover"]


def weights(folder: Path) -> int:
    return sum(one.numel() for one in AutoModelForCausalLM.from_pretrained(folder).parameters())


def test_a_recovery_is_priced_by_its_tokens(
    curate: Run, given: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, step = recovery(curate, *given, "--budget", "0.25")
    n = weights(tmp_path / "compressed")
    tokens = score["seconds"] * RATE / (2 * 2 * n)  # two forward passes over the corpus
    assert step["rows"] == round(0.25 * score["rows"])
    # Two passes of training with the weights frozen, and one of the original over the same rows.
    assert step["seconds"] == pytest.approx(0.25 * tokens * (2 * 4 + 2) * n / RATE, rel=0.02)
    monkeypatch.setenv("CURATE_RECOVER__METHOD", "full")
    monkeypatch.setenv("CURATE_RECOVER__TEACHER", "none")
    whole = recovery(curate, *given, "--budget", "0.25")[1]
    assert whole["seconds"] == pytest.approx(0.25 * tokens * 2 * 6 * n / RATE, rel=0.02)


def test_samples_are_priced_as_if_all_were_drawn(
    curate: Run, given: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step() -> dict[str, Any]:
        plan = curate("plan", "--method", "donod", *given, "--budget", "0.25", "--json").value
        return {one["stage"]: one for one in plan}

    steps = step()
    n = weights(tmp_path / "original")
    tokens = steps["score"]["seconds"] * RATE / (2 * 2 * n)
    sample = steps["sample"]
    assert (sample["rows"], sample["state"]) == (steps["recover"]["rows"], "after select")
    assert sample["seconds"] == pytest.approx(0.25 * tokens * 8 * 2 * n / RATE, rel=0.02)
    assert sample["estimate"].startswith("1 to 8 samples a row")
    monkeypatch.setenv("CURATE_SAMPLE__BEST_OF", "2")
    assert step()["sample"]["seconds"] == pytest.approx(sample["seconds"] / 4)
    monkeypatch.setenv("CURATE_SAMPLE__MODEL", str(tmp_path / "compressed"))
    assert step()["sample"]["memory_mb"] == sample["memory_mb"]


def test_a_recovery_on_a_cluster_has_the_device_of_its_worker(
    curate: Run, given: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    here = recovery(curate, *given, "--device", "cpu")[1]
    there = recovery(curate, *given, "--engine", "ray", "--device", "cpu")[1]
    assert there["estimate"] == here["estimate"] + ", by one worker of the cluster"
    assert there["memory_mb"] == here["memory_mb"]
    gpu = recovery(curate, *given, "--engine", "ray", "--device", "cuda")[1]["estimate"]
    assert gpu.endswith("FLOPs on cuda, by one worker of the cluster")


def test_a_budget_in_tokens_is_as_many_tokens(curate: Run, given: list[object], tmp_path: Path) -> None:
    _, step = recovery(curate, *given, "--budget", "200-tokens")
    assert step["seconds"] == pytest.approx(200 * (2 * 4 + 2) * weights(tmp_path / "compressed") / RATE, rel=0.1)


def test_a_selection_exists_when_all_its_stages_do(curate: Run, given: list[object]) -> None:
    words = ["corpus", "original", "compressed", "warehouse"]
    values: dict[str, Any] = dict(zip(words, map(str, given[1::2]), strict=True))
    values["corpus"] = (values["corpus"],)
    settings = resolve(values | {"select": {"method": "donod"}})
    assert existing_selection(settings) is None
    answer = curate("select", "--method", "donod", *given, "--json")
    assert existing_selection(settings) == answer.value["selection_id"]


def test_the_terminal_shows_time_and_memory(curate: Run, given: list[object], corpus: Path, tmp_path: Path) -> None:
    text = curate("plan", "--method", "donod", *given).out
    assert "after select" in text
    assert "recover --dry-run" in text
    without = curate("plan", "--method", "uniform", "--corpus", corpus, "-w", tmp_path / "w")
    assert "recover" not in without.out
