"""Files of the warehouse are private; output that a user asked for follows the umask."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import corpora
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.fixture(params=[0o022, 0o002, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> set[tuple[bool, int]]:
    """Return whether it is a folder, and its permissions, for all that is below a folder, itself included."""
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in (folder, *folder.rglob("*"))}


@pytest.mark.parametrize("shared", [True, False])
def test_permissions_of_a_warehouse_and_of_output(curate: Run, tmp_path: Path, umask: int, shared: bool) -> None:
    corpus = corpora.write_corpus(tmp_path / "rows.jsonl", rows=30)
    where = ("-w", tmp_path / "w", *(["--shared"] if shared else []))
    assert curate("select", "--method", "uniform", "--corpus", corpus, *where).code == 0
    mask = umask if shared else umask | 0o077
    assert modes(tmp_path / "w") == {(True, 0o777 & ~mask), (False, 0o666 & ~mask)}
    assert curate("export", "--to", "trl", "--out", tmp_path / "out", *where).code == 0
    assert curate("report", "--out", tmp_path / "out" / "report.html", *where).code == 0
    assert modes(tmp_path / "out") == {(True, 0o777 & ~umask), (False, 0o666 & ~umask)}
    assert os.umask(umask) == umask
