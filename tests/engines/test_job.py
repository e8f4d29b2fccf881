"""The job process: its files, signals, and resuming after a kill without a change of the result."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from references.compress import WORDS, save_tiny, tiny_model
from transformers import LlamaConfig

from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.job import main, step_line
from curate.engines.recover.results.work_folder import read_report
from curate.schemas.corpus import MESSAGES
from curate.schemas.recovery import RecoveryRequest
from curate.schemas.recovery_metrics import METRICS

if TYPE_CHECKING:
    from pathlib import Path

BLOCKED = ("polars", "duckdb", "prefect", "pydantic", "datasets")


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    model = tiny_model(LlamaConfig(**sizes, **heads, bos_token_id=1, eos_token_id=2, pad_token_id=0))
    prune_magnitude(model, sparsity=0.5)
    return save_tiny(model, tmp_path_factory.mktemp("sparse") / "model")


def make_job(folder: Path, model: Path, **changes: Any) -> Path:
    """Write a job of 24 rows, with ``out`` beside it as the output folder."""
    words = [*WORDS, *WORDS]
    turns = [(" ".join(words[i % 20 : i % 20 + 3]), words[i % 20]) for i in range(24)]
    messages = [
        [{"role": r, "content": c, "tool_call": False} for r, c in zip(("user", "assistant"), pair, strict=True)]
        for pair in turns
    ]
    settings: dict[str, Any] = {"method": "mask_lora", "rank": 2, "batch": 6, "epochs": 5, "learning_rate": 1e-2}
    request = RecoveryRequest(**{**settings, "checkpoint_steps": 5, **changes})
    description: dict[str, Any] = {"kind": "recover", "model": str(model), "original": None, "out": str(folder / "out")}
    description |= {"request": request.to_json(), "template_digest": None, "lineage": {"selection": "abc"}}
    job = folder / "job"
    job.mkdir(parents=True)
    (job / "job.json").write_text(json.dumps(description))
    pq.write_table(pa.table({"messages": pa.array(messages, MESSAGES)}), job / "rows.parquet")
    pq.write_table(pa.table({"messages": pa.array(messages[:5], MESSAGES)}), job / "heldout.parquet")
    return job


def start(job: Path, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "curate.engines.job", str(job), *options], stderr=subprocess.PIPE)


def steps(job: Path) -> list[int]:
    path = job / "progress.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["step"] for line in lines]


def wait_for(job: Path, step: int) -> None:
    for _ in range(6000):
        if (finished := steps(job)) and finished[-1] >= step:
            return
        time.sleep(0.01)
    raise TimeoutError(f"step {step} was not reached")


def weights(folder: Path) -> bytes:
    return (folder / "out" / "model.safetensors").read_bytes()


def test_a_job_writes_model_report_metrics_and_log(
    sparse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    job = make_job(tmp_path, sparse)
    assert main([str(job)]) == 0
    for number, handler in handlers.items():
        signal.signal(number, handler)
    report = read_report(tmp_path / "out")
    assert report is not None
    assert (report["method"], report["steps"], report["rows_heldout"]) == ("mask_lora", 20, 5)
    assert report["perplexity_after"] < report["perplexity_before"]
    assert pa.Table.from_pylist(report["metrics"], schema=METRICS).num_rows == 20
    assert steps(job) == list(range(1, 21))
    log = (job / "job.log").read_text()
    assert "step 20 of 20: loss " in log
    assert "done: mask_lora, 20 steps" in log
    assert not (job / "error.json").exists()


def test_a_step_is_logged_with_speed_and_time_left() -> None:
    entry = {"step": 5, "loss": 1.25, "tokens": 3000, "seconds": 2.0}
    assert step_line(entry, 35) == "step 5 of 35: loss 1.2500, 1,500 tokens/s, 1.0 min left"


@pytest.mark.parametrize(
    ("change", "code", "piece"),
    [
        ({"kind": "dance"}, 3, "has kind 'dance'"),
        ({"model": "nowhere"}, 3, "there is no model folder"),
        ({"template_digest": "else"}, 4, "tokenised differently"),
    ],
)
def test_a_failed_job_records_its_error(
    sparse: Path, tmp_path: Path, change: dict[str, Any], code: int, piece: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    job = make_job(tmp_path, sparse)
    description = json.loads((job / "job.json").read_text())
    (job / "job.json").write_text(json.dumps({**description, **change}))
    assert main([str(job)]) == code
    error = json.loads((job / "error.json").read_text())
    assert error["exit_code"] == code
    assert piece in error["error"]
    assert main([str(tmp_path / "none")]) == 3


@pytest.mark.slow
def test_training_needs_no_warehouse_packages(sparse: Path, tmp_path: Path) -> None:
    """A GPU machine needs torch, transformers, peft and pyarrow only."""
    job = make_job(tmp_path, sparse)
    code = f"import sys\nfor name in {BLOCKED}: sys.modules[name] = None\n"
    code += f"from curate.engines.job import main\nsys.exit(main([{str(job)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mask_lora", "full"])
def test_a_killed_job_resumes_to_the_same_bits(sparse: Path, tmp_path: Path, method: str) -> None:
    long = {"method": method, "epochs": 40}
    whole = make_job(tmp_path / "whole", sparse, **long)
    assert start(whole).wait() == 0
    job = make_job(tmp_path / "cut", sparse, **long)
    for reached in (23, 97):
        victim = start(job)
        wait_for(job, reached)
        os.kill(victim.pid, signal.SIGKILL)
        assert victim.wait() == -signal.SIGKILL
        assert not (tmp_path / "cut" / "out").exists()
    assert start(job).wait() == 0
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    one, other = read_report(tmp_path / "cut" / "out"), read_report(tmp_path / "whole" / "out")
    assert one is not None
    assert other is not None
    assert [e["loss"] for e in one["metrics"]] == [e["loss"] for e in other["metrics"]]
    # Every attempt started at the last checkpoint of the one before, not at the first step.
    restarts = [step for step, before in zip(steps(job)[1:], steps(job), strict=False) if step <= before]
    assert all(step % 5 == 1 and step > 15 for step in restarts)
    assert len(restarts) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_writes_a_checkpoint_and_exits(sparse: Path, tmp_path: Path, number: signal.Signals) -> None:
    job = make_job(tmp_path, sparse, epochs=200, checkpoint_steps=10_000)
    running = start(job)
    wait_for(job, 7)
    running.send_signal(number)
    assert running.wait(60) == 130
    (kept,) = (job / "work" / "checkpoints").iterdir()
    assert kept.name == f"step-{steps(job)[-1]:06d}"
    assert "run the same command again to resume" in json.loads((job / "error.json").read_text())["error"]


@pytest.mark.slow
def test_a_job_ends_with_the_process_that_started_it(sparse: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path, sparse, epochs=2000)
    code = "import os, subprocess, sys, time; subprocess.Popen([*sys.argv[1:], str(os.getpid())]); time.sleep(600)"
    command = [sys.executable, "-m", "curate.engines.job", str(job), "--for"]
    parent = subprocess.Popen([sys.executable, "-c", code, *command], stderr=subprocess.DEVNULL)
    wait_for(job, 5)
    parent.kill()
    parent.wait()
    for _ in range(600):
        if (job / "error.json").exists():
            break
        time.sleep(0.1)
    assert json.loads((job / "error.json").read_text())["exit_code"] == 130
    assert list((job / "work" / "checkpoints").iterdir())


@pytest.mark.slow
def test_a_second_process_waits_for_the_first(sparse: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path, sparse, epochs=60)
    both = [start(job) for _ in range(2)]
    codes = sorted(one.wait() for one in both)
    # The second waits for the lock, then sees that the result exists.
    assert codes == [0, 2]
    assert "exists and is not empty" in (job / "job.log").read_text()
    shutil.rmtree(job)
