"""Building one artefact: kills at any point, and resuming from what they leave."""

import errno
import json
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curate.schemas.clusters import TERMS
from curate.schemas.errors import UsageError, WarehouseError
from curate.storage.warehouse.builder import Builder
from curate.storage.warehouse.warehouse import Warehouse, verify

PARTS = 3
ID = "0123456789abcdef"


def rows(index: int) -> pa.Table:
    return pa.Table.from_pylist([{"cluster": index, "size": 7, "terms": [f"t{index}"] * 50}], schema=TERMS)


def build(root: Path, layout: dict[str, Any] | None = None, pause: float = 0.0) -> None:
    """Build the artefact, resuming an earlier attempt."""
    with Warehouse(root, 10).build(
        "clusters", ID, 1, {"corpus": "c"}, {"k": 3}, layout or {"rows_per_part": 1}
    ) as builder:
        if builder.done:
            return
        for index in range(builder.finished("terms"), PARTS):
            time.sleep(pause)
            builder.write("terms", index, rows(index), TERMS)
        builder.finish({"n_clusters": 3})


def in_a_child(work: Callable[[], None]) -> int:
    """Run `work` in a fork of this process and return its exit code: 0, 1 for an error, or minus the signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at_rename(root: Path, number: int, before: bool) -> int:
    """Build in a child that kills itself before or after its n-th rename, from 1."""

    def work() -> None:
        real, done = os.replace, [0]

        def replace(source: Any, target: Any) -> None:
            done[0] += 1
            if before and done[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            real(source, target)
            if done[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)

        os.replace = replace  # type: ignore[assignment]
        build(root)

    return in_a_child(work)


def folder(root: Path) -> Path:
    return root / "clusters" / ID


def finished_parts(root: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder(root).glob("*.parquet")}


def check_whole(root: Path) -> None:
    warehouse = Warehouse(root)
    assert warehouse.read("clusters", ID, "terms").equals(pa.concat_tables(map(rows, range(PARTS))))
    assert verify(warehouse, "clusters", ID) == []
    assert {path.name for path in folder(root).iterdir()} == {
        "begin.json", "manifest.json", "parts.jsonl", *(f"terms-{i:05d}.parquet" for i in range(PARTS)),
    }  # fmt: skip


def digests(root: Path) -> list[str]:
    return [part.digest for part in Warehouse(root).manifest("clusters", ID).parts]


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


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"rows_per_part": 2}, "layout.rows_per_part = 1 and cannot be resumed with 2"),
        ({"rows_per_part": 1, "dtype": "float16"}, "layout.dtype = None and cannot be resumed with 'float16'"),
    ],
)
def test_a_resume_under_another_layout_names_the_key(tmp_path: Path, layout: dict[str, Any], message: str) -> None:
    killed_at_rename(tmp_path, 3, before=False)
    parts = finished_parts(tmp_path)
    with pytest.raises(UsageError, match=message):
        build(tmp_path, layout)
    assert finished_parts(tmp_path) == parts
    build(tmp_path)
    check_whole(tmp_path)


def test_a_part_of_another_size_is_named_and_rebuilt(tmp_path: Path) -> None:
    killed_at_rename(tmp_path, 4, before=False)
    damaged = folder(tmp_path) / "terms-00000.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(WarehouseError, match=r"terms-00000.parquet has \d+ bytes instead of \d+; delete it"):
        build(tmp_path)
    damaged.unlink()
    build(tmp_path)
    check_whole(tmp_path)


def test_a_part_that_is_read_back_is_checked(tmp_path: Path) -> None:
    with Warehouse(tmp_path).build("clusters", ID, 1, {}, {}, {}) as builder:
        builder.write("terms", 0, rows(0), TERMS)
        assert builder.read_part("terms", 0).equals(rows(0))
        path = folder(tmp_path) / "terms-00000.parquet"
        flipped = bytearray(path.read_bytes())
        flipped[20] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(WarehouseError, match="changed after it was written"):
            builder.read_part("terms", 0)
        with pytest.raises(WarehouseError, match="part 1 of table 'terms' is not finished"):
            builder.read_part("terms", 1)


def test_a_damaged_begin_and_parts_without_one_are_named(tmp_path: Path) -> None:
    killed_at_rename(tmp_path, 3, before=False)
    begin = folder(tmp_path) / "begin.json"
    begin.write_text("{")
    with pytest.raises(WarehouseError, match="begin.json is damaged"):
        build(tmp_path)
    begin.unlink()
    with pytest.raises(WarehouseError, match="has parts but no begin.json"):
        build(tmp_path)


def test_temporary_files_of_a_killed_attempt_are_removed(tmp_path: Path) -> None:
    assert killed_at_rename(tmp_path, 3, before=True) == -signal.SIGKILL
    assert list(folder(tmp_path).glob(".tmp-*"))
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


def test_two_processes_build_it_once(tmp_path: Path) -> None:
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            build(tmp_path, pause=0.1)
            os._exit(0)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    check_whole(tmp_path)
    lines = (folder(tmp_path) / "parts.jsonl").read_text().splitlines()
    assert len(lines) == PARTS


def test_a_lock_timeout_names_the_holder(tmp_path: Path) -> None:
    with Warehouse(tmp_path).build("clusters", ID, 1, {}, {}, {}):
        with pytest.raises(WarehouseError, match=f"clusters {ID} in .* is locked by process {os.getpid()} on"):
            with Warehouse(tmp_path, 0.05).build("clusters", ID, 1, {}, {}, {}):
                pass


def test_a_finished_artefact_needs_no_lock_and_no_write_access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path)

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    build(tmp_path)


def test_a_finished_artefact_never_changes(tmp_path: Path) -> None:
    build(tmp_path)
    with Warehouse(tmp_path).build("clusters", ID, 1, {"corpus": "c"}, {"k": 3}, {"rows_per_part": 1}) as builder:
        with pytest.raises(RuntimeError, match="is finished and immutable"):
            builder.write("terms", 0, rows(1), TERMS)
        with pytest.raises(RuntimeError, match="is finished and immutable"):
            builder.finish({})
    check_whole(tmp_path)


def test_the_same_rows_leave_a_finished_part_untouched(tmp_path: Path) -> None:
    builder = Builder(tmp_path / "x", {"noun": "clusters", "id": "x", "layout": {}})
    path = tmp_path / "x" / "terms-00000.parquet"
    first = builder.write("terms", 0, rows(0), TERMS)
    before = path.stat().st_mtime_ns
    resumed = Builder(tmp_path / "x", {"noun": "clusters", "id": "x", "layout": {}})
    assert resumed.write("terms", 0, rows(0), TERMS) == first
    assert path.stat().st_mtime_ns == before
    assert resumed.write("terms", 0, rows(1), TERMS) != first
    assert resumed.read_part("terms", 0).equals(rows(1))


def test_parts_may_be_finished_out_of_order_but_not_left_out(tmp_path: Path) -> None:
    builder = Builder(tmp_path / "x", {"noun": "clusters", "id": "x", "layout": {}})
    for index in (0, 2):
        builder.write("terms", index, rows(index), TERMS)
    assert (builder.finished("terms"), builder.rows("terms")) == (1, 2)
    assert [builder.has("terms", index) for index in range(4)] == [True, False, True, False]
    with pytest.raises(RuntimeError, match="part 1 of table 'terms' is missing"):
        builder.finish({})
