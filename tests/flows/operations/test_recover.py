"""`curate recover`: from a selection to a model, its rows in the catalog, and every refusal with its code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from documents import ROOT
from safetensors.torch import load_file

from curate.flows import demo
from curate.schemas.corpus import Turn
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

FAST = ("--epochs", "2", "--batch", "8", "--rank", "2", "--learning-rate", "0.01")


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "warehouse"


@pytest.fixture
def pair(curate: Run, tiny: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Return a model and the same model, half pruned."""
    assert curate("compress", tiny[0], "-s", "0.5", "-o", tmp_path / "half").code == 0
    return tiny[0], tmp_path / "half"


@pytest.fixture
def selection(curate: Run, corpus: Path, pair: tuple[Path, Path], warehouse: Path) -> str:
    """Return the id of a selection with scores of the pair."""
    models = ("--original", pair[0], "--compressed", pair[1])
    told = curate("select", "--method", "donod", "-b", "0.5", "--corpus", corpus, *models, "-w", warehouse, "--json")
    assert told.code == 0, told.err
    return str(told.value["selection_id"])


def test_a_selection_becomes_a_model_with_its_zeros(
    curate: Run, selection: str, pair: tuple[Path, Path], warehouse: Path, tmp_path: Path
) -> None:
    out = tmp_path / "recovered"
    command = ("recover", selection[:6], *FAST, "-w", warehouse)
    answer = curate(*command, "--out", out, "--json")
    assert answer.code == 0, answer.err
    told = answer.value
    assert (told["method"], told["merged"], told["rows"]) == ("mask_lora", True, 20)
    assert told["sparsity_before"] == told["sparsity_after"] == 0.5
    assert told["perplexity_after"] < told["perplexity_before"]
    assert told["rows_heldout"] == 20  # the rows that were not selected
    before, after = (load_file(folder / "model.safetensors") for folder in (pair[1], out))
    assert all(((after[name] == 0) == (before[name] == 0)).all() for name in before if "proj" in name)
    assert "loss" in answer.err
    assert "tokens/s" in answer.err

    card = (out / "README.md").read_text()
    for said in (selection, "donod", "corpus.jsonl", "half"):
        assert said in card
    assert str(tmp_path) not in card

    (row,) = curate("sql", "SELECT * FROM recoveries", "-w", warehouse, "--json").value
    assert (row["recovery_id"], row["selection_id"]) == (told["recovery_id"], selection)
    assert row["perplexity_after"] == pytest.approx(told["perplexity_after"])
    made_from = curate("sql", "SELECT role FROM lineage WHERE noun = 'recovery'", "-w", warehouse, "--json").value
    assert {one["role"] for one in made_from} == {"selection", "compressed", "original", "heldout"}
    counted = curate("sql", "SELECT count(*) AS n FROM recovery_steps", "-w", warehouse, "--json").value
    assert counted == [{"n": told["steps"]}]
    assert curate("doctor", "-w", warehouse).code == 0
    status = curate("status", "-w", warehouse, "--json").value
    assert f"recovery/{told['recovery_id']}" in status["runs"][0]["artefacts"]
    assert not list((warehouse / "jobs").iterdir())

    stamp = (out / "model.safetensors").stat().st_mtime_ns
    again = curate(*command, "--json")
    assert again.value["recovery_id"] == told["recovery_id"]
    assert (out / "model.safetensors").stat().st_mtime_ns == stamp
    assert curate(*command, "--out", out).code == 2


@pytest.mark.slow
def test_a_job_that_refuses_says_so_with_its_own_code(curate: Run, selection: str, warehouse: Path) -> None:
    where = ("-w", warehouse)
    merging = curate("recover", "--method", "lora", *FAST, *where)
    assert (merging.code, "--method mask_lora" in merging.err) == (4, True)
    assert "Traceback" not in merging.err
    assert not list((warehouse / "jobs").iterdir())
    other = curate("recover", *FAST, "--max-length", "12", *where)
    assert (other.code, "laid out otherwise than they were scored" in other.err) == (4, True)


def test_refusals_have_their_codes(
    curate: Run, selection: str, pair: tuple[Path, Path], corpus: Path, warehouse: Path
) -> None:
    where = ("-w", warehouse)
    unknown = curate("recover", "--method", "mask-lora", *where)
    assert (unknown.code, "did you mean 'mask_lora'" in unknown.err) == (2, True)
    assert curate("recover", "ffff", *where).code == 2
    assert curate("select", "--method", "uniform", "--corpus", corpus, *where).code == 0
    bare = curate("recover", *where)
    assert (bare.code, "pass --model FOLDER" in bare.err) == (3, True)
    assert curate("recover", "--heldout", "nowhere.jsonl", "--model", pair[1], *where).code == 3


def test_a_dry_run_counts_and_keeps_nothing(
    curate: Run, selection: str, pair: tuple[Path, Path], warehouse: Path
) -> None:
    where = ("-w", warehouse)
    told = curate("recover", *FAST, "--dry-run", *where, "--json").value
    assert (told["state"], told["method"], told["steps"], told["rows"]) == ("to do", "mask_lora", 6, 20)
    # Two layers, each with four 16 × 16 and three 16 × 32 projections, at rank 2.
    assert told["trainable"] == 2 * 2 * (4 * (16 + 16) + 3 * (16 + 32))
    assert told["tokens"] > 0
    assert told["seconds"] > 0
    assert told["memory"] > 8 * told["trainable"]
    said = curate("recover", *FAST, "--method", "full", "--dry-run", *where)
    assert "(100.00%)" in said.out
    assert not list((warehouse / "recovery").glob("*"))
    assert curate("recover", "--method", "lora", "--dry-run", *where).code == 4


@pytest.mark.slow
def test_a_teacher_reads_no_row_twice(
    curate: Run, corpus: Path, pair: tuple[Path, Path], warehouse: Path, tmp_path: Path
) -> None:
    """What scoring one model at a time left serves a recovery, and what a recovery left the next model's."""
    models = ("--original", pair[0], "--compressed", pair[1], "--corpus", corpus, "-w", warehouse)
    taught = ("recover", *FAST, "--teacher", "original", "-w", warehouse)
    assert curate("select", "--method", "donod", "-b", "0.5", "--sequential", *models).code == 0
    said = curate(*taught, "--dry-run").out
    assert "20 rows read before, 0 to read" in said
    answer = curate(*taught, "--json")
    assert answer.code == 0, answer.err
    assert answer.value["sparsity_after"] == 0.5
    assert "rows read" not in answer.err
    assert len(list((warehouse / "cache" / "teachers").iterdir())) == 1

    topped = (*taught, "--teacher-cache", "topk=4")
    plan = curate(*topped, "--dry-run", "--json").value
    assert (plan["teacher"]["rows"], plan["teacher"]["rows_to_read"]) == (0, 20)
    assert "original: 20 of 20 rows read" in curate(*topped).err
    assert curate("compress", pair[0], "-s", "0.25", "-o", tmp_path / "quarter").code == 0
    other = curate(*topped, "--model", tmp_path / "quarter", "--original", pair[0], "--json")
    assert (other.code, other.value["sparsity_after"]) == (0, pytest.approx(0.25, abs=0.01))
    assert "rows read" not in other.err
    assert len(list((warehouse / "cache" / "teachers").iterdir())) == 2


def test_a_doctor_looks_at_models_too(curate: Run, pair: tuple[Path, Path], tmp_path: Path) -> None:
    told = curate("doctor", pair[1], "--json").value
    assert (told["kinds"], told["sparsity"], told["method"]) == (["unstructured"], 0.5, "mask_lora")
    said = curate("doctor", pair[0]).out
    assert "dense" in said
    assert "lora: the model has no zeros to keep" in said
    assert curate("doctor", tmp_path / "none").code == 3


@pytest.mark.slow
def test_a_trusted_pickle_is_looked_at_and_recovered(
    curate: Run, corpus: Path, tiny: tuple[Path, Path], warehouse: Path, tmp_path: Path
) -> None:
    import torch

    from curate.engines.models.loading import load_model
    from curate.engines.models.tokenizers import load_tokenizer

    model = load_model(tiny[1], torch.device("cpu"), None)
    torch.save({"model": model, "tokenizer": load_tokenizer(tiny[1])}, tmp_path / "pytorch_model.bin")
    where = ("-w", warehouse)
    refused = curate("doctor", tmp_path / "pytorch_model.bin", *where)
    assert (refused.code, "add --trust-pickle" in refused.err) == (3, True)
    told = curate("doctor", tmp_path / "pytorch_model.bin", "--trust-pickle", *where, "--json")
    assert told.value["kinds"] == ["dense"]
    assert curate("select", "--method", "uniform", "--corpus", corpus, "-b", "12", *where).code == 0
    trusted = ("--model", tmp_path / "pytorch_model.bin", "--trust-pickle")
    done = curate("recover", *FAST, *trusted, *where, "--json")
    assert done.code == 0, done.err
    assert done.value["method"] == "lora"


def command(warehouse: Path, *more: str) -> list[str]:
    code = "import sys; from curate.flows.cli.main import main; main(sys.argv[1:])"
    how = ("--epochs", "100", *FAST[2:], "-w", str(warehouse), "--json")
    return [sys.executable, "-c", code, "recover", *how, *more]


def progressed(warehouse: Path) -> int:
    found = list((warehouse / "jobs").glob("*/progress.jsonl"))
    lines = found[0].read_text().splitlines() if found else []
    return int(json.loads(lines[-1])["step"]) if lines else 0


def cut_off(warehouse: Path, number: signal.Signals, *more: str) -> subprocess.Popen[str]:
    """Start the command, end it by a signal after its first checkpoint, and return it."""
    running = subprocess.Popen(command(warehouse, *more), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while progressed(warehouse) < 60:
        assert running.poll() is None
        time.sleep(0.02)
    os.kill(running.pid, number)
    return running


@pytest.mark.slow
def test_a_killed_command_goes_on_to_the_same_bits(selection: str, warehouse: Path) -> None:
    whole = warehouse.with_name("whole")
    subprocess.run(["cp", "-r", str(warehouse), str(whole)], check=True)
    assert cut_off(warehouse, signal.SIGKILL).wait() == -9
    told = [
        json.loads(subprocess.run(command(place), check=True, capture_output=True, text=True).stdout)
        for place in (warehouse, whole)
    ]
    models = [Path(one["model"]) / "model.safetensors" for one in told]
    assert models[0].read_bytes() == models[1].read_bytes()
    losses = [
        Warehouse(place).read("recovery", one["recovery_id"])["loss"]
        for place, one in zip((warehouse, whole), told, strict=True)
    ]
    assert losses[0].equals(losses[1])


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_terminated_command_waits_for_the_checkpoint_of_its_job(
    selection: str, warehouse: Path, processes: str
) -> None:
    running = cut_off(warehouse, signal.SIGTERM, "--processes", processes)
    _, said = running.communicate()
    assert running.returncode == 130
    assert "the same command goes on where it stopped" in said
    (job,) = (warehouse / "jobs").iterdir()
    kept = sorted(path.name for path in (job / "work" / "checkpoints").iterdir())
    assert int(kept[-1].removeprefix("step-")) >= 60


@pytest.mark.slow
def test_the_demo_is_recovered_by_its_own_recipe(curate: Run, warehouse: Path) -> None:
    assert curate("select", "--method", "uniform", "-b", "0.05", "-w", warehouse).code == 0
    told = curate("recover", "-w", warehouse, "--json").value
    assert told["settings"]["learning_rate"] == demo.RECOVERY["learning_rate"]
    assert told["rows_heldout"] == 1650
    assert told["perplexity_after"] < 0.95 * told["perplexity_before"]
    assert told["sparsity_after"] == told["sparsity_before"]


@pytest.mark.slow
def test_the_page_on_recovery_does_what_it_says(curate: Run, corpus: Path, pair: tuple[Path, Path]) -> None:
    """Run every command of docs/recovery.md, and its Python, on small models in the folders that it names."""
    os.symlink(pair[0].parent, "models")
    settings = f'corpus = ["{corpus}"]\noriginal = "models/original"\ncompressed = "models/compressed"\n'
    Path("curate.toml").write_text(settings + '[select]\nmethod = "donod"\n[recover]\nepochs = 1\nbatch = 8\n')
    page = (ROOT / "docs" / "recovery.md").read_text()
    lines = [line.strip() for line in page.splitlines() if line.startswith("    ")]
    commands = [line for line in lines if line.startswith("curate ")]
    assert len(commands) >= 6
    for line in commands:
        answer = curate(*line.split()[1:])
        assert answer.code == 0, f"{line}\n{answer.err}"
    assert Path("recovered/model.safetensors").is_file()
    program = [line for line in lines if not line.startswith("curate ")]
    assert program[0].startswith("from curate.engines.recover import")
    rows = [[Turn("user", "say hello"), Turn("assistant", "hello again")]] * 4
    exec("\n".join(program), {"rows": rows, "heldout": rows})
    assert Path("out/recovery.json").is_file()
