import json
import os
from pathlib import Path

import pytest

from curate.schemas.errors import InputError
from curate.storage.warehouse import file_digests
from curate.storage.warehouse.file_digests import FileDigests


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "file_digests.json"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.bin", "a.bin", "sub/c.bin", ".hidden"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_digests_depend_on_names_and_bytes_not_on_order_or_folder(cache: Path, model: Path, tmp_path: Path) -> None:
    given = [model / "a.bin", model / "b.bin"]
    first = FileDigests(cache).files(given)
    assert FileDigests(cache).files(given[::-1]) == first
    model.rename(tmp_path / "moved")
    moved = [tmp_path / "moved" / path.name for path in given]
    assert FileDigests(cache).files(moved) == first
    moved[0].rename(moved[0].with_name("z.bin"))
    assert FileDigests(cache).files([moved[0].with_name("z.bin"), moved[1]]) != first


def test_a_folder_without_its_hidden_files(cache: Path, model: Path) -> None:
    first = FileDigests(cache).folder(model)
    (model / ".hidden").write_text("other")
    assert FileDigests(cache).folder(model) == first
    (model / "sub" / "c.bin").rename(model / "c.bin")
    assert FileDigests(cache).folder(model) != first


def test_an_unchanged_file_is_not_read_again(cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = model / "a.bin"
    first = FileDigests(cache).file(path)
    monkeypatch.setattr(file_digests, "digest_file", lambda _: "read again")
    assert FileDigests(cache).file(path) == first
    assert FileDigests(cache, verify=True).file(path) == "read again"


@pytest.mark.parametrize("change", ["bytes", "time", "inode"])
def test_a_changed_file_is_read_again(cache: Path, model: Path, change: str) -> None:
    path = model / "a.bin"
    first = FileDigests(cache).file(path)
    stat = path.stat()
    if change == "inode":  # same size and time, other bytes, renamed in
        (model / "new").write_bytes(b"A.bin")
        os.utime(model / "new", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        (model / "new").replace(path)
    else:
        path.write_bytes(b"longer than before" if change == "bytes" else b"A.bin")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + (change == "time")))
    assert FileDigests(cache).file(path) != first


def test_verify_detects_changes_that_the_cache_cannot(cache: Path, model: Path) -> None:
    path = model / "a.bin"
    stat = path.stat()
    first = FileDigests(cache).file(path)
    path.write_bytes(b"A.bin")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert FileDigests(cache).file(path) == first
    fresh = FileDigests(cache, verify=True).file(path)
    assert fresh != first
    assert FileDigests(cache).file(path) == fresh


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 3}', '{"x": {}}'])
def test_a_damaged_cache_costs_only_time(cache: Path, model: Path, text: str) -> None:
    first = FileDigests(cache).file(model / "a.bin")
    cache.write_text(text)
    assert FileDigests(cache).file(model / "a.bin") == first
    assert str(model / "a.bin") in json.loads(cache.read_text())


def test_a_cache_that_cannot_be_written_costs_only_time(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    where = tmp_path / "file" / "cache" / "x.json"
    assert FileDigests(where).file(model / "a.bin") == FileDigests(tmp_path / "x.json").file(model / "a.bin")


def test_concurrent_writers_lose_nothing(cache: Path, model: Path) -> None:
    children = []
    for i in range(6):
        (model / f"{i}.bin").write_text(str(i))
        child = os.fork()
        if child == 0:
            FileDigests(cache).file(model / f"{i}.bin")
            os._exit(0)
        children.append(child)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    assert len(json.loads(cache.read_text())) == 6


def test_missing_files_are_named(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing cannot be read \(No such file"):
        FileDigests(cache).files([tmp_path / "nothing"])
    with pytest.raises(InputError, match="nothing is not a folder"):
        FileDigests(cache).folder(tmp_path / "nothing")
