"""Bad input from the command line: the exit code, one sentence without a traceback, and no good row lost."""

from __future__ import annotations

import errno
import gzip
import json
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from models import WORDS, save_llama

from curate.storage.warehouse import atomic
from curate.storage.warehouse.lock import locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

USAGE, INPUT, ENVIRONMENT = 2, 3, 1


def assert_error(answer: Any, code: int, *pieces: str) -> None:
    """Assert the exit code, and a one-sentence error on stderr that contains every piece."""
    assert answer.code == code, answer.err
    assert "Traceback" not in answer.err
    message = answer.err.strip().splitlines()[-1]
    assert message.startswith("curate: ") or "Error" in answer.err
    for piece in pieces:
        assert piece in answer.err, answer.err


@pytest.mark.parametrize(
    ("budget", "piece"),
    [("0", "not positive"), ("1.5", "more than the whole corpus"), ("-3", "not positive"), ("abc", "not a number"),
     ("41", "larger than the corpus, which has 40 examples"), ("101%", "more than the whole"), ("nan", "not a number")],
)  # fmt: skip
def test_invalid_budgets(curate: Run, corpus: Path, budget: str, piece: str) -> None:
    assert_error(curate("select", "--method", "uniform", "--corpus", corpus, "--budget", budget), USAGE, piece, budget)


def test_a_budget_that_is_larger_than_the_corpus_in_tokens(curate: Run, corpus: Path, tiny: tuple[Path, Path]) -> None:
    models = ("--compressed", tiny[1])
    answer = curate("select", "--method", "uniform", "--corpus", corpus, *models, "--budget", "1M-tokens")
    assert_error(answer, USAGE, "larger than the corpus", "tokens")


def test_a_budget_that_rounds_to_no_row(curate: Run, corpus: Path) -> None:
    answer = curate("select", "--method", "uniform", "--corpus", corpus, "--budget", "0.01")
    assert_error(answer, INPUT, "rounds to 0 rows")


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [
        (["--method", "pasre"], "did you mean 'paser'"),
        (["--anchor-share", "0.2"], "--anchor-share does not apply"),
        (["--method", "donod", "--don-weight", "3"], "--don-weight"),
        (["--consistency", "loose"], "--consistency"),
        (["--max-length", "1"], "score.max_length"),
        (["--map", "response"], "--map"),
        (["--pin", "@missing-file"], "missing-file"),
    ],
)
def test_invalid_options(curate: Run, corpus: Path, arguments: list[str], piece: str) -> None:
    answer = curate("select", "-m", "paser", "--corpus", corpus, "--compressed", "m", "--original", "m", *arguments)
    assert_error(answer, INPUT if "@missing-file" in arguments else USAGE, piece)


def test_an_unknown_option_and_no_verb(curate: Run) -> None:
    assert curate("select", "--bugdet", "0.1").code == USAGE
    assert curate("slect").code == USAGE


def test_unknown_keys_of_the_settings_file(curate: Run, corpus: Path) -> None:
    with open("curate.toml", "w") as file:
        file.write('[select]\nbudgt = "0.1"\n')
    assert_error(curate("select", "--corpus", corpus), USAGE, "budgt", "did you mean 'budget'")
    with open("curate.toml", "w") as file:
        file.write("not toml at all")
    assert_error(curate("select", "--corpus", corpus), USAGE, "curate.toml")


def bad_file(folder: Path, kind: str) -> Path:
    """Write a corpus file that cannot be used."""
    path = folder / f"{kind}.jsonl"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "columns":
        path.write_text('{"alpha": 1, "beta": 2}\n')
    elif kind == "no-response":
        path.write_text('{"instruction": "say", "input": "", "output": ""}\n' * 3)
    elif kind == "truncated":
        path = folder / "truncated.jsonl.gz"
        lines = "".join(
            json.dumps({"instruction": f"say {os.urandom(20).hex()}", "output": "yes"}) + "\n" for _ in range(900)
        )
        compressed = gzip.compress(lines.encode())
        path.write_bytes(compressed[: len(compressed) // 2])
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "columns", "no-response"])
def test_corpora_that_cannot_be_used(curate: Run, tmp_path: Path, kind: str) -> None:
    path = bad_file(tmp_path, kind)
    answer = curate("select", "--method", "uniform", "--corpus", path, "--budget", "1")
    assert_error(answer, INPUT, path.name)


def test_models_that_cannot_be_used(curate: Run, corpus: Path, tiny: tuple[Path, Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty-model"
    empty.mkdir()
    (empty / "config.json").write_text((tiny[0] / "config.json").read_text())
    other_vocabulary = save_llama(tmp_path / "other-words", words=[*WORDS[:-1], "maybe"])
    wider = save_llama(tmp_path / "wider", extra_rows=3)
    cases = ((empty, "weights"), (tmp_path / "absent", "absent"), (other_vocabulary, "maybe"), (wider, "vocabulary"))
    for compressed, piece in cases:
        answer = curate(
            "select", "--method", "donod", "--corpus", corpus, "--original", tiny[0], "--compressed", compressed
        )
        assert_error(answer, INPUT, piece)


def test_a_pair_is_needed_where_two_models_are_compared(curate: Run, corpus: Path, tiny: tuple[Path, Path]) -> None:
    paser = ("select", "--method", "paser", "--corpus", corpus)
    assert_error(curate(*paser, "--compressed", tiny[1]), USAGE, "--original", "donod")
    assert_error(curate(*paser), INPUT, "--compressed")
    assert_error(curate("select", "--compressed", tiny[1], "--method", "donod"), USAGE, "--corpus")


def test_rows_that_are_quarantined(curate: Run, tmp_path: Path) -> None:
    good = [json.dumps({"instruction": f"say {row}", "input": "", "output": "yes"}) for row in range(5000)]
    lines = list(good)
    lines[3999] = '{"instruction": "say", "output": '
    lines[4100] = '{"instruction": "half a pair \\ud83d", "output": "yes"}'
    lines[4200] = '{"instruction": "nothing\\u0000here", "output": "yes"}'
    lines[4300] = json.dumps({"instruction": "long", "output": "yes " * 262_144})
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join(lines) + "\n")
    answer = curate("select", "--method", "uniform", "--corpus", path, "--budget", "0.1", "--json")
    assert answer.code == 0, answer.err
    assert answer.value["n_examples"] + answer.value["corpus"]["n_quarantined"] == 5000
    assert answer.value["corpus"]["n_quarantined"] <= 3
    rows = curate("sql", 'SELECT source, row, "column", reason FROM quarantine ORDER BY row', "--json")
    broken = json.loads(rows.out)[0]
    assert (broken["source"], broken["row"]) == ("mixed.jsonl", 4000)
    assert "JSON" in broken["reason"]


def test_a_corpus_of_one_row(curate: Run, tmp_path: Path, tiny: tuple[Path, Path]) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text('{"instruction": "name a fruit", "input": "", "output": "apple"}\n')
    models = ("--original", tiny[0], "--compressed", tiny[1])
    answer = curate("select", "--corpus", path, *models, "--budget", "1", "--json")
    assert answer.code == 0, answer.err
    assert answer.value["n_kept"] == 1


def test_a_warehouse_that_cannot_be_written(curate: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(error: int) -> Callable[..., None]:
        def rename(source: Path, target: Path) -> None:
            raise OSError(error, os.strerror(error), str(target))

        return rename

    for error, piece in ((errno.EROFS, "--warehouse"), (errno.ENOSPC, "free some space")):
        monkeypatch.setattr(atomic, "rename", refuse(error))
        assert_error(curate("select", "--method", "uniform", "--corpus", corpus), ENVIRONMENT, piece)
    monkeypatch.undo()


def test_a_warehouse_that_is_a_file(curate: Run, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    answer = curate("select", "--method", "uniform", "--corpus", corpus, "--warehouse", tmp_path / "taken")
    assert_error(answer, ENVIRONMENT, "taken")


def test_a_disk_that_is_full(corpus: Path, tmp_path: Path) -> None:
    """A limit on file sizes simulates the full disk: the write fails as it would, and no mount is needed."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    arguments = ["select", "--method", "uniform", "--corpus", str(corpus), "--warehouse", str(tmp_path / "w")]
    command = [sys.executable, "-c", "from curate.flows.cli.main import main; main()", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert result.returncode == ENVIRONMENT, result.stderr
    assert "Traceback" not in result.stderr
    assert "ulimit" in result.stderr
    rerun = subprocess.run(command, capture_output=True, text=True)
    assert rerun.returncode == 0, rerun.stderr


def test_a_lock_timeout(curate: Run, corpus: Path, tmp_path: Path) -> None:
    warehouse = tmp_path / "w"
    ingested = curate("ingest", corpus, "--warehouse", tmp_path / "elsewhere", "--json").value["id"]
    with locked(warehouse / "corpus" / f".{ingested}.lock", 0, "the corpus"):
        answer = curate("ingest", corpus, "--warehouse", warehouse, "--lock-timeout", "0.2")
    assert_error(answer, ENVIRONMENT, ingested)


def test_two_runs_at_once_on_one_warehouse(corpus: Path, tmp_path: Path) -> None:
    base = [sys.executable, "-c", "from curate.flows.cli.main import main; main()", "select", "--corpus", str(corpus)]
    base += ["--warehouse", str(tmp_path / "w"), "--json", "--method"]
    runs = [
        subprocess.Popen([*base, method], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for method in ("uniform", "full")
    ]
    answers = []
    for run in runs:
        out, err = run.communicate(timeout=300)
        assert run.returncode == 0, err
        answers.append(json.loads(out))
    assert {answer["method"] for answer in answers} == {"uniform", "full"}
    assert len(list((tmp_path / "w" / "selection").glob("*/manifest.json"))) == 2
    assert len(list((tmp_path / "w" / "corpus").glob("*/manifest.json"))) == 1


def test_models_are_refused_before_any_computation(
    curate: Run, corpus: Path, tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    other_vocabulary, warehouse = save_llama(tmp_path / "other", words=[*WORDS[:-1], "maybe"]), tmp_path / "w"
    models = ("--original", tiny[0], "--compressed", other_vocabulary)
    answer = curate("select", "--method", "paser", "--corpus", corpus, *models, "-w", warehouse)
    assert_error(answer, INPUT, "maybe")
    assert not list(warehouse.glob("*/*/*.parquet"))
