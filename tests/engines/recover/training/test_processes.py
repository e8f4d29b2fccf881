"""Data-parallel training equals training in one process: the same steps, losses and weights up to rounding."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from references.compress import WORDS, save_tiny, tiny_model
from safetensors.torch import load_file
from transformers import LlamaConfig

from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.recover.results.work_folder import read_report
from curate.engines.recover.training.processes import SINGLE_PROCESS, ProcessGroup, join_group
from curate.flows.stages.recovering.job_process import launcher, run_job
from curate.schemas.corpus import MESSAGES
from curate.schemas.errors import CurateError, UsageError
from curate.schemas.recovery import RecoveryRequest

LLAMA: dict[str, Any] = {
    "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip


def test_every_row_has_one_process_and_the_tokens_are_balanced() -> None:
    lengths = [3, 50, 7, 7, 20, 1, 49]
    shares = [ProcessGroup(index, 3).own_rows(lengths) for index in range(3)]
    assert sorted(row for share in shares for row in share) == list(range(7))
    assert shares[0][0] == 1
    assert max(len(share) for share in shares) - min(len(share) for share in shares) == 1
    assert [ProcessGroup(index, 4).own_rows([5]) for index in range(4)] == [[0], [], [], []]
    assert SINGLE_PROCESS.own_rows(lengths) == list(range(7))


def test_a_single_process_exchanges_nothing() -> None:
    assert join_group(0, 1, "auto") is SINGLE_PROCESS
    assert SINGLE_PROCESS.gather(1.0, 2.0) == [[1.0, 2.0]]
    weight = torch.nn.Parameter(torch.ones(2))
    SINGLE_PROCESS.sum_gradients([weight])
    SINGLE_PROCESS.broadcast([weight])
    with SINGLE_PROCESS.first_before_others():
        assert weight.grad is None
    with pytest.raises(UsageError, match="2 processes need a CUDA device each, .* --device cuda:7 means a single one"):
        join_group(0, 2, "cuda:7")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return an original and its pruned copy with half of the weights zero."""
    folder = tmp_path_factory.mktemp("pair")
    dense = save_tiny(tiny_model(LlamaConfig(**LLAMA)), folder / "dense")
    model = tiny_model(LlamaConfig(**LLAMA))
    prune_magnitude(model, sparsity=0.5)
    return dense, save_tiny(model, folder / "half")


def make_job(folder: Path, pair: tuple[Path, Path], **changes: Any) -> Path:
    """Write a job of 22 rows with responses of one to seven words: a mean of two processes' means would be wrong."""
    words = [*WORDS, *WORDS]
    turns = [(" ".join(words[i : i + 2 + i % 4]), " ".join(words[i : i + 1 + i * i % 7])) for i in range(22)]
    messages = [
        [{"role": r, "content": c, "tool_call": False} for r, c in zip(("user", "assistant"), pair, strict=True)]
        for pair in turns
    ]
    settings: dict[str, Any] = {"method": "mask_lora", "rank": 2, "batch": 7, "epochs": 3, "learning_rate": 1e-2}
    request = RecoveryRequest(**{**settings, "checkpoint_steps": 5, "device": "cpu", **changes})
    description: dict[str, Any] = {"kind": "recover", "model": str(pair[1]), "original": str(pair[0])}
    description |= {"out": str(folder / "out"), "request": request.to_json(), "template_digest": None, "lineage": {}}
    job = folder / "job"
    job.mkdir(parents=True)
    (job / "job.json").write_text(json.dumps(description))
    pq.write_table(pa.table({"messages": pa.array(messages, MESSAGES)}), job / "rows.parquet")
    pq.write_table(pa.table({"messages": pa.array(messages[:5], MESSAGES)}), job / "heldout.parquet")
    return job


def report_of(folder: Path) -> dict[str, Any]:
    report = read_report(folder / "out")
    assert report is not None
    return report


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"method": "mask_lora"},
        {"method": "full", "learning_rate": 1e-3, "batch_tokens": 40},
        {"method": "scale_lora", "teacher_weight": 0.5, "reconstruct": True},
    ],
)
def test_two_processes_train_as_one_does(pair: tuple[Path, Path], tmp_path: Path, settings: dict[str, Any]) -> None:
    for count in (1, 2):
        run_job(make_job(tmp_path / str(count), pair, **settings), "recover", count)
    one, two = (report_of(tmp_path / str(count)) for count in (1, 2))
    assert (one["processes"], two["processes"]) == (1, 2)
    # Four steps a pass, the last with a single row: the other process then has none.
    assert one["steps"] == two["steps"] == 12
    for a, b in zip(one["metrics"], two["metrics"], strict=True):
        assert (a["tokens"], a["learning_rate"]) == (b["tokens"], b["learning_rate"])
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-4)
    before = load_file(pair[1] / "model.safetensors")
    weights = [load_file(tmp_path / str(count) / "out" / "model.safetensors") for count in (1, 2)]
    for name, weight in weights[1].items():
        assert torch.allclose(weight, weights[0][name], rtol=1e-4, atol=1e-5), name
        if "proj" in name:
            assert torch.equal(weight == 0, before[name] == 0)
    assert two["sparsity_after"] == two["sparsity_before"] == 0.5
    assert two["perplexity_after"] == pytest.approx(one["perplexity_after"], rel=1e-4)
    assert two["perplexity_after"] < two["perplexity_before"]
    log = (tmp_path / "2" / "job" / "job.log").read_text()
    assert "2 processes" in log
    assert log.count("step 12 of 12") == log.count("done: ") == 1


def start(job: Path) -> subprocess.Popen[bytes]:
    command = [*launcher(2), "-m", "curate.engines.job", str(job), "--for", str(os.getpid())]
    with (job / "output.log").open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=output)


def wait_for(job: Path, step: int) -> None:
    for _ in range(6000):
        lines = (job / "progress.jsonl").read_text().splitlines() if (job / "progress.jsonl").exists() else []
        if lines and json.loads(lines[-1])["step"] >= step:
            return
        time.sleep(0.02)
    raise TimeoutError(f"step {step} was not reached")


def second_of(running: subprocess.Popen[bytes]) -> int:
    """Return the process id of the second process that a launcher started."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    (second,) = (int(one) for one in children if b"\0RANK=1\0" in Path(f"/proc/{one}/environ").read_bytes())
    return second


@pytest.mark.slow
def test_two_processes_resume_after_signals(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Send SIGTERM to the launcher, SIGKILL to one of the two, then resume to the bits of an uninterrupted run."""
    long = {"epochs": 50, "checkpoint_steps": 25}
    whole = make_job(tmp_path / "whole", pair, **long)
    assert start(whole).wait() == 0

    job = make_job(tmp_path / "cut", pair, **long)
    running = start(job)
    wait_for(job, 12)
    running.send_signal(signal.SIGTERM)
    assert running.wait(60) != 0
    error = json.loads((job / "error.json").read_text())
    assert (error["exit_code"], "run the same command again to resume" in error["error"]) == (130, True)
    (kept,) = (job / "work" / "checkpoints").iterdir()
    assert f"stopped at step {int(kept.name[5:])} of 200" in error["error"]

    running = start(job)
    wait_for(job, 60)
    os.kill(second_of(running), signal.SIGKILL)
    assert running.wait(60) != 0
    error = json.loads((job / "error.json").read_text())
    assert error["exit_code"] == 1
    assert "another of the 2 processes that train together ended without an error message" in error["error"]
    assert not (tmp_path / "cut" / "out").exists()

    assert start(job).wait() == 0
    one, other = (tmp_path / name / "out" / "model.safetensors" for name in ("whole", "cut"))
    assert one.read_bytes() == other.read_bytes()
    losses = [[step["loss"] for step in report_of(tmp_path / name)["metrics"]] for name in ("whole", "cut")]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_a_failure_in_one_process_is_reported_once(pair: tuple[Path, Path], tmp_path: Path) -> None:
    job = make_job(tmp_path, pair)
    # Only the second process fails: its program replaces a function.
    code = (
        "import os, sys\n"
        "from curate.engines.recover.training import loop\n"
        "def broken(*_): raise ValueError('no such luck')\n"
        "if os.environ['RANK'] == '1': loop.make_batch = broken\n"
        "from curate.engines.job import main\n"
        f"sys.exit(main([{str(job)!r}]))\n"
    )
    (tmp_path / "broken.py").write_text(code)
    done = subprocess.run([*launcher(2), str(tmp_path / "broken.py")], capture_output=True, text=True)
    assert done.returncode != 0
    error = json.loads((job / "error.json").read_text())
    assert error["error"].startswith("process 2 of 2 failed (ValueError: no such luck); see ")
    assert error["exit_code"] == 1
    assert (job / "job.log").read_text().count("failed") == 1


@pytest.mark.slow
def test_errors_of_a_launched_job_reach_the_command(pair: tuple[Path, Path], tmp_path: Path) -> None:
    job = make_job(tmp_path, pair)
    description = json.loads((job / "job.json").read_text())
    (job / "job.json").write_text(json.dumps({**description, "model": "nowhere"}))
    with pytest.raises(CurateError, match="there is no model folder 'nowhere'") as raised:
        run_job(job, "recover", 2)
    assert raised.value.exit_code == 3
