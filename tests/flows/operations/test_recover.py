"""`curate recover`: from a selection to a model, its rows in the catalog, and every refusal with its code."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from documents import ROOT
from safetensors.torch import load_file

from curate.flows import demo
from curate.schemas.corpus import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

FAST = ("--epochs", "2", "--batch", "8", "--rank", "2", "--learning-rate", "0.01")


def test_a_selection_becomes_a_model_with_its_zeros(
    curate: Run, selection: str, pair: tuple[Path, Path], warehouse: Path, tmp_path: Path
) -> None:
    out = tmp_path / "recovered"
    # The original is random, so that only the given answers can be learnt.
    command = ("recover", selection[:6], *FAST, "--teacher", "none", "-w", warehouse)
    answer = curate(*command, "--out", out, "--json")
    assert answer.code == 0, answer.err
    report = answer.value
    assert (report["method"], report["merged"], report["rows"]) == ("mask_lora", True, 20)
    assert report["sparsity_before"] == report["sparsity_after"] == 0.5
    assert report["perplexity_after"] < report["perplexity_before"]
    assert report["rows_heldout"] == 20  # the rows that were not selected
    before, after = (load_file(folder / "model.safetensors") for folder in (pair[1], out))
    assert all(((after[name] == 0) == (before[name] == 0)).all() for name in before if "proj" in name)
    assert "loss" in answer.err
    assert "tokens/s" in answer.err

    card = (out / "README.md").read_text()
    for output in (selection, "donod", "corpus.jsonl", "half", "loss: cross-entropy of the answers"):
        assert output in card
    assert str(tmp_path) not in card

    (row,) = curate("sql", "SELECT * FROM recoveries", "-w", warehouse, "--json").value
    assert (row["recovery_id"], row["selection_id"]) == (report["recovery_id"], selection)
    assert row["perplexity_after"] == pytest.approx(report["perplexity_after"])
    made_from = curate("sql", "SELECT role FROM lineage WHERE noun = 'recovery'", "-w", warehouse, "--json").value
    assert {one["role"] for one in made_from} == {"selection", "compressed", "original", "heldout"}
    counted = curate("sql", "SELECT count(*) AS n FROM recovery_steps", "-w", warehouse, "--json").value
    assert counted == [{"n": report["steps"]}]
    assert curate("doctor", "-w", warehouse).code == 0
    status = curate("status", "-w", warehouse, "--json").value
    assert f"recovery/{report['recovery_id']}" in status["runs"][0]["artefacts"]
    assert not list((warehouse / "jobs").iterdir())

    stamp = (out / "model.safetensors").stat().st_mtime_ns
    again = curate(*command, "--json")
    assert again.value["recovery_id"] == report["recovery_id"]
    assert (out / "model.safetensors").stat().st_mtime_ns == stamp
    assert curate(*command, "--out", out).code == 2


@pytest.mark.slow
def test_a_refusal_of_the_job_process_keeps_its_exit_code(curate: Run, selection: str, warehouse: Path) -> None:
    where = ("-w", warehouse)
    merging = curate("recover", "--method", "lora", *FAST, *where)
    assert (merging.code, "--method mask_lora" in merging.err) == (4, True)
    assert "Traceback" not in merging.err
    assert not list((warehouse / "jobs").iterdir())
    other = curate("recover", *FAST, "--max-length", "12", *where)
    assert (other.code, "tokenised differently than for their scores" in other.err) == (4, True)


def test_refusals_have_their_codes(
    curate: Run, selection: str, pair: tuple[Path, Path], corpus: Path, warehouse: Path
) -> None:
    where = ("-w", warehouse)
    unknown = curate("recover", "--method", "mask-lora", *where)
    assert (unknown.code, "did you mean 'mask_lora'" in unknown.err) == (2, True)
    assert curate("recover", "ffff", *where).code == 2
    assert curate("select", "--method", "uniform", "--corpus", corpus, *where).code == 0
    bare = curate("recover", *where)
    assert (bare.code, "pass --compressed FOLDER" in bare.err) == (3, True)
    assert curate("recover", "--heldout", "nowhere.jsonl", "--model", pair[1], *where).code == 3


def test_rows_drawn_without_scores_are_recovered_with_the_models_of_their_newest_run(
    curate: Run, corpus: Path, tiny: tuple[Path, Path], pair: tuple[Path, Path], warehouse: Path
) -> None:
    """One draw serves every pair, so that its last run says which one is meant."""
    select = ("select", "--method", "uniform", "-b", "0.5", "--corpus", corpus, "-w", warehouse, "--json")
    recover = ("recover", *FAST, "--dry-run", "-w", warehouse, "--json")
    drawn = curate(*select).value["selection_id"]
    assert curate(*recover).code == 3
    assert curate(*select, "--compressed", pair[1]).value["selection_id"] == drawn
    alone = curate(*recover).value
    assert (alone["method"], alone["loss"]) == ("mask_lora", "cross-entropy of the answers")
    assert curate(*select, "--original", pair[0], "--compressed", tiny[1]).value["selection_id"] == drawn
    taught = curate(*recover).value
    assert (taught["method"], taught["loss"]) == ("lora", "divergence from the original's predictions (KL)")
    # A run that names no model, or one that is not there, changes nothing.
    assert curate(*select, "--original", pair[0], "--compressed", "typo").value["selection_id"] == drawn
    assert curate(*select).value["selection_id"] == drawn
    assert curate(*recover).value["recovery_id"] == taught["recovery_id"]


def test_a_dry_run_counts_and_keeps_nothing(
    curate: Run, selection: str, pair: tuple[Path, Path], warehouse: Path
) -> None:
    where = ("-w", warehouse)
    report = curate("recover", *FAST, "--dry-run", *where, "--json").value
    assert (report["state"], report["method"], report["steps"], report["rows"]) == ("to do", "mask_lora", 6, 20)
    # Two layers, each with four 16 × 16 and three 16 × 32 projections, at rank 2.
    assert report["trainable"] == 2 * 2 * (4 * (16 + 16) + 3 * (16 + 32))
    assert report["tokens"] > 0
    assert report["seconds"] > 0
    assert report["memory"] > 8 * report["trainable"]
    assert report["loss"] == "divergence from the original's predictions (KL)"
    named = curate("recover", *FAST, "--teacher", "original", "--teacher-weight", "1", "--dry-run", *where, "--json")
    assert named.value["recovery_id"] == report["recovery_id"]
    output = curate("recover", *FAST, "--method", "full", "--dry-run", *where)
    assert "(100.00%)" in output.out
    assert not list((warehouse / "recovery").glob("*"))
    assert curate("recover", "--method", "lora", "--dry-run", *where).code == 4


def test_an_original_that_is_gone(
    curate: Run, corpus: Path, pair: tuple[Path, Path], warehouse: Path, tmp_path: Path
) -> None:
    """One sentence says what to do, and without a teacher the recovery does without."""
    models = ("--original", shutil.copytree(pair[0], tmp_path / "dense"), "--compressed", pair[1])
    chosen = curate("select", "--method", "donod", "-b", "0.5", "--corpus", corpus, *models, "-w", warehouse, "--json")
    selection = chosen.value["selection_id"]
    (tmp_path / "dense").rename(tmp_path / "archive")
    where = ("-w", warehouse)
    for more in ((), ("--teacher", "original"), ("--teacher", "none", "--reconstruct")):
        answer = curate("recover", *FAST, *more, "--dry-run", *where)
        assert answer.code == 3
        assert f"dense' of selection {selection} is not there any more" in answer.err
        assert "pass --original FOLDER if it has moved, or --teacher none" in answer.err
    plain = curate("recover", *FAST, "--teacher", "none", "--dry-run", *where, "--json")
    assert (plain.code, plain.value["loss"]) == (0, "cross-entropy of the answers")
    moved = curate("recover", *FAST, "--original", tmp_path / "archive", "--dry-run", *where, "--json")
    assert "divergence" in moved.value["loss"]


@pytest.mark.slow
def test_predictions_of_the_original_are_computed_once(
    curate: Run, corpus: Path, pair: tuple[Path, Path], warehouse: Path, tmp_path: Path
) -> None:
    """A recovery uses the cache of sequential scoring, and the next recovery uses the cache of the first."""
    models = ("--original", pair[0], "--compressed", pair[1], "--corpus", corpus, "-w", warehouse)
    taught = ("recover", *FAST, "--teacher", "original", "-w", warehouse)
    assert curate("select", "--method", "donod", "-b", "0.5", "--sequential", *models).code == 0
    output = curate(*taught, "--dry-run").out
    assert "20 rows cached, 0 to compute" in output
    answer = curate(*taught, "--json")
    assert answer.code == 0, answer.err
    assert answer.value["sparsity_after"] == 0.5
    assert "rows read" not in answer.err
    assert len(list((warehouse / "cache" / "teachers").iterdir())) == 1

    topped = (*taught, "--teacher-cache", "topk=4")
    plan = curate(*topped, "--dry-run", "--json").value
    assert (plan["teacher"]["rows"], plan["teacher"]["rows_to_read"]) == (0, 20)
    assert "original: 20 of 20 rows read" in curate(*topped).err
    assert curate("compress", pair[0], "-m", "magnitude", "-s", "0.25", "-o", tmp_path / "quarter").code == 0
    other = curate(*topped, "--model", tmp_path / "quarter", "--original", pair[0], "--json")
    assert (other.code, other.value["sparsity_after"]) == (0, pytest.approx(0.25, abs=0.01))
    assert "rows read" not in other.err
    assert len(list((warehouse / "cache" / "teachers").iterdir())) == 2


def test_doctor_inspects_models(curate: Run, pair: tuple[Path, Path], tmp_path: Path) -> None:
    report = curate("doctor", pair[1], "--json").value
    assert (report["kinds"], report["sparsity"], report["method"]) == (["unstructured"], 0.5, "mask_lora")
    output = curate("doctor", pair[0]).out
    assert "dense" in output
    assert "lora: the model has no zeros to keep" in output
    assert curate("doctor", tmp_path / "none").code == 3


@pytest.mark.slow
def test_a_trusted_pickle_is_inspected_and_recovered(
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
    report = curate("doctor", tmp_path / "pytorch_model.bin", "--trust-pickle", *where, "--json")
    assert report.value["kinds"] == ["dense"]
    assert curate("select", "--method", "uniform", "--corpus", corpus, "-b", "12", *where).code == 0
    trusted = ("--model", tmp_path / "pytorch_model.bin", "--trust-pickle")
    done = curate("recover", *FAST, *trusted, *where, "--json")
    assert done.code == 0, done.err
    assert done.value["method"] == "lora"


@pytest.mark.slow
def test_the_demo_is_recovered_with_its_own_settings(curate: Run, warehouse: Path) -> None:
    assert curate("select", "--method", "uniform", "-b", "0.05", "-w", warehouse).code == 0
    report = curate("recover", "-w", warehouse, "--json").value
    assert report["settings"]["learning_rate"] == demo.RECOVERY["learning_rate"]
    assert report["rows_heldout"] == 1650
    assert report["perplexity_after"] < 0.95 * report["perplexity_before"]
    assert report["sparsity_after"] == report["sparsity_before"]


@pytest.mark.slow
def test_the_commands_of_the_recovery_page_run(curate: Run, corpus: Path, pair: tuple[Path, Path]) -> None:
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [("--tokens", "top=0.5", "--teacher", "none"), ("--tokens", "top=0.5", "--teacher", "original")]
)
def test_training_on_the_most_diverged_tokens(
    curate: Run, selection: str, warehouse: Path, how: tuple[str, ...]
) -> None:
    answer = curate("recover", selection, *FAST, *how, "-w", warehouse, "--json")
    assert answer.code == 0, answer.err
    assert answer.value["perplexity_after"] < answer.value["perplexity_before"]


@pytest.mark.slow
def test_weights_of_groups_follow_their_losses(
    curate: Run, corpus: Path, pair: tuple[Path, Path], warehouse: Path
) -> None:
    fixed = ("--corpus", corpus, "--original", pair[0], "--compressed", pair[1], "-w", warehouse, "--json")
    how = ("--stratify", "clusters", "--clusters", "2")
    selection = curate("select", "--method", "donod", "-b", "0.5", *how, *fixed).value["selection_id"]
    answer = curate("recover", selection, *FAST, "--reweigh", "1", "-w", warehouse, "--json")
    assert answer.code == 0, answer.err
    weights = answer.value["group_weights"]
    assert sorted(weights) == ["0", "1"]
    assert weights["0"] != weights["1"]


@pytest.mark.slow
def test_a_sorted_model_is_recovered_for_two_widths_and_truncated(
    curate: Run, corpus: Path, tiny: tuple[Path, Path], warehouse: Path, tmp_path: Path
) -> None:
    """Sort, select, recover, truncate and evaluate, as docs/compression.md says."""
    shared = ("--corpus", corpus, "-w", warehouse)
    assert curate("compress", tiny[0], "-m", "sort", "-o", tmp_path / "sorted", *shared).code == 0
    models = ("--original", tiny[0], "--compressed", tmp_path / "sorted")
    assert curate("select", "--method", "uniform", "-b", "0.5", *models, *shared).code == 0
    recover = ("recover", *FAST, "--teacher", "none", "--elastic", "0.5", "-w", warehouse)
    refused = curate(*recover, "--model", tiny[0])
    assert (refused.code, "has no elastic.json" in refused.err) == (3, True), refused.err
    wide = (*recover, "--model", tmp_path / "sorted")
    answer = curate(*wide, "--out", tmp_path / "recovered")
    assert answer.code == 0, answer.err
    assert re.search(r"perplexity at [0-9,]+ channels \(50%\)", answer.out)
    report = curate(*wide, "--json").value
    assert [width["share"] for width in report["elastic"]] == [1.0, 0.5]
    narrow = ("-m", "truncate", "-s", "0.5", "-o", tmp_path / "narrow")
    assert curate("compress", tmp_path / "recovered", *narrow, "-w", warehouse).code == 0
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("".join(corpus.read_text().splitlines(keepends=True)[:5]))
    evaluated = curate(
        "evaluate", tmp_path / "narrow", "--tasks", tasks, "--no-decontaminate", *models, *shared, "--json"
    )
    assert evaluated.code == 0, evaluated.err
