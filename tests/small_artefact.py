"""A small artefact that tests build, interrupt and look at: three parts of one table.

Not a test file: the tests of the builder share it.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.schemas.clusters import TERMS
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
