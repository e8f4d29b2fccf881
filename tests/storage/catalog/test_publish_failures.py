"""The catalog while it is published: concurrent readers and publishers, kills, errors of the disk."""

import errno
import os
import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import warehouses
from fork_server import CONTEXT
from warehouses import described, rows

from curate.schemas.errors import WarehouseError
from curate.storage.catalog import publish as publish_module
from curate.storage.catalog.publish import publish
from curate.storage.catalog.queries import open_catalog
from curate.storage.warehouse.warehouse import Warehouse


def read_until(root: Path, stop: Any, ready: Any, report: Any) -> None:
    """Keep one session open and also open new ones, checking that every result is of one complete catalog."""
    answers, last, sessions = 0, 0, 0
    try:
        with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as old:
            first = old.execute("SELECT count(*) FROM selections").fetchone()[0]  # type: ignore[index]
            ready.set()
            stopping = False
            while not stopping:
                stopping = stop.is_set()  # one more round after the last publish, however slow this process is
                assert old.execute("SELECT count(*) FROM selections").fetchone() == (first,)
                assert old.execute("SELECT count(*), count(DISTINCT selection_id) FROM ledger").fetchone() == (
                    first * warehouses.ROWS, first,
                )  # fmt: skip
                with open_catalog(root) as new:
                    now, seen = new.execute(
                        "SELECT (SELECT count(*) FROM selections), (SELECT count(DISTINCT selection_id) FROM ledger)"
                    ).fetchone()  # type: ignore[misc]
                assert now == seen
                assert now >= last
                answers, last, sessions = answers + 3, now, sessions + 1
        report.put((answers, last, ""))
    except BaseException as error:
        report.put((answers, last, repr(error)))
        ready.set()


def test_readers_see_only_complete_catalogs(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    corpus = warehouses.corpus(warehouse)
    warehouses.selection(warehouse, {"corpus": corpus}, "method 0")
    publish(warehouse)
    stop, report = CONTEXT.Event(), CONTEXT.Queue()
    starts = [CONTEXT.Event() for _ in range(2)]
    readers = [CONTEXT.Process(target=read_until, args=(tmp_path, stop, ready, report)) for ready in starts]
    for reader in readers:
        reader.start()
    assert all(ready.wait(300) for ready in starts)
    for count in range(1, 11):
        warehouses.selection(warehouse, {"corpus": corpus}, f"method {count}")
        publish(warehouse)
    stop.set()
    results = [report.get(timeout=300) for _ in readers]
    for reader in readers:
        reader.join(300)
    assert [error for *_, error in results] == ["", ""]
    assert all(answers >= 6 and last == 11 for answers, last, _ in results)
    assert not list(tmp_path.glob(".tmp-*"))


def test_two_publishers_take_turns(tmp_path: Path) -> None:
    warehouses.corpus(Warehouse(tmp_path))
    publishers = [CONTEXT.Process(target=publish, args=(Warehouse(tmp_path),)) for _ in range(2)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join(300)
    assert [publisher.exitcode for publisher in publishers] == [0, 0]
    assert rows(tmp_path, "SELECT count(*) FROM examples") == [(60,)]


def publish_and_die(root: Path, before: bool) -> None:
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        if not before:
            real(source, target)
        os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace  # type: ignore[assignment]
    publish(Warehouse(root))


@pytest.mark.parametrize("before", [True, False])
def test_a_kill_around_the_rename_leaves_the_old_or_the_new_catalog(tmp_path: Path, before: bool) -> None:
    warehouse = Warehouse(tmp_path)
    corpus = warehouses.corpus(warehouse)
    publish(warehouse)
    warehouses.selection(warehouse, {"corpus": corpus})
    victim = CONTEXT.Process(target=publish_and_die, args=(tmp_path, before))
    victim.start()
    victim.join(300)
    assert victim.exitcode == -signal.SIGKILL
    assert rows(tmp_path, "SELECT count(*) FROM selections") == [(0 if before else 1,)]
    publish(warehouse)
    assert rows(tmp_path, "SELECT count(*) FROM selections") == [(1,)]
    assert not list(tmp_path.glob(".tmp-*"))


def write_and_die(path: str) -> None:
    con = duckdb.connect(path)
    con.execute("CREATE TABLE foreign_table AS SELECT 1")
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_log_of_a_killed_client_is_not_replayed(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    publish(warehouse)
    writer = CONTEXT.Process(target=write_and_die, args=(str(tmp_path / "catalog.duckdb"),))
    writer.start()
    writer.join(300)
    assert (tmp_path / "catalog.duckdb.wal").exists()
    publish(warehouse)
    assert "foreign_table" not in described(tmp_path)
    assert not (tmp_path / "catalog.duckdb.wal").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_write_error_keeps_the_old_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    warehouse = Warehouse(tmp_path)
    publish(warehouse)

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(WarehouseError, match=f"catalog.duckdb: {os.strerror(code)}"):
        publish(warehouse)
    assert rows(tmp_path, "SELECT count(*) FROM runs") == [(0,)]


def publish_in_little_space(root: Path, report: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        publish(Warehouse(root))
        report.put("published")
    except WarehouseError as error:
        report.put(str(error))


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    publish(Warehouse(tmp_path))
    report = CONTEXT.Queue()
    child = CONTEXT.Process(target=publish_in_little_space, args=(tmp_path, report))
    child.start()
    message = report.get(timeout=300)
    child.join()
    assert message.startswith(f"cannot write {tmp_path / 'catalog.duckdb'}: ")
    assert "\n" not in message
    assert rows(tmp_path, "SELECT count(*) FROM runs") == [(0,)]
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_full_disk_says_how_much_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process takes the space: the disk of the catalog reports full, that of temporary files does not."""
    warehouse = Warehouse(tmp_path / "w")
    warehouses.fill(warehouse)
    build = publish_module._build

    def full(path: Path, *given: Any) -> None:
        if path.parent == warehouse.root:
            raise duckdb.IOException('Could not write file "x": No space left on device')
        build(path, *given)

    monkeypatch.setattr(publish_module, "_build", full)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(
        WarehouseError, match=r"No space left .*([\d.]+) MB are needed, 0.0 MB are free, at least \1 MB"
    ):
        publish(warehouse)
    assert not (warehouse.root / "catalog.duckdb").exists()


@pytest.mark.parametrize(
    ("error", "named"),
    [
        ("Disk quota exceeded", "Disk quota exceeded; all artefacts are kept; free some of the quota and run"),
        ("Input/output error", "Original error: Could not write file: Input/output error; see `curate doctor`"),
    ],
)
def test_the_error_of_the_system_is_named_wherever_duckdb_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, named: str
) -> None:
    def failing(*_: Any) -> None:
        raise duckdb.IOException(
            f"Detached database 'catalog', but CHECKPOINT during DETACH failed. \n"
            f"Checkpoint failed. Original error: Could not write file: {error}"
        )

    monkeypatch.setattr(publish_module, "_build", failing)
    with pytest.raises(WarehouseError) as caught:
        publish(Warehouse(tmp_path / "w"))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
