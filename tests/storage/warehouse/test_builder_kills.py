"""A build that is killed or runs out of disk goes on with every finished part."""

import errno
import json
import os
import random
import resource
import signal
import time
from pathlib import Path

import pyarrow as pa
import pytest
from small_artefact import (
    ID,
    PARTS,
    build,
    check_whole,
    digests,
    finished_parts,
    folder,
    in_a_child,
    killed_at_rename,
    rows,
)

from curate.schemas.clusters import TERMS
from curate.schemas.errors import WarehouseError
from curate.storage.warehouse.warehouse import Warehouse


@pytest.mark.parametrize("before", [True, False])
def test_a_kill_around_every_rename_loses_no_finished_part(tmp_path: Path, before: bool) -> None:
    build(tmp_path / "whole")
    renames = 0
    for number in range(1, 20):
        root = tmp_path / f"killed-{number}"
        if killed_at_rename(root, number, before) == 0:
            break
        renames = number
        after_the_last = number == PARTS + 3 and not before
        assert Warehouse(root).has("clusters", ID) == after_the_last
        parts = finished_parts(root)
        assert len(parts) == min(PARTS, max(0, number - 1 - before))  # the first rename is begin.json's
        build(root)
        check_whole(root)
        assert finished_parts(root) == finished_parts(root) | parts
        assert digests(root) == digests(tmp_path / "whole")
    assert renames == PARTS + 3  # begin.json, the parts, the number of the artefact, the manifest


def test_kills_at_random_moments(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    for attempt in range(12):
        child = os.fork()
        if child == 0:
            build(tmp_path, pause=0.02)
            os._exit(0)
        time.sleep(chance.uniform(0, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        parts = finished_parts(tmp_path)
        if attempt % 4 == 3:
            build(tmp_path)
            check_whole(tmp_path)
            assert finished_parts(tmp_path) == finished_parts(tmp_path) | parts
            (folder(tmp_path) / "manifest.json").unlink()


def test_seconds_are_summed_over_attempts(tmp_path: Path) -> None:
    def half() -> None:
        with Warehouse(tmp_path).build("clusters", ID, 1, {"corpus": "c"}, {"k": 3}, {"rows_per_part": 1}) as builder:
            time.sleep(0.4)
            builder.write("terms", 0, rows(0), TERMS)
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_child(half) == -signal.SIGKILL
    assert in_a_child(lambda: (_ for _ in ()).throw(KeyboardInterrupt)) == 1
    build(tmp_path)
    manifest = Warehouse(tmp_path).manifest("clusters", ID)
    assert 0.4 <= manifest.seconds < 10
    assert manifest.peak_memory_mb > 10
    assert {"python", "numpy", "pyarrow", "torch", "curate-llm"} <= manifest.versions.keys()


def test_an_incomplete_journal_line_costs_nothing(tmp_path: Path) -> None:
    def two_parts() -> None:
        with Warehouse(tmp_path).build("clusters", ID, 1, {"corpus": "c"}, {"k": 3}, {"rows_per_part": 1}) as builder:
            builder.write("terms", 0, rows(0), TERMS)
            builder.write("terms", 1, rows(1), TERMS)

    two_parts()
    journal = folder(tmp_path) / "parts.jsonl"
    text = journal.read_bytes()
    for cut in (len(text) - 1, len(text) - 40, text.index(b"\n") + 1, 5, 0):
        journal.write_bytes(text[:cut])
        parts = finished_parts(tmp_path)
        with Warehouse(tmp_path).build("clusters", ID, 1, {"corpus": "c"}, {"k": 3}, {"rows_per_part": 1}) as builder:
            assert (builder.finished("terms"), builder.rows("terms"), builder.finished()) == (2, 2, 0)
        assert finished_parts(tmp_path) == parts
        assert len([json.loads(line) for line in journal.read_text().splitlines()]) == 2
    build(tmp_path)
    check_whole(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_write_error_loses_no_finished_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    killed_at_rename(tmp_path, 3, before=False)
    parts = finished_parts(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(WarehouseError, match=os.strerror(code)):
        build(tmp_path)
    monkeypatch.undo()
    assert finished_parts(tmp_path) == parts
    build(tmp_path)
    check_whole(tmp_path)


def test_a_full_disk_is_one_sentence_and_resumes(tmp_path: Path) -> None:
    """A real limit on file sizes that lets begin.json through and no part."""
    big = pa.Table.from_pylist(
        [{"cluster": i, "size": i, "terms": [str(random.Random(i).random())]} for i in range(500)], schema=TERMS
    )

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            with Warehouse(tmp_path).build("clusters", ID, 1, {}, {}, {}) as builder:
                builder.write("terms", 0, big, TERMS)
        except WarehouseError as error:
            os._exit(42 if "terms-00000.parquet: File too large" in str(error) else 3)

    assert in_a_child(work) == 42
    with Warehouse(tmp_path).build("clusters", ID, 1, {}, {}, {}) as builder:
        assert builder.finished("terms") == 0
        builder.write("terms", 0, big, TERMS)
        builder.finish({})
    assert Warehouse(tmp_path).read("clusters", ID, "terms").equals(big)
