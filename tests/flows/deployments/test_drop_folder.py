"""Only files that are no longer being written are read from the drop folder."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from curate.flows.deployments.drop_folder import settled_files
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def test_only_settled_files_are_read(tmp_path: Path) -> None:
    names = ["b.jsonl", "a.jsonl", "deep/c.csv", ".hidden", ".folder/x.jsonl", "d.jsonl.part", "e.tmp", "empty.jsonl"]
    for name in [*names, "fresh.jsonl"]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("" if name == "empty.jsonl" else "{}")
        if name != "fresh.jsonl":
            os.utime(path, (0, 0))
    expected = ["a.jsonl", "b.jsonl", "deep/c.csv"]
    assert settled_files(tmp_path, 60) == tuple(str(tmp_path / name) for name in expected)
    later = settled_files(tmp_path, 60, now=time.time() + 61)
    assert str(tmp_path / "fresh.jsonl") in later


def test_a_missing_drop_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no drop folder"):
        settled_files(tmp_path / "nowhere", 60)
