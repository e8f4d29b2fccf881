"""Files of wordings: what is read, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from curate.flows.stages.diagnosing.wordings import WORDINGS, read_wordings
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_are_wordings_and_blank_lines_are_not(tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_text("one two\n\n  three \n")
    assert read_wordings(tmp_path / "w.txt") == ("one two", "three")


def test_without_a_file_the_own_ones_are_distinct_lines() -> None:
    found = read_wordings(None)
    assert found == WORDINGS
    assert len(set(found)) == len(found) == 8
    assert all(line == line.strip() and "\n" not in line for line in found)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"one\n", "has 1 wordings"), (b"a\nb\na\n", "'a' twice"), (b"\xff\xfe\n", "not UTF-8")]
)
def test_an_unusable_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "w.txt").write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_wordings(tmp_path / "w.txt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_wordings(tmp_path / "none.txt")
