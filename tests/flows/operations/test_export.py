"""`curate export` through the command line, from ingesting a corpus to the exported files."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import warehouses
from consumers import model_optimizer
from corpora import write_corpus
from fork_server import CONTEXT

from curate.selectors.ranking.weighted_draw import draw
from curate.storage.warehouse.lock import locked, locked_folder
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.fixture
def filled(tmp_path: Path) -> dict[str, str]:
    return warehouses.fill(Warehouse(tmp_path / "w"))


def test_an_exported_selection_can_be_ingested_again(curate: Run, corpus: Path, tmp_path: Path) -> None:
    where = ("--warehouse", tmp_path / "w")
    chosen = curate("select", "--method", "uniform", "--budget", "8", "--corpus", corpus, *where, "--json").value
    kept = "SELECT example_id FROM ledger WHERE kept ORDER BY example_id"
    ids = [row["example_id"] for row in curate("sql", kept, *where, "--json").value]
    for target, file in (("sharegpt", "mine.jsonl"), ("alpaca", "mine.json"), ("messages", "mine.jsonl")):
        summary = curate("export", "--to", target, "--out", tmp_path / target, "--name", "mine", *where, "--json").value
        assert (summary["selection_id"], summary["rows"], summary["left_out"]) == (chosen["selection_id"], 8, {})
        again = ("--warehouse", tmp_path / f"w-{target}")
        assert curate("select", "--method", "full", "--corpus", tmp_path / target / file, *again).code == 0
        assert [row["example_id"] for row in curate("sql", kept, *again, "--json").value] == ids


def test_exported_ids_pin_the_same_rows(curate: Run, corpus: Path, tmp_path: Path) -> None:
    select = ("select", "--method", "uniform", "--corpus", corpus, "--json")
    first = curate(*select, "--budget", "5").value
    curate("export", "--to", "ids", "--out", tmp_path, "--name", "mine")
    again = curate(*select, "--budget", "5", "--seed", "3", "--pin", f"@{tmp_path / 'mine.ids.txt'}").value
    overlap = curate("compare", first["selection_id"], again["selection_id"], "--json").value
    assert overlap["jaccard"] == 1.0


def test_a_blend_has_a_file_and_the_share_of_tokens_of_each_source(
    curate: Run, tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    for file in ("one/rows.jsonl", "two/rows.jsonl"):
        (tmp_path / file).parent.mkdir()
    files = (write_corpus(tmp_path / "one" / "rows.jsonl", 30), write_corpus(tmp_path / "two" / "rows.jsonl", 10, 1))
    fixed = ("--corpus", files[0], "--corpus", files[1], "--json")
    models = ("--original", tiny[0], "--compressed", tiny[1])
    totals = []
    for options, counted in (
        (("-m", "uniform"), "1"),
        (("-m", "donod", *models), "n_prompt_tokens + n_response_tokens"),
    ):
        answer = curate("select", "-b", "0.5", *options, *fixed)
        assert answer.code == 0, answer.err
        export = curate("export", "--to", "model-optimizer", "--out", tmp_path / options[1], "--name", "mine", "--json")
        assert export.code == 0, export.err
        sources = model_optimizer.load(tmp_path / options[1] / "mine.blend.yml")
        query = (
            f"SELECT source, sum({counted}) AS n, count(*) AS kept FROM ledger JOIN sources USING (example_id) "
            + ("" if counted == "1" else "JOIN scores USING (example_id) ")
            + f"WHERE kept AND selection_id = '{answer.value['selection_id']}' GROUP BY source ORDER BY source"
        )
        expected = curate("sql", query, "--json").value
        total = sum(row["n"] for row in expected)
        totals.append(total)
        assert len({one.file for one in sources}) == 2
        assert [len(one.rows) for one in sources] == [row["kept"] for row in expected]
        assert [one.weight for one in sources] == pytest.approx([100 * row["n"] / total for row in expected], rel=1e-5)
        assert all(row.keys() == {"messages"} for one in sources for row in one.rows)
    assert totals[0] == 20
    assert totals[1] > 100
    refused = curate("export", "--to", "model-optimizer", "--out", tmp_path, "--name", "a--b")
    assert (refused.code, "'a--b' cannot name a data set" in refused.err) == (2, True)


def test_a_calibration_set_is_drawn_from_the_kept_rows_by_their_damage(
    curate: Run, filled: dict[str, str], tmp_path: Path
) -> None:
    arguments = ("--to", "calibration", "--out", tmp_path, "--rows", "3", "-w", tmp_path / "w", "--json")
    damage = np.array([0.54, 0.55, 0.56, 0.57, 0.58, 0.59], dtype=np.float32).astype(np.float64)
    for seed in range(4):
        answer = curate("export", filled["paser"], *arguments, "--name", f"s{seed}", "--seed", seed)
        assert answer.code == 0, answer.err
        lines = [json.loads(line) for line in (tmp_path / f"s{seed}.jsonl").read_text().splitlines()]
        expected = 54 + draw(damage, 3, np.random.default_rng(seed))
        assert [line["messages"][1]["content"] for line in lines] == [f"It is {2 * i}." for i in sorted(expected)]
        assert all(line["text"] == "\n\n".join(turn["content"] for turn in line["messages"]) for line in lines)
    assert curate("export", filled["uniform"], *arguments).code == 2


def test_errors_are_reported_in_one_sentence(curate: Run, filled: dict[str, str], tmp_path: Path) -> None:
    where = ("--out", tmp_path / "out", "-w", tmp_path / "w")
    for arguments, message in (
        (("nosuch", "--to", "ids"), "no selection"),
        (("--to", "llamafactory"), "did you mean 'llama-factory'"),
        (("--to", "ids", "--rows", "5"), "is valid with --to calibration only"),
        (("--to", "calibration", "--rows", "0"), "at least 1"),
    ):
        answer = curate("export", *arguments, *where)
        assert (answer.code, message in answer.err, answer.err.count("\n")) == (2, True, 1), answer.err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing_behind(
    curate: Run, filled: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    answer = curate("export", "--to", "sharegpt", "--out", out, "-w", tmp_path / "w")
    assert answer.code == 1
    assert "No space left on device" in answer.err
    assert not out.exists() or list(out.iterdir()) == []


def export_and_die(words: list[str], calls: int) -> None:
    """Run an export that kills itself at its `calls`-th call to the kernel that makes, links or renames a file."""
    count = 0

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **how: Any) -> Any:
            nonlocal count
            count += 1
            if count == calls:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*given, **how)

        return call

    for name in ("fsync", "link", "replace", "mkdir"):
        setattr(os, name, dying(getattr(os, name)))
    from curate.flows.cli.main import main

    main(words)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["llama-factory", "trl", "hf-dataset"])
def test_a_killed_export_leaves_no_rubbish_and_goes_on(filled: dict[str, str], tmp_path: Path, target: str) -> None:
    assert filled
    words = ["export", "--to", target, "--name", "mine", "-w", str(tmp_path / "w"), "--out"]

    def run(out: Path, calls: int) -> int | None:
        child = CONTEXT.Process(target=export_and_die, args=([*words, str(out)], calls))
        child.start()
        child.join(600)
        return child.exitcode

    assert run(tmp_path / "whole", 0) == 0
    whole = {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*")}
    for calls in range(1, 30):
        out = tmp_path / f"killed-{calls}"
        if run(out, calls) == 0:
            break
        assert {path.relative_to(out) for path in out.rglob("*")} <= whole
        assert run(out, 0) == 0
        assert {path.relative_to(out) for path in out.rglob("*")} == whole
    assert calls > 3


@pytest.mark.parametrize("verb", [("export", "--to", "llama-factory", "--out"), ("forget",), ("gc", "--delete")])
def test_the_lock_timeout_holds(curate: Run, filled: dict[str, str], tmp_path: Path, verb: tuple[str, ...]) -> None:
    root = tmp_path / "w"
    curate("catalog", "rebuild", "-w", root)
    (tmp_path / "out").mkdir()
    words = {"export": [tmp_path / "out"], "forget": [warehouses.IDS[0]], "gc": []}[verb[0]]
    locks = {"forget": root / ".forgotten.lock", "gc": root / "runs" / ".lock"}
    held = locked(locks[verb[0]], 5, "it") if verb[0] in locks else locked_folder(tmp_path / "out", 5, "it")
    with held:
        start = time.monotonic()
        answer = curate(*verb, *words, "-w", root, "--lock-timeout", "0.5")
    assert answer.code == 1
    assert "waited 0.5 s" in answer.err
    assert time.monotonic() - start < 20
