import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from curate.schemas.errors import WarehouseError
from curate.storage.warehouse.lock import locked

FORK = multiprocessing.get_context("fork")


def hold(path: Path, has_it: Any) -> None:
    with locked(path, 5, "the thing"):
        has_it.set()
        time.sleep(60)


def holder(path: Path) -> Any:
    has_it = FORK.Event()
    child = FORK.Process(target=hold, args=(path, has_it))
    child.start()
    assert has_it.wait(10)
    return child


def test_a_timeout_names_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "made" / ".x.lock"
    child = holder(path)
    began = time.monotonic()
    with pytest.raises(WarehouseError, match=f"scores x is locked by process {child.pid} on .* since 20"):
        with locked(path, 0.3, "scores x"):
            pass
    assert 0.3 <= time.monotonic() - began < 5
    child.kill()
    child.join()


def test_a_killed_holder_releases_the_lock(tmp_path: Path) -> None:
    path = tmp_path / ".x.lock"
    child = holder(path)
    os.kill(child.pid, signal.SIGKILL)
    with locked(path, 10, "scores x"):
        pass
    child.join()


def test_a_wait_ends_when_the_holder_does(tmp_path: Path) -> None:
    path = tmp_path / ".x.lock"
    child = holder(path)
    threading.Timer(0.5, child.kill).start()
    began = time.monotonic()
    with locked(path, 20, "scores x"):
        assert time.monotonic() - began >= 0.4
    child.join()


def test_a_lock_in_an_impossible_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match="cannot create the folder"):
        with locked(tmp_path / "file" / ".x.lock", 0, "scores x"):
            pass
