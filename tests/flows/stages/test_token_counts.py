"""Token counts through the command line: those of scoring, without a model, and shared by models with one tokenizer."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import attempts
import pytest
from models import save_llama

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

COLUMNS = ["example_id", "status", "n_prompt_tokens", "n_response_tokens", "truncated"]


@pytest.fixture
def uneven(corpus: Path) -> Path:
    """Return a corpus of rows of which one has a prompt that leaves no room for its response."""
    long = {"instruction": "name a fruit " * 30, "input": "", "output": "apple"}
    corpus.write_text(corpus.read_text() + json.dumps(long) + "\n")
    return corpus


@pytest.mark.parametrize("more", [(), ("--template", "plain"), ("--max-length", "20")])
def test_counts_are_those_of_scoring(
    curate: Run, uneven: Path, tiny: tuple[Path, Path], tmp_path: Path, more: tuple[str, ...]
) -> None:
    how = ("-c", uneven, "--original", tiny[0], "--compressed", tiny[1], "--part-rows", "16", "-w", tmp_path / "w")
    assert curate("score", *how, *more).code == 0
    answer = curate("select", "-m", "uniform", "-b", "40-tokens", *how, *more, "--json")
    assert sorted(answer.value["inputs"]) == ["corpus", "tokens"]
    warehouse = Warehouse(tmp_path / "w")
    (scores,), (tokens,) = warehouse.list("scores"), warehouse.list("tokens")
    assert warehouse.read("tokens", tokens.id).equals(warehouse.read("scores", scores.id, columns=COLUMNS))
    assert len(tokens.parts) == 3
    counted = warehouse.read("tokens", tokens.id).to_pylist()
    kept = warehouse.read("selection", answer.value["selection_id"], columns=["kept"])["kept"].to_pylist()
    cost = sum(
        row["n_prompt_tokens"] + row["n_response_tokens"] for row, is_in in zip(counted, kept, strict=True) if is_in
    )
    assert answer.value["n_tokens_kept"] == cost <= 40
    assert tokens.facts["n_tokens"] == sum(row["n_prompt_tokens"] + row["n_response_tokens"] for row in counted)
    assert tokens.facts["statuses"] == scores.facts["statuses"]


def test_a_row_without_room_for_a_response_is_not_drawn(
    curate: Run, uneven: Path, tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    how = ("-c", uneven, "--compressed", tiny[1], "--max-length", "40", "-w", tmp_path / "w")
    answer = curate("select", "-m", "uniform", "-b", "720-tokens", *how, "--json")
    assert answer.value["reasons"] == {"no_response_tokens": 1, "selected": 40}


def test_models_with_one_tokenizer_share_the_counts(
    curate: Run, corpus: Path, tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    def select(*models: object, budget: str = "40-tokens") -> str:
        words = ("select", "-m", "uniform", "-b", budget, "-c", corpus, *models, "-w", tmp_path / "w", "--json")
        answer = curate(*words)
        assert answer.code == 0, answer.err
        return str(answer.value["inputs"]["tokens"])

    first = select("--original", tiny[0], "--compressed", tiny[1])
    assert select("--compressed", tiny[1], budget="80-tokens") == first
    other = save_llama(tmp_path / "other", seed=2, words=["name", "a", "fruit", "say"])
    assert select("--compressed", other) != first
    # A pruned model is often saved without its tokenizer: the original's counts.
    bare = shutil.copytree(tiny[1], tmp_path / "bare")
    for file in bare.glob("tokenizer*"):
        file.unlink()
    assert select("--original", tiny[0], "--compressed", bare) == first


def test_a_plan_names_the_counts_and_a_budget_in_tokens_needs_a_model(
    curate: Run, corpus: Path, tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    how = ("-m", "uniform", "-b", "40-tokens", "-c", corpus, "-w", tmp_path / "w")
    answer = curate("select", *how)
    assert (answer.code, "whose tokenizer counts them" in answer.err) == (3, True)
    planned = [step["stage"] for step in curate("plan", *how, "--compressed", tiny[1], "--json").value]
    assert planned[:3] == ["ingest", "count", "select"]
    assert not (tmp_path / "w" / "tokens").exists()


def test_models_that_cannot_count_are_refused_before_the_corpus_is_read(
    curate: Run, corpus: Path, tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    other = save_llama(tmp_path / "other", seed=2, words=["name", "a", "fruit", "say"])
    how = ("select", "-m", "uniform", "-b", "40-tokens", "-c", corpus, "-w", tmp_path / "w")
    for compressed, said in ((tmp_path / "typo", "typo"), (other, "tokenizers of the original and the compressed")):
        answer = curate(*how, "--original", tiny[0], "--compressed", compressed)
        assert (answer.code, said in answer.err) == (3, True)
        assert not list((tmp_path / "w").glob("corpus/*"))


def test_a_method_that_reads_lengths_is_not_told_to_count_rows(curate: Run, corpus: Path, tmp_path: Path) -> None:
    answer = curate("select", "-m", "longest", "-b", "5", "-c", corpus, "-w", tmp_path / "w")
    assert (answer.code, "budget in rows" in answer.err) == (3, False)


def test_a_recovery_that_tokenises_otherwise_is_refused(
    curate: Run, corpus: Path, tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    """A budget in tokens holds for the length and the layout that counted it."""
    models = ("--original", tiny[0], "--compressed", tiny[1], "-w", tmp_path / "w")
    assert curate("select", "-m", "uniform", "-b", "60-tokens", "-c", corpus, *models).code == 0
    assert curate("recover", "--dry-run", "-w", tmp_path / "w").code == 0
    shorter = curate("recover", "--dry-run", "--max-length", "17", "-w", tmp_path / "w")
    assert (shorter.code, "than for their scores or counts" in shorter.err) == (4, True)


@pytest.mark.slow
def test_counting_goes_on_after_a_kill(corpus: Path, tiny: tuple[Path, Path], tmp_path: Path) -> None:
    how = ["select", "-m", "uniform", "-b", "40-tokens", "-c", str(corpus), "--compressed", str(tiny[1])]
    how += ["--part-rows", "16"]
    whole, killed, kills = tmp_path / "whole", tmp_path / "killed", 0
    assert attempts.run([*how, "-w", str(whole)]) == 0
    # The corpus is read without a kill, so that all of them hit the counts and the selection.
    assert attempts.run(["ingest", "-c", str(corpus), "--part-rows", "16", "-w", str(killed)]) == 0
    while attempts.run([*how, "-w", str(killed)], attempts.Kill(tmp_path / "survived")) != 0:
        kills += 1
        assert kills < 60
    assert "tokens" in (tmp_path / "survived").read_text()
    assert _parts(whole) == _parts(killed)


def _parts(warehouse: Path) -> dict[str, bytes]:
    return {name: data for name, (_, data) in attempts.parts(warehouse).items() if name.startswith("tokens")}
