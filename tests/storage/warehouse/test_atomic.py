import errno
import os
import resource
from pathlib import Path

import pytest

from curate.schemas.errors import WarehouseError
from curate.storage.warehouse import atomic


def test_a_file_is_replaced_atomically(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic.write_bytes(path, b"old")
    atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_write_error_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    path = tmp_path / "a.json"
    atomic.write_bytes(path, b"old")

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(WarehouseError) as caught:
        atomic.write_bytes(path, b"new")
    assert str(path) in str(caught.value)
    assert os.strerror(code) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_a_limit_on_file_sizes_is_one_sentence(tmp_path: Path) -> None:
    """A real limit of the kernel, in a child, since it cannot be raised again."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            atomic.write_bytes(tmp_path / "big", b"x" * 2000)
        except WarehouseError as error:
            os._exit(42 if "ulimit -f" in str(error) and not list(tmp_path.iterdir()) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match="cannot create the folder .*file/inside.*--warehouse"):
        atomic.make_folder(tmp_path / "file" / "inside")


def test_clean_removes_only_unfinished_files(tmp_path: Path) -> None:
    (tmp_path / "kept.parquet").write_text("")
    atomic.temporary_path(tmp_path / "kept.parquet").write_text("half")
    atomic.remove_temporary_files(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["kept.parquet"]
