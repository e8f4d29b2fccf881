"""Verbs on a small warehouse, run in child processes that can be killed or given errors; used by tests/reliability.

The environment variable CURATE_RELIABILITY=full runs the counts of docs/reliability.md, else a tenth of them runs.
Importable by child processes, hence not a test file.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import corpora
import models
from fork_server import CONTEXT

from curate.schemas.artefacts import NOUNS
from curate.storage.catalog.queries import open_catalog, run_sql
from curate.storage.warehouse.warehouse import Warehouse, verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FULL = os.environ.get("CURATE_RELIABILITY") == "full"
EVENTS = ("replace", "rename", "link", "fsync", "mkdir", "unlink", "rmdir", "open", "ftruncate")
"""Calls to the kernel of which one is the moment of a kill or an error."""

VERBS: dict[str, tuple[str, ...]] = {
    "select": ("select", "--method", "uniform", "--seed", "5", "-b", "0.3", "--corpus", "{0}/rows.jsonl"),
    "ingest": ("ingest", "{0}/more.jsonl", "--part-rows", "10"),
    "import-scores": ("import-scores", "{0}/signal.csv", "--corpus", "{0}/rows.jsonl"),
    "export trl": ("export", "--to", "trl", "--out", "{0}/out", "--name", "mine"),
    "export llama-factory": ("export", "--to", "llama-factory", "--out", "{0}/out", "--name", "mine"),
    "report": ("report",),
    "gc": ("gc", "--delete", "--grace-days", "0"),
    "rebuild": ("catalog", "rebuild"),
    "repair": ("doctor", "--repair"),
    "forget": ("forget", "{id}"),
    "score": ("score", "--corpus", "{0}/rows.jsonl", "--original", "{0}/dense", "--compressed", "{0}/small"),
    "evaluate": ("evaluate", "{0}/small", "--original", "{0}/dense", "--tasks", "rows:{0}/more.jsonl"),
    "recover": ("recover", "--model", "{0}/small", "--original", "{0}/dense", "--method", "full", "--epochs", "1"),
}
SLOW_VERBS = ("recover",)
"""Trains in a process of its own, which takes ten seconds to start."""


@dataclass(frozen=True)
class Ended:
    """How a verb ended."""

    code: int
    """Exit code; -9 if it was killed."""
    err: str


def count(full: int) -> int:
    """Return how many cases to run."""
    return full if FULL else max(1, full // 10)


def prepare(folder: Path) -> Path:
    """Make a corpus, a warehouse with a selection, and files for every verb in `folder`, and return it."""
    folder.mkdir()
    corpora.write_corpus(folder / "rows.jsonl", rows=40)
    corpora.write_corpus(folder / "more.jsonl", rows=30, seed=1)
    signal_rows = "".join(f"{row},{row * 0.5}\n" for row in range(1, 41))
    (folder / "signal.csv").write_text("row,usefulness\n" + signal_rows)
    models.save_llama(folder / "dense")
    models.save_llama(folder / "small", seed=1)
    done = run(folder, "select", words=(*VERBS["select"][:3], "-b", "10", "--corpus", "{0}/rows.jsonl"))
    assert done.code == 0, done.err
    (corpus,) = Warehouse(folder / "w").scan("corpus").manifests
    ids = Warehouse(folder / "w").read("corpus", corpus.id, columns=["example_id"])["example_id"]
    (folder / "id").write_text(ids[0].as_py())
    return folder


def run(
    folder: Path, verb: str, before: Callable[[], None] | None = None, words: tuple[str, ...] | None = None
) -> Ended:
    """Run a verb in a child process, after `before` was called in it."""
    example = (folder / "id").read_text() if (folder / "id").exists() else ""
    given = [word.format(folder, id=example) for word in words or VERBS[verb]]
    arguments = [*given, "-w", str(folder / "w"), "--threads", "1"]
    child = CONTEXT.Process(target=_child, args=(arguments, folder / "err", before))
    child.start()
    child.join(600)
    if child.is_alive():
        child.kill()
        raise TimeoutError(f"{verb} did not end within ten minutes")
    return Ended(int(child.exitcode or 0), (folder / "err").read_text())


def undisturbed(base: Path, folder: Path, verb: str) -> dict[str, bytes]:
    """Return what a verb leaves in a copy of `base` if nothing interferes."""
    copied(base, folder)
    assert run(folder, verb).code == 0, verb
    left = content(folder)
    shutil.rmtree(folder)
    return left


def _child(arguments: list[str], err: Path, before: Callable[[], None] | None) -> None:
    from curate.flows.cli.main import main

    for number, path in ((1, os.devnull), (2, str(err))):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if before is not None:
        before()
    main(arguments)


def at_event(number: int, act: Callable[[str], None]) -> Callable[[], None]:
    """Return a function that lets `act` happen before the `number`-th call of `EVENTS`, counted from 1."""
    return partial(_watch, number, act)


def _watch(number: int, act: Callable[[str], None]) -> None:
    left = number

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **how: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                act(name)
            return real(*given, **how)

        return call

    for name in EVENTS:
        setattr(os, name, watched(name, getattr(os, name)))


def die(_: str) -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def copied(base: Path, target: Path) -> Path:
    """Return a copy of a prepared folder whose run records name its own files."""
    shutil.copytree(base, target)
    for path in target.glob("w/runs/*.json"):
        path.write_text(path.read_text().replace(str(base), str(target)))
    return target


def content(folder: Path) -> dict[str, bytes]:
    """Return every part, every weight of a recovered model, and every exported file, by its path."""
    parts = (path for path in folder.glob("w/*/*/*.parquet") if path.parts[-3] != "recovery")  # those hold seconds
    files = [*parts, *folder.glob("w/models/**/*.safetensors")]
    files += [path for path in folder.glob("out/**/*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes().replace(str(folder).encode(), b"") for path in files}


def assert_whole(folder: Path) -> None:
    """Assert that whatever a reader sees is whole: listings, parts, and the catalog if there is one."""
    warehouse = Warehouse(folder / "w")
    for noun in NOUNS:
        listing = warehouse.scan(noun)
        assert not listing.problems
        for manifest in listing.manifests:
            assert verify(warehouse, noun, manifest.id) == []
    if (folder / "w" / "catalog.duckdb").exists():
        with open_catalog(folder / "w") as con:
            assert run_sql(con, "SELECT count(*) AS n FROM selections")["n"][0].as_py() >= 1
    for path in folder.glob("out/*.json"):
        json.loads(path.read_text())


def case(seed: int) -> tuple[random.Random, str]:
    """Return the random numbers of a case and its verb; the verbs take turns, the slow ones in a full run only."""
    verbs = [verb for verb in VERBS if FULL or verb not in SLOW_VERBS]
    return random.Random(seed), verbs[seed % len(verbs)]
