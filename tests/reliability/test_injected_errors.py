"""An error of the operating system at any call is one sentence and loses nothing; the same command then gives the same.

The errors are raised in Python's calls to the kernel; what DuckDB, Arrow and torch call themselves is not reached.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest
import reliable_verbs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
ERRORS = 60
CODES = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reliable_verbs.prepare(tmp_path_factory.mktemp("reliability") / "base")


def fail(code: int, _: str) -> None:
    raise OSError(code, os.strerror(code))


def test_errors_of_the_operating_system(base: Path, tmp_path: Path) -> None:
    whole: dict[str, dict[str, bytes]] = {}
    codes: Counter[int] = Counter()
    for seed in range(reliable_verbs.count(ERRORS)):
        draw, verb = reliable_verbs.case(seed)
        whole[verb] = whole.get(verb) or reliable_verbs.undisturbed(base, tmp_path / "whole", verb)
        folder = reliable_verbs.copied(base, tmp_path / "case")
        act = partial(fail, draw.choice(CODES))
        ended = reliable_verbs.run(folder, verb, reliable_verbs.at_event(draw.randrange(1, 40), act))
        assert ended.code in (0, 1, 3, 4), (seed, verb, ended)
        assert "Traceback" not in ended.err, (seed, verb, ended)
        assert "unexpected" not in ended.err, (seed, verb, ended)
        reliable_verbs.assert_whole(folder)
        again = reliable_verbs.run(folder, verb)
        assert again.code == 0, (seed, verb, again)
        assert reliable_verbs.content(folder) == whole[verb], (seed, verb)
        shutil.rmtree(folder)
        codes[ended.code] += 1
    print(dict(codes))
    assert codes[1] > 0
