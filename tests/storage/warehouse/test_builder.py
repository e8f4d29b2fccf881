"""Building one artefact: it resumes from what is there, by one builder at a time, and never changes once finished."""

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from small_artefact import (
    ID,
    PARTS,
    build,
    check_whole,
    finished_parts,
    folder,
    killed_at_rename,
    rows,
)

from curate.schemas.clusters import TERMS
from curate.schemas.errors import UsageError, WarehouseError
from curate.storage.warehouse.builder import Builder
from curate.storage.warehouse.warehouse import Warehouse


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
