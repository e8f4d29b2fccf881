"""The memory that a plan predicts is the memory that scoring uses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from corpora import write_corpus
from models import save_llama

from curate.engines.score.memory import (
    PROCESS_BYTES,
    ScoringLoad,
    concurrent_batches,
    device_peak,
    model_size,
    predict_memory,
)
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

WITHIN = 0.2


def save_wide(folder: Path, seed: int) -> Path:
    """Save a model of 17 million weights with the tokenizer of the tiny model."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    save_llama(folder)
    torch.manual_seed(seed)
    sizes = {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 4, "num_attention_heads": 8}
    LlamaForCausalLM(LlamaConfig(vocab_size=4000, **sizes)).save_pretrained(folder)
    return folder


def test_the_size_of_a_model_is_read_from_its_headers(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    save_llama(tmp_path)
    size, model = model_size(str(tmp_path)), AutoModelForCausalLM.from_pretrained(tmp_path)
    assert size.parameters == sum(weight.numel() for weight in model.parameters())
    assert size.stored_bytes == 4 * size.parameters
    assert (size.width, size.inner, size.vocabulary) == (16, 32, model.config.vocab_size)


def test_more_of_anything_takes_more_memory(tmp_path: Path) -> None:
    size = model_size(str(save_llama(tmp_path)))
    common = {"device": "cpu", "threads": 1, "dtype_bytes": 4, "batch_tokens": 256, "part_rows": 900,
              "row_tokens": 50.0, "longest": 64}  # fmt: skip

    def total(models: int = 1, **changes: object) -> int:
        return sum(predict_memory([size] * models, ScoringLoad(**(common | changes))).values())  # type: ignore[arg-type]

    assert total() < total(models=2)
    assert total() < total(threads=2) < total(threads=2, batch_tokens=512) < total(threads=2, batch_tokens=1024)
    assert total(models=2, sequential=True) < total(models=2)


def test_batches_run_side_by_side_only_while_their_logits_are_small() -> None:
    assert concurrent_batches("cpu", 4, 512, 32_000) == 4
    assert concurrent_batches("cpu", 64, 512, 32_000) == 1
    assert concurrent_batches("cuda", 64, 512, 512) == 1


def test_workers_on_a_cpu_share_its_memory_and_those_on_gpus_do_not() -> None:
    pieces = {"weights": 5, "process": 7}
    assert device_peak(pieces, 1, "cpu") == 12
    assert device_peak(pieces, 3, "cpu") == 36 + PROCESS_BYTES
    assert device_peak(pieces, 3, "cuda") == 12


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--workers", "2"), ("--layers", "all")])
def test_the_prediction_is_within_a_fifth_of_what_scoring_takes(tmp_path: Path, more: tuple[str, ...]) -> None:
    for seed, name in enumerate(("original", "compressed")):
        save_wide(tmp_path / name, seed)
    corpus = write_corpus(tmp_path / "corpus.jsonl", rows=400)
    parts = 2 if "--workers" in more else 1
    common = ["--corpus", corpus, "--warehouse", tmp_path / "w", "--threads", "1", "--json"]
    common += ["--part-rows", 400 // parts]
    models = ["--original", tmp_path / "original", "--compressed", tmp_path / "compressed", *more]

    def curate(*words: object) -> Any:
        command = [sys.executable, "-c", "from curate.flows.cli.main import main; main()", *map(str, [*words, *common])]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    curate("ingest")
    (step,) = (step for step in curate("plan", "--method", "donod", *models) if step["stage"] == "score")
    curate("score", *models)
    (scores,) = Warehouse(tmp_path / "w").list("scores")
    assert step["memory_mb"] == pytest.approx(scores.peak_memory_mb, rel=WITHIN)
