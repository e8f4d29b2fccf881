"""A planted case: training on plain text lowers perplexity and removes facts; the report must warn about it."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from curate.engines.pretrain import PretrainConfig, new_model, save, train_tokenizer
from curate.engines.recover import recover
from curate.schemas.corpus import Turn
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

pytestmark = pytest.mark.slow

TINY = PretrainConfig(vocabulary=400, hidden=64, layers=2, heads=4, intermediate=128)
COLOURS = ("red", "blue", "green", "black")
TOWNS = [a + b for a in "bdfgklmnprst" for b in ("ozi", "ali", "uru")]
WORDS = ("the old man walked along a quiet river and saw how slowly two white boats went by at night").split()


def text(lines: int, seed: int) -> str:
    """Return lines of a simple grammar that is easy to learn: every word has one successor."""
    draw = random.Random(seed)
    starts = [draw.randrange(len(WORDS)) for _ in range(lines)]
    return "".join(" ".join(WORDS[(start + i) % len(WORDS)] for i in range(12)) + "\n" for start in starts)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Return the folder of the tasks, a model that knows the facts, and that model after training on plain text."""
    folder = tmp_path_factory.mktemp("planted")
    draw = random.Random(0)
    facts = [(f"what colour is {town}", draw.choice(COLOURS)) for town in TOWNS]
    lines = [json.dumps({"question": question, "answer": answer, "chance": 0.25}) for question, answer in facts]
    (folder / "facts.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "text.txt").write_text(text(600, 1))
    tokenizer = train_tokenizer([*(f"{q} {a}" for q, a in facts), *text(50, 2).splitlines()], TINY.vocabulary)
    save(new_model(tokenizer, TINY), tokenizer, folder / "empty")
    rows = [(Turn("user", question), Turn("assistant", answer)) for question, answer in facts]
    recipe = {"method": "full", "batch": 12, "device": "cpu"}
    recover(folder / "empty", rows, folder / "knows", RecoveryRequest(**recipe, learning_rate=3e-3, epochs=60))  # type: ignore[arg-type]
    plain = [(Turn("user", "go on"), Turn("assistant", line)) for line in text(240, 3).splitlines()]
    recover(folder / "knows", plain, folder / "reads", RecoveryRequest(**recipe, learning_rate=5e-3, epochs=3))  # type: ignore[arg-type]
    return folder, folder / "knows", folder / "reads"


def test_a_lower_perplexity_does_not_hide_lost_knowledge(
    curate: Run, models: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    folder, knows, reads = models
    tasks = ("--tasks", f"knowledge:{folder / 'facts.jsonl'}", "--tasks", folder / "text.txt")
    where = ("--warehouse", tmp_path / "w", "--json")
    answer = curate("evaluate", reads, "--original", knows, "--compressed", knows, *tasks, *where)
    assert answer.code == 0, answer.err
    result = answer.value
    (texts,) = (row for row in result["perplexity"] if row["task"] == "perplexity:text")
    (facts,) = result["retention"]["groups"]
    assert texts["perplexity_model"] < texts["perplexity_compressed"] / 2
    assert facts["original"] > 0.9
    assert facts["score"] < 0.5
    assert facts["harmed"]
    assert len(result["warnings"]) == 2
    for role, warning in zip(("compressed", "original"), result["warnings"], strict=True):
        assert warning.startswith(f"against the {role} model, perplexity fell (-")
        assert "do not judge this model by its perplexity" in warning
    # A model compared with itself changes neither perplexity nor facts, so there is nothing to warn about.
    unchanged = curate("evaluate", knows, "--original", knows, "--compressed", knows, *tasks, *where).value
    assert unchanged["warnings"] == []
