"""The tokens that `curate plan` predicts are those that scoring counts, chat template and truncation included."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from chat_templates import GEMMA
from models import save_llama
from transformers import AutoTokenizer

from curate.flows.operations.corpus_tokens import spread
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.mark.parametrize("more", [(), ("--template", "plain"), ("--max-length", "9")])
def test_a_plan_counts_the_tokens_of_the_chat_template(
    curate: Run, corpus: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    models = [save_llama(tmp_path / name, seed=seed) for seed, name in enumerate(("original", "compressed"))]
    for folder in models:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.chat_template = GEMMA
        tokenizer.save_pretrained(folder)
    where = ("--corpus", corpus, "--original", models[0], "--compressed", models[1], "-w", tmp_path / "w", *more)
    assert curate("ingest", "--corpus", corpus, "-w", tmp_path / "w").code == 0
    (planned,) = (
        step for step in curate("plan", "--method", "donod", *where, "--json").value if step["stage"] == "score"
    )
    assert curate("score", *where).code == 0
    warehouse = Warehouse(tmp_path / "w")
    counted = warehouse.read("scores", warehouse.list("scores")[0].id)
    tokens = sum(sum(counted[name].to_pylist()) for name in ("n_prompt_tokens", "n_response_tokens"))
    (predicted,) = re.findall(r"about ([\d,]+) tokens", planned["estimate"])
    assert int(predicted.replace(",", "")) == tokens


def test_a_sample_is_spread_over_the_lengths() -> None:
    lengths = np.array([50, 10, 40, 20, 30, 60])
    assert spread(lengths, 3).tolist() == [3, 2, 5]  # the middles of the three thirds
    assert sorted(spread(lengths, 10)) == list(range(6))
    drawn = np.random.default_rng(0).lognormal(5, 1, 20_000).astype(np.int64)
    assert drawn[spread(drawn, 256)].mean() == pytest.approx(drawn.mean(), rel=0.02)
